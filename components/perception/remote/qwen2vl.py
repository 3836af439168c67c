"""A local Qwen2-VL behind the same door as a service: questions that wait together are answered together."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from components.core.errors import InputError
from components.core.files import digest_file
from components.perception.params import VisionLanguageParams
from components.perception.remote.questions import CutShort, Question, Reply, Usage

NAME = "qwen2-vl"
_GATHER_S = 0.005
"""How long the first of a batch waits for others."""


class Qwen2VL:
    """Qwen2-VL from a folder of the published layout, greedy. A schema is put into words and checked by the
    caller. The name holds the weights' digest: other weights are another model to the cache."""

    def __init__(self, params: VisionLanguageParams) -> None:
        import torch
        from transformers import Qwen2VLForConditionalGeneration

        from components.perception.vision_language import load_processor

        if params.folder is None:
            raise InputError("qwen.folder is not set: give the folder with Qwen2-VL-7B-Instruct's files")
        folder = Path(params.folder)
        if not (folder / "config.json").exists():
            raise InputError(f"{folder} holds no Qwen2-VL: config.json is missing")
        self.params = params
        self.processor = load_processor(folder, params.least_pixels, params.most_pixels)
        device = params.device
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        model, report = Qwen2VLForConditionalGeneration.from_pretrained(
            folder, local_files_only=True, dtype=getattr(torch, params.precision), output_loading_info=True
        )
        missing = sorted(report["missing_keys"])
        if missing:
            raise InputError(f"{folder}: weights are missing: {', '.join(missing[:3])} …")
        self.model = model.eval().requires_grad_(False).to(device)
        self.name = f"{NAME}@{_weights_digest(folder)}"
        self._waiting: list[tuple[Question, asyncio.Future[Reply]]] = []
        self._at_work: asyncio.Task[None] | None = None

    async def close(self) -> None:
        """Nothing is open."""

    async def ask(self, question: Question) -> Reply:
        """See `Backend.ask`."""
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, future))
        if self._at_work is None or self._at_work.done():
            self._at_work = asyncio.create_task(self._work())
        return await future

    async def _work(self) -> None:
        """Answers what waits, batch by batch, in a thread: the loop stays free."""
        await asyncio.sleep(_GATHER_S)
        while self._waiting:
            batch = self._waiting[: self.params.batch]
            del self._waiting[: len(batch)]
            wanted = [one for one in batch if not one[1].done()]  # a caller may have given up
            if not wanted:
                continue
            try:
                replies = await asyncio.to_thread(self.answer, [question for question, _ in wanted])
            except (RuntimeError, ValueError, InputError) as error:
                for _, future in wanted:
                    if not future.done():
                        future.set_exception(InputError(f"{self.name}: {error}"))
                continue
            for (_, future), reply in zip(wanted, replies, strict=True):
                if future.done():
                    continue
                if isinstance(reply, Reply):
                    future.set_result(reply)
                else:
                    future.set_exception(reply)

    def answer(self, questions: list[Question]) -> list[Reply | CutShort]:
        """Replies to a batch of questions; `CutShort` where the room ran out before the end."""
        import torch
        from PIL import Image

        turns = [
            [
                {
                    "role": "user",
                    "content": [
                        *({"type": "image", "image": Image.fromarray(one)} for one in question.pictures),
                        {"type": "text", "text": question.prompt + schema_in_words(question)},
                    ],
                }
            ]
            for question in questions
        ]
        inputs = self.processor.apply_chat_template(
            turns,
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            processor_kwargs={"padding": True, "return_tensors": "pt"},
        ).to(self.model.device)
        room = max(question.max_tokens for question in questions)
        with torch.inference_mode():
            made = self.model.generate(**inputs, max_new_tokens=room, do_sample=False)
        length = inputs["input_ids"].shape[1]
        prompt_tokens = inputs["attention_mask"].sum(1).tolist()
        ends = self._ends()
        replies: list[Reply | CutShort] = []
        for row, used in zip(made[:, length:].tolist(), prompt_tokens, strict=True):
            end = next((place for place, token in enumerate(row) if token in ends), None)
            usage = Usage(int(used), len(row) if end is None else end)
            text = self.processor.tokenizer.decode(row[:end], skip_special_tokens=True)
            if end is None:
                replies.append(CutShort(f"no end in {room} tokens", usage))
            else:
                replies.append(Reply(text, usage))
        return replies

    def _ends(self) -> set[int]:
        told = self.model.generation_config.eos_token_id
        return set(told) if isinstance(told, list) else {told}


def schema_in_words(question: Question) -> str:
    """The JSON schema of the answer, for a model that is not bound to it."""
    if question.schema is None:
        return ""
    schema = _untitled(question.schema.model_json_schema())
    return f"\nAnswer with one JSON object of this schema and nothing else: {json.dumps(schema)}"


def _untitled(part: Any) -> Any:
    """A schema without titles, which repeat the names."""
    if isinstance(part, dict):
        return {
            key: _untitled(value)
            for key, value in part.items()
            if not (key == "title" and isinstance(value, str))
        }
    return [_untitled(one) for one in part] if isinstance(part, list) else part


def _weights_digest(folder: Path) -> str:
    """Twelve hexadecimal digits over the weights' index, or the single file of weights."""
    for name in ("model.safetensors.index.json", "model.safetensors"):
        if (folder / name).exists():
            return digest_file(folder / name)[:12]
    raise InputError(f"{folder} holds no weights: model.safetensors or its index is missing")
