"""What SFT and GRPO share: resumable work folders, history, and quiet libraries."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from components.core.files import digest_sources, to_json, write_text
from components.core.params import Params
from components.core.progress import say
from components.storage.mirror import Snapshot

NEEDED: dict[str, tuple[str, ...]] = {
    "state": ("trainer_state.json",),
    "weights": ("model.safetensors", "adapter_model.safetensors"),
    "optimizer": ("optimizer.pt", "latest"),
    "schedule": ("scheduler.pt",),
    "random numbers": ("rng_state.pth", "rng_state_0.pth"),
}
"""What a whole checkpoint has: one file of each row (the second of several where DeepSpeed or LoRA wrote)."""
SAY_EVERY = 50
ROOMS = Path(__file__).parents[1]
SOURCES = (
    ROOMS / "enhancer",
    *(ROOMS / "perception" / f"{name}.py" for name in ("image_text", "phrases", "text", "wording")),
    *(ROOMS / "core" / f"{name}.py" for name in ("seeds", "vocabulary")),
)
"""What decides texts, targets, rewards and steps."""


def content_key(*parts: Any) -> str:
    """Sixteen hexadecimal digits of what defines a piece of work: parameters, seeds, digests of inputs, and
    the code: state that another version of it left is not taken up."""
    plain = [part.model_dump(mode="json") if isinstance(part, Params) else part for part in parts]
    plain.append(digest_sources(*SOURCES))
    return hashlib.sha256(to_json(plain, indent=None).encode()).hexdigest()[:16]


def last_checkpoint(work: Path) -> Path | None:
    """The newest whole checkpoint below `work`; one that an interruption left incomplete does not count."""
    found = []
    for path in work.glob("checkpoint-*"):
        if all(any((path / name).is_file() for name in names) for names in NEEDED.values()):
            try:
                state = json.loads((path / "trainer_state.json").read_text(encoding="utf-8"))
            except json.JSONDecodeError:
                continue
            found.append((int(state["global_step"]), path))
    return max(found)[1] if found else None


def newest_snapshot(work: Path) -> Snapshot | None:
    """What a mirror must hold of a work folder: its newest whole checkpoint."""
    found = last_checkpoint(work)
    if found is None:
        return None
    last = "trainer_state.json"
    names = [path.relative_to(found).as_posix() for path in sorted(found.rglob("*")) if path.is_file()]
    names = [*(name for name in names if name != last), last]
    step = int(found.name.removeprefix("checkpoint-"))
    return Snapshot(found.name, step, tuple(f"{found.name}/{name}" for name in names))


def quiet() -> None:
    """Keeps progress bars and advice of the training libraries out of the log; warnings stay."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    import datasets
    import transformers

    transformers.utils.logging.disable_progress_bar()
    transformers.logging.set_verbosity_error()
    datasets.disable_progress_bars()
    for name in ("trl", "accelerate", "transformers"):
        logging.getLogger(name).setLevel(logging.ERROR)


class SayProgress(TrainerCallback):
    """A line every `SAY_EVERY` steps; replaces the library's table on standard output."""

    def __init__(self, label: str, keys: Sequence[str]) -> None:
        self.label = label
        self.keys = tuple(keys)
        self._last = 0

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        """Called by the trainer when it logs."""
        values = {key: logs[key] for key in self.keys if logs and key in logs}
        if values and (state.global_step - self._last >= SAY_EVERY or state.global_step == state.max_steps):
            self._last = state.global_step
            shown = " ".join(f"{key} {value:.3f}" for key, value in values.items())
            say(f"  {self.label}: step {state.global_step}/{state.max_steps} {shown}")


class StopAfter(TrainerCallback):
    """Ends training early, as an interruption would, but in order."""

    def __init__(self, step: int | None) -> None:
        self.step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Called by the trainer after each step."""
        if self.step is not None and state.global_step >= self.step:
            control.should_training_stop = True


def history_rows(log_history: Sequence[dict[str, Any]], keys: dict[str, str]) -> list[dict[str, float]]:
    """One row a logged step, the library's `keys` under our names; rows without any of them (run times) go.

    The history travels in the checkpoint, so that a resumed run has every step once.
    """
    rows = []
    for entry in log_history:
        row = {
            ours: round(float(entry[theirs]), 6)
            for theirs, ours in keys.items()
            if theirs in entry and math.isfinite(float(entry[theirs]))
        }
        if row and "train_runtime" not in entry:
            rows.append({"step": int(entry["step"]), **row})
    return rows


def write_history(path: Path, rows: Sequence[dict[str, float]]) -> None:
    """history.jsonl: one JSON object a line."""
    write_text(path, "".join(to_json(row, indent=None) + "\n" for row in rows))


def drop_printer(trainer: Any) -> None:
    """Takes away the callback that prints every logged dictionary to standard output."""
    from transformers.trainer_callback import PrinterCallback

    trainer.remove_callback(PrinterCallback)
