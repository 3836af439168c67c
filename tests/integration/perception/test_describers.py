"""Attributes and captions by large models: Gemini over HTTP, Qwen2-VL from a folder of tiny weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.core.errors import InputError
from components.perception.params import DescriberParams, ServiceParams, VisionLanguageParams
from components.perception.remote.describers import open_caller, read_attributes, write_captions
from tests.integration.perception.gemini_server import KEY, GeminiServer
from tests.unit.perception.test_remote_wordings import GOOD

FRAMES = [np.full((16, 16, 3), shade, np.uint8) for shade in (0, 90, 180)]


def words(text: str) -> int:
    return len(text.split())


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", KEY)


def gemini(server: GeminiServer) -> DescriberParams:
    return DescriberParams(service=ServiceParams(endpoint=server.address, backoff_s=0.01, invalid_retries=1))


def test_attributes_by_gemini_with_a_quarantined_frame(tmp_path: Path) -> None:
    def script(number: int, seen: Any) -> dict[str, Any]:
        return {"text": json.dumps(GOOD if number != 0 else GOOD | {"hair": "rainbow"})}

    with GeminiServer(script) as server:
        params = gemini(server).model_copy(
            update={
                "service": gemini(server).service.model_copy(update={"invalid_retries": 0, "concurrency": 1})
            }
        )
        caller = open_caller("gemini", params, tmp_path, "test")
        described = read_attributes(caller, FRAMES)
        caller.close()
        assert [one.status for one in described] == ["invalid", "answered", "answered"]
        assert described[0].value is None and "hair" in described[0].detail and "rainbow" in described[0].text
        assert described[1].value["attire"] == "red jacket"
        schema = json.dumps(server.requests[0].config)
        assert "turtleneck" in schema and "implicit_action" in schema


def test_captions_by_gemini_stay_below_77_tokens(tmp_path: Path) -> None:
    long, short = "word " * 90, "A person  in a\nred jacket."

    def script(number: int, seen: Any) -> dict[str, Any]:
        return {"text": json.dumps({"caption": short if "fewer than 77." in seen.prompt else long})}

    with GeminiServer(script) as server:
        caller = open_caller("gemini", gemini(server), tmp_path, "test")
        described = write_captions(caller, FRAMES, words)
        assert [one.value for one in described] == ["A person in a red jacket."] * 3
        assert "has 90 tokens" in server.requests[-1].prompt
        before = len(server.requests)
        write_captions(caller, FRAMES, words)
        assert len(server.requests) == before
        caller.close()


def test_captions_that_stay_long_are_quarantined(tmp_path: Path) -> None:
    with GeminiServer(lambda n, seen: {"text": json.dumps({"caption": "word " * 90})}) as server:
        caller = open_caller("gemini", gemini(server), tmp_path, "test")
        described = write_captions(caller, FRAMES[:1], words)
        caller.close()
    assert described[0].status == "invalid" and "90 tokens" in described[0].detail


TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% for p in m['content'] %}"
    "{% if p['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% else %}{{ p['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture(scope="module")
def qwen_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Qwen2-VL in the published layout that has learnt one answer by heart."""
    import torch
    from transformers import PreTrainedTokenizerFast, Qwen2VLConfig, Qwen2VLForConditionalGeneration

    from components.core.seeds import seed_everything
    from components.perception.remote.questions import Question
    from components.perception.remote.qwen2vl import schema_in_words
    from components.perception.remote.wordings import ATTRIBUTES_PROMPT, ATTRIBUTES_VERSION, AttributeAnswer
    from components.perception.text import train_tokenizer
    from components.perception.vision_language import load_processor

    folder = tmp_path_factory.mktemp("qwen")
    answer = json.dumps(GOOD)
    question = Question(ATTRIBUTES_PROMPT, ATTRIBUTES_VERSION, (FRAMES[0],), AttributeAnswer)
    asked = question.prompt + schema_in_words(question)
    specials = (
        "<|pad|>", "<|im_end|>", "<|im_start|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>",
        "<|video_pad|>",
    )  # fmt: skip
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=train_tokenizer([answer] * 4 + [asked] * 4, 1500, specials),
        pad_token="<|pad|>", eos_token="<|im_end|>", additional_special_tokens=list(specials[2:]),
        clean_up_tokenization_spaces=False,
    )  # fmt: skip
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    pictures = {"patch_size": 14, "merge_size": 2, "temporal_patch_size": 2, "min_pixels": 3136,
                "image_mean": [0.5] * 3, "image_std": [0.5] * 3}  # fmt: skip
    (folder / "preprocessor_config.json").write_text(json.dumps(pictures))
    ids = tokenizer.convert_tokens_to_ids
    seed_everything(0)
    config = Qwen2VLConfig(
        text_config={
            "vocab_size": len(tokenizer), "hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 1,
            "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 4096,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [4, 4, 4]},
            "tie_word_embeddings": True, "bos_token_id": None, "eos_token_id": ids("<|im_end|>"),
            "pad_token_id": ids("<|pad|>"), "initializer_range": 0.1,
        },
        vision_config={"depth": 1, "embed_dim": 16, "hidden_size": 48, "num_heads": 2, "mlp_ratio": 2,
                       "patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2},
        image_token_id=ids("<|image_pad|>"), video_token_id=ids("<|video_pad|>"),
        vision_start_token_id=ids("<|vision_start|>"), vision_end_token_id=ids("<|vision_end|>"),
        tie_word_embeddings=True,
    )  # fmt: skip
    model = Qwen2VLForConditionalGeneration(config)
    processor = load_processor(folder, 56 * 56, 56 * 56)
    from PIL import Image

    turn = [{"role": "user", "content": [{"type": "image", "image": Image.fromarray(FRAMES[0])},
                                         {"type": "text", "text": asked}]}]  # fmt: skip
    inputs = processor.apply_chat_template(
        [turn], add_generation_prompt=True, tokenize=True, return_dict=True,
        processor_kwargs={"return_tensors": "pt"},
    )  # fmt: skip
    target = tokenizer(answer + "<|im_end|>", return_tensors="pt", add_special_tokens=False)["input_ids"]
    inputs["input_ids"] = torch.cat([inputs["input_ids"], target], 1)
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    inputs["mm_token_type_ids"] = torch.cat([inputs["mm_token_type_ids"], torch.zeros_like(target)], 1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(120):
        logits = model(**inputs, logits_to_keep=target.shape[1] + 1).logits[0, :-1]
        loss = torch.nn.functional.cross_entropy(logits, target[0])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if loss.item() < 0.04:
            break
    assert loss.item() < 0.06, loss.item()
    model.generation_config.eos_token_id = ids("<|im_end|>")
    model.generation_config.pad_token_id = ids("<|pad|>")
    model.save_pretrained(folder)
    return folder


def qwen(folder: Path, **service: Any) -> DescriberParams:
    return DescriberParams(
        service=ServiceParams(**service),
        qwen=VisionLanguageParams(
            folder=str(folder), batch=2, most_pixels=56 * 56, precision="float32", device="cpu"
        ),
    )


def test_attributes_by_qwen2_vl(qwen_folder: Path, tmp_path: Path) -> None:
    caller = open_caller("qwen2-vl", qwen(qwen_folder), tmp_path, "test")
    described = read_attributes(caller, FRAMES)
    assert described[0].status == "answered", described[0]
    assert described[0].value["attire"] == "red jacket" and described[0].value["accessories"] == [
        "hat",
        "scarf",
    ]
    account = caller.answers.spent("test")
    assert account.prompt_tokens > 100 and account.output_tokens > 20 and account.cost == 0
    calls = account.calls
    again = read_attributes(caller, FRAMES)
    assert again == described and caller.answers.spent("test").calls == calls
    assert caller.backend.name.startswith("qwen2-vl@")
    caller.close()


def test_qwen2_vl_without_room_or_sense_is_quarantined(qwen_folder: Path, tmp_path: Path) -> None:
    caller = open_caller("qwen2-vl", qwen(qwen_folder, invalid_retries=1), tmp_path, "test")
    from components.perception.remote.questions import Question
    from components.perception.remote.wordings import JudgeAnswer

    outcomes = caller.ask([Question("a", "v", (FRAMES[1],), JudgeAnswer, 4) for _ in range(1)])
    caller.close()
    assert outcomes[0].status in ("cut", "invalid") and outcomes[0].value is None
    assert caller.answers.spent("test").calls == 2


def test_a_folder_without_a_model_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="config.json is missing"):
        open_caller("qwen2-vl", qwen(tmp_path), tmp_path, "test")
    with pytest.raises(InputError, match="qwen.folder is not set"):
        open_caller("qwen2-vl", DescriberParams(), tmp_path, "test")
    with pytest.raises(InputError, match="unknown model"):
        open_caller("gpt", DescriberParams(), tmp_path, "test")
