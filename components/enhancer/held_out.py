"""Judges that GRPO never trains on: what the watch and the final figures ask, so that a gain is no trick.

The reference judge compares a text with the complete prompt that a careful writer would give for the same
picture and action, by character n-grams (chrF, Popović 2015): it knows nothing of cues, markers or lexicons.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any, Protocol

from components.core.errors import InputError
from components.enhancer.pairs import Case, Pool, complete

if TYPE_CHECKING:
    from components.core.paths import Workspace
    from components.enhancer.judges import WholeJudge
    from components.enhancer.params import JudgeParams, WatchParams

ORDER = 6
"""Longest character n-gram of chrF."""


class HeldOutJudge(Protocol):
    """Scores texts for cases of a pool, each in [0,1] or None."""

    name: str

    def score(self, pool: Pool, cases: Sequence[Case], texts: Sequence[str]) -> list[float | None]: ...


def chrf(text: str, reference: str, beta: float = 1.0) -> float:
    """chrF: F-score of character n-grams (1 to 6, white space left out), counts clipped, in [0,1].

    Clipping makes repetition cost precision; β = 1 weighs it like what is left out (the paper's chrF2 favours
    recall, which would reward long texts here).
    """
    said, wanted = "".join(text.lower().split()), "".join(reference.lower().split())
    precisions, recalls = [], []
    for order in range(1, ORDER + 1):
        a = Counter(said[i : i + order] for i in range(len(said) - order + 1))
        b = Counter(wanted[i : i + order] for i in range(len(wanted) - order + 1))
        if not a and not b:
            continue
        shared = sum((a & b).values())
        precisions.append(shared / max(1, a.total()))
        recalls.append(shared / max(1, b.total()))
    if not precisions:
        return 1.0
    precision, recall = fmean(precisions), fmean(recalls)
    if precision + recall == 0:
        return 0.0
    return (1 + beta**2) * precision * recall / (beta**2 * precision + recall)


class ReferenceJudge:
    """Likeness to the complete prompt of picture and action."""

    name = "reference-chrf"

    def score(self, pool: Pool, cases: Sequence[Case], texts: Sequence[str]) -> list[float | None]:
        """See `HeldOutJudge.score`."""
        return [
            chrf(text, complete(pool.attributes[case.row], case.instruction.action))
            for case, text in zip(cases, texts, strict=True)
        ]


class LargeHeldOutJudge:
    """The mean of a large model's six scores."""

    def __init__(self, judge: WholeJudge) -> None:
        self._judge = judge
        self.name = judge.name

    def score(self, pool: Pool, cases: Sequence[Case], texts: Sequence[str]) -> list[float | None]:
        """See `HeldOutJudge.score`; None where the model gave no usable answer."""
        from components.enhancer.rewards import clamp

        told = self._judge.verdicts(
            [pool.images[case.row] for case in cases], [case.instruction.text for case in cases], texts
        )
        scores: list[float | None] = []
        for one in told:
            numbers = [*one.criteria.values(), one.inst, one.time]
            known = [clamp(number) for number in numbers if number is not None]
            scores.append(fmean(known) if len(known) == len(numbers) else None)
        return scores


def open_judge(watch: WatchParams, trained_on: JudgeParams, workspace: Workspace) -> HeldOutJudge:
    """The held-out judge that the parameters name.

    Raises:
        InputError: it is the one that the reward asks, or its key or folder is missing.
    """
    if watch.judge == "reference":
        return ReferenceJudge()
    from components.enhancer.judges import ServiceJudge
    from components.perception.remote.describers import open_caller

    caller = open_caller(
        watch.judge, watch.describer, workspace.state("judge"), job="enhancer held-out judge"
    )
    if trained_on.kind == watch.judge:
        same = (
            trained_on.describer.service.model == watch.describer.service.model
            and trained_on.describer.qwen.folder == watch.describer.qwen.folder
        )
        if same:
            caller.close()
            raise InputError(
                "watch.judge is the very model that the reward asks: a held-out judge must not be trained "
                "on; name another model in watch.describer"
            )
    return LargeHeldOutJudge(ServiceJudge(caller))


def repetition(text: str, size: int = 4) -> float:
    """Share of a text's runs of `size` words that were there before, in [0,1]."""
    words = text.lower().split()
    runs = [tuple(words[i : i + size]) for i in range(len(words) - size + 1)]
    return 1 - len(set(runs)) / len(runs) if runs else 0.0


def mean(values: Sequence[Any]) -> float | None:
    """Mean of what is known; None if nothing is."""
    known = [float(value) for value in values if value is not None and value == value]
    return fmean(known) if known else None
