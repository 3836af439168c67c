"""Watching GRPO for reward hacking: looks at a fixed set of cases, keeps readable samples, stops in time.

A look samples a text for each case with a seed of its own (training's random numbers are left alone) and
notes the training reward, the held-out judge, form, repetition, length and diversity. Training ends early
when the held-out judge has fallen while the reward has not: the policy then learns the judge, not the task.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from transformers import TrainerCallback

from components.core.files import append_jsonl, read_jsonl, write_bytes, write_text
from components.core.media import write_image
from components.core.progress import say
from components.enhancer.held_out import mean, repetition

if TYPE_CHECKING:
    from collections.abc import Sequence

    from components.enhancer.held_out import HeldOutJudge
    from components.enhancer.model import Enhancer
    from components.enhancer.pairs import Case, Pool
    from components.enhancer.params import WatchParams
    from components.enhancer.scoring import Scorer

LOOKS, SAMPLES, PAGE = "looks.jsonl", "samples.jsonl", "samples.md"


@dataclass(frozen=True)
class Hacked:
    """Why training was ended: the held-out judge at its best and now, with the reward at both looks."""

    best_step: int
    step: int
    held_out: tuple[float, float]
    reward: tuple[float, float]

    def __str__(self) -> str:
        return (
            f"the held-out judge fell from {self.held_out[0]:.3f} (step {self.best_step}) to "
            f"{self.held_out[1]:.3f} (step {self.step}) while the reward went from {self.reward[0]:.3f} to "
            f"{self.reward[1]:.3f}"
        )


def hacked(looks: Sequence[dict[str, Any]], fall: float, patience: int) -> Hacked | None:
    """Whether the last `patience` looks all lie `fall` or more below the held-out judge's best, with a reward
    not below the one it had there."""
    known = [row for row in looks if row["held_out"] is not None and row["reward"] is not None]
    if len(known) <= patience:
        return None
    best = max(known, key=lambda row: row["held_out"])
    recent = known[-patience:]
    if all(
        row["step"] > best["step"]
        and best["held_out"] - row["held_out"] >= fall
        and row["reward"] >= best["reward"]
        for row in recent
    ):
        last = recent[-1]
        return Hacked(
            best["step"], last["step"], (best["held_out"], last["held_out"]), (best["reward"], last["reward"])
        )
    return None


class Watch(TrainerCallback):
    """Looks every `params.every` steps, the start included; `folder` keeps looks and samples between runs."""

    def __init__(
        self,
        params: WatchParams,
        judge: HeldOutJudge,
        scorer: Scorer,
        pool: Pool,
        cases: list[Case],
        folder: Path,
        seed: int,
    ) -> None:
        self.params, self.judge, self.scorer = params, judge, scorer
        self.pool, self.cases, self.folder, self.seed = pool, cases, folder, seed
        self.enhancer: Enhancer | None = None
        self.looks: list[dict[str, Any]] = []
        self.ended: Hacked | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Takes up the looks before the step that training goes on from; the first look is at the start."""
        for name in (LOOKS, SAMPLES):
            path = self.folder / name
            rows = read_jsonl(path) if path.exists() else []
            kept = [row for row in rows if row["step"] <= state.global_step]
            write_text(path, "".join(json.dumps(row, sort_keys=True) + "\n" for row in kept))
            if name == LOOKS:
                self.looks = kept
        if not any(row["step"] == state.global_step for row in self.looks):
            self._look(state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Looks, and asks for the end where the reward is being hacked."""
        if state.global_step % self.params.every and state.global_step != state.max_steps:
            return
        self._look(state.global_step)
        self.ended = hacked(self.looks, self.params.fall, self.params.patience)
        if self.ended is not None and not control.should_training_stop:
            say(f"enhancer GRPO ends early: {self.ended}")
            control.should_training_stop = True

    def _look(self, step: int) -> None:
        assert self.enhancer is not None, "the watch needs the model that is trained"
        training = self.enhancer.model.training
        outcome = self.scorer.answers(self.enhancer, self.pool, self.cases, sample=True, seed=self.seed)
        self.enhancer.model.train(training)
        held_out = self.judge.score(self.pool, self.cases, outcome.texts)
        words = [text.split() for text in outcome.texts]
        row = {
            "step": step,
            "reward": _rounded(mean(outcome.rewards.tolist())),
            "held_out": _rounded(mean(held_out)),
            "judge": self.judge.name,
            "well_formed": _rounded(float(outcome.formed.mean())),
            "action_kept": _rounded(float(outcome.kept.mean())),
            "repetition": _rounded(float(np.mean([repetition(text) for text in outcome.texts]))),
            "words": _rounded(float(np.mean([len(one) for one in words]))),
            "distinct_texts": len(set(outcome.texts)),
            "distinct_bigrams": len({two for one in words for two in zip(one, one[1:], strict=False)}),
            "unscorable": int(np.isnan(outcome.rewards).sum()),
        }
        self.looks.append(row)
        append_jsonl(self.folder / LOOKS, row)
        for number, case in enumerate(self.cases[: self.params.shown]):
            write_image(self.folder / f"{number:02d}.png", self.pool.images[case.row])
            append_jsonl(
                self.folder / SAMPLES,
                {
                    "step": step,
                    "picture": f"{number:02d}.png",
                    "instruction": case.instruction.text,
                    "text": outcome.texts[number],
                    "reward": _rounded(float(outcome.rewards[number])),
                    "held_out": _rounded(held_out[number]),
                    "terms": {name: _rounded(value) for name, value in outcome.terms[number].items()},
                },
            )

    def write(self, folder: Path) -> None:
        """Copies looks, samples and pictures into an artifact, with a page that people can read."""
        for path in sorted(self.folder.iterdir()):
            if path.suffix in (".jsonl", ".png"):
                write_bytes(folder / path.name, path.read_bytes())
        samples = self.folder / SAMPLES
        write_text(folder / PAGE, page(self.looks, read_jsonl(samples) if samples.exists() else []))


def page(looks: Sequence[dict[str, Any]], samples: Sequence[dict[str, Any]]) -> str:
    """The looks as a table, and every shown case's texts over the steps beside its picture (Markdown)."""
    columns = ("step", "reward", "held_out", "well_formed", "action_kept", "repetition", "words")
    lines = ["# What GRPO's texts became", "", "| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    lines += ["| " + " | ".join(str(row[name]) for name in columns) + " |" for row in looks]
    for picture in sorted({row["picture"] for row in samples}):
        own = [row for row in samples if row["picture"] == picture]
        lines += ["", f"## {own[0]['instruction']}", "", f"![reference]({picture})", ""]
        lines += [
            f"- step {row['step']}, reward {row['reward']}, held-out {row['held_out']}: {row['text']}"
            for row in own
        ]
    return "\n".join(lines) + "\n"


def _rounded(value: float | None) -> float | None:
    return None if value is None or value != value else round(value, 6)
