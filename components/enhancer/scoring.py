"""Scores prompts by the composite reward and measures an enhancer on held-out combinations."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from components.core.seeds import derive
from components.core.vocabulary import LISTS, SCALARS, UNKNOWN
from components.enhancer import rewards
from components.enhancer.extractor import actions, extract
from components.enhancer.form import well_formed
from components.enhancer.judges import EmbeddedJudge, Judge, ServiceJudge, Verdict, WholeJudge, verdicts
from components.enhancer.memory import Memory, RememberedJudge
from components.enhancer.pairs import Case, Pool, held_out_cases, request
from components.enhancer.params import JudgeParams, RewardParams

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from components.core.paths import Workspace
    from components.enhancer.model import Enhancer

SHOWN = 8
REMEMBERED = 100_000
"""Texts whose rule scores are kept in memory."""


@dataclass(frozen=True)
class Graded:
    """reward: the composite, None where unscorable; terms `img … len`; parts: what R_img is made of."""

    reward: float | None
    terms: dict[str, float | None]
    parts: dict[str, float | None]


@dataclass(frozen=True)
class Outcome:
    """An enhancer's answers to N cases: texts, composite rewards (NaN: unscorable), terms, and per case
    whether exactly the asked action is named and whether the text is well formed."""

    texts: list[str]
    rewards: NDArray[np.float64]
    terms: list[dict[str, float | None]]
    kept: NDArray[np.bool_]
    formed: NDArray[np.bool_]
    correct: dict[str, tuple[int, int]]
    """Attribute -> (values said rightly, values said)."""


@dataclass(frozen=True)
class _Rules:
    """What needs no judge."""

    attribute: float | None
    overlap: float | None
    time: float
    pose: float
    length: float


def open_memory(workspace: Workspace, judge: Path, params: RewardParams) -> Memory:
    """The memory of scores in state/judge, for the rules as they are now and the judge in folder `judge`."""
    from components.core.files import digest_sources, digest_tree
    from components.enhancer.training import SOURCES

    rule = f"{params.budget} {params.alpha} {params.excess}"
    scope = f"{digest_sources(*SOURCES)} {digest_tree(judge)} {rule}"
    return Memory(workspace.state("judge") / "scores.db", scope)


def _clamped(value: float | None) -> float | None:
    return rewards.clamp(value) if value is not None and rewards.is_scorable(value) else None


class Scorer:
    """The composite reward with a judge and the token counter of the generator's text encoder."""

    def __init__(
        self,
        judge: Judge | WholeJudge,
        count_tokens: Callable[[str], int],
        params: RewardParams | None = None,
        *,
        judged_time: bool = False,
        memory: Memory | None = None,
    ) -> None:
        self.judge = judge
        self.count_tokens = count_tokens
        self.params = params or RewardParams()
        self.judged_time = judged_time
        self.root: Path | None = None
        """The workspace that `load` read; None if the scorer was put together otherwise."""
        self.clamped = 0
        """How often a judge's number lay outside [0,1] so far."""
        self._by_rule: dict[tuple[str, str], _Rules] = {}
        self._memory = memory

    @classmethod
    def load(
        cls,
        workspace: Workspace,
        params: RewardParams | None = None,
        judge: JudgeParams | None = None,
        *,
        remember: bool = False,
    ) -> Scorer:
        """With the embedded judge of artifacts/perception, or the large model that `judge` names; its answers
        are kept in state/judge.

        remember: what rules and the embedded judge say is kept there, too, for another process. Not for the
        stages: a network's last bits depend on the batch, and theirs must not depend on what ran before.

        Raises:
            InputError: a model, a key or a folder is missing.
        """
        from components.perception.image_text import ImageTextModel

        folder = workspace.artifacts("perception", "image_text")
        model = ImageTextModel.load(folder)
        memory = open_memory(workspace, folder, params or RewardParams()) if remember else None
        if judge is None or judge.kind == "embedded":
            embedded: Judge = EmbeddedJudge(model)
            if memory is not None:
                embedded = RememberedJudge(embedded, memory)
            found = cls(embedded, model.encoder.count_tokens, params, memory=memory)
            found.root = workspace.root
            return found
        from components.perception.remote.describers import open_caller

        caller = open_caller(judge.kind, judge.describer, workspace.state("judge"), job="enhancer reward")
        found = cls(
            ServiceJudge(caller),
            model.encoder.count_tokens,
            params,
            judged_time=judge.time == "judge",
            memory=memory,
        )
        found.root = workspace.root
        return found

    def grade(
        self,
        attributes: Sequence[Mapping[str, Any]],
        instructions: Sequence[str],
        prompts: Sequence[str],
        pictures: Sequence[NDArray[np.uint8]] | None = None,
    ) -> list[Graded]:
        """Grades N prompts about pictures with these attributes and for these instructions.

        `pictures` (each (H,W,3) uint8) are needed where the judge looks at them itself.
        """
        if not prompts:
            return []
        told = verdicts(self.judge, attributes, instructions, prompts, pictures)
        rows = zip(self._rules(attributes, prompts), told, strict=True)
        return [self._one(rules, verdict) for rules, verdict in rows]

    def _rules(self, seen: Sequence[Mapping[str, Any]], prompts: Sequence[str]) -> list[_Rules]:
        """What the rules say, remembered: a text that comes again is not read again."""
        known = [
            json.dumps({name: one.get(name) for name in (*SCALARS, *LISTS)}, sort_keys=True) for one in seen
        ]
        asked = list(zip(known, prompts, strict=True))
        new = {pair: place for place, pair in enumerate(asked) if pair not in self._by_rule}
        if len(self._by_rule) + len(new) > REMEMBERED:
            self._by_rule.clear()
            new = {pair: place for place, pair in enumerate(asked)}
        pairs = list(new)

        def read(rows: Sequence[int]) -> list[list[Any]]:
            return [list(astuple(self._read(seen[new[pairs[i]]], pairs[i][1]))) for i in rows]

        if self._memory is None:
            made = read(range(len(pairs)))
        else:
            made = self._memory.through([self._memory.key("rules", *pair) for pair in pairs], read)
        self._by_rule.update({pair: _Rules(*values) for pair, values in zip(pairs, made, strict=True)})
        return [self._by_rule[pair] for pair in asked]

    def _read(self, seen: Mapping[str, Any], prompt: str) -> _Rules:
        params, said = self.params, extract(prompt)
        return _Rules(
            rewards.attribute_match({name: seen.get(name) for name in SCALARS}, said),
            rewards.mean_jaccard({name: seen.get(name) for name in LISTS}, said),
            rewards.temporal_structure(prompt),
            rewards.pose_cues(prompt, seen),
            rewards.length_score(self.count_tokens(prompt), params.budget, params.alpha, params.excess),
        )

    def _one(self, rules: _Rules, verdict: Verdict) -> Graded:
        params, told = self.params, verdict.criteria
        numbers = [*told.values(), verdict.inst, *([verdict.time] if self.judged_time else [])]
        for number in numbers:
            if rewards.is_scorable(number) and not 0 <= float(number or 0.0) <= 1:
                self.clamped += 1
        judged = rewards.judge_score(told, params.criteria.model_dump())
        terms = {
            "img": rewards.image_faithfulness(
                judged, rewards.hybrid(rules.overlap, rules.attribute, params.lam), params.beta
            ),
            "inst": _clamped(verdict.inst),
            "time": _clamped(verdict.time) if self.judged_time else rules.time,
            "pose": rules.pose,
            "len": rules.length,
        }
        parts = {**told, "judge": judged, "attribute": rules.attribute, "jaccard": rules.overlap}
        return Graded(rewards.composite(terms, params.weights.model_dump()), terms, parts)

    def answers(
        self, enhancer: Enhancer, pool: Pool, cases: Sequence[Case], *, sample: bool, seed: int
    ) -> Outcome:
        """The enhancer's texts for cases of a pool, graded. The same seed gives the same texts."""
        rows = [case.row for case in cases]
        seen = [pool.attributes[row] for row in rows]
        instructions = [case.instruction.text for case in cases]
        texts = enhancer.complete(
            pool.images[rows],
            [request(text, attributes) for text, attributes in zip(instructions, seen, strict=True)],
            sample=sample,
            seed=derive(seed, "answers") % 2**31,
        )
        return self.outcome(pool, cases, texts)

    def outcome(self, pool: Pool, cases: Sequence[Case], texts: Sequence[str]) -> Outcome:
        """Texts that answer cases of a pool, graded."""
        rows = [case.row for case in cases]
        seen = [pool.attributes[row] for row in rows]
        graded = self.grade(seen, [case.instruction.text for case in cases], texts, list(pool.images[rows]))
        return Outcome(
            list(texts),
            np.array([math.nan if one.reward is None else one.reward for one in graded]),
            [one.terms for one in graded],
            np.array([actions(t) == [case.instruction.action] for t, case in zip(texts, cases, strict=True)]),
            np.array([well_formed(text, attributes) for text, attributes in zip(texts, seen, strict=True)]),
            said_rightly(texts, seen),
        )


def said_rightly(texts: Sequence[str], seen: Sequence[Mapping[str, Any]]) -> dict[str, tuple[int, int]]:
    """Per attribute: (values said rightly, values said), where the picture's value is known."""
    counts = {name: [0, 0] for name in (*SCALARS, *LISTS)}
    for text, wanted in zip(texts, seen, strict=True):
        said = extract(text)
        for name in SCALARS:
            if said[name] != UNKNOWN and wanted.get(name, UNKNOWN) != UNKNOWN:
                counts[name][0] += said[name] == wanted[name]
                counts[name][1] += 1
        for name in LISTS:
            for value in said[name]:
                counts[name][0] += value in (wanted.get(name) or ())
                counts[name][1] += 1
    return {name: (right, total) for name, (right, total) in counts.items()}


def summary(outcome: Outcome, prefix: str) -> dict[str, float]:
    """Flat figures of an outcome, each name beginning with `prefix`."""
    scored = outcome.rewards[~np.isnan(outcome.rewards)]
    right = sum(a for a, _ in outcome.correct.values())
    said = sum(b for _, b in outcome.correct.values())
    objects = outcome.correct["objects"]
    words = [text.split() for text in outcome.texts]
    figures = {
        "reward": float(scored.mean()) if len(scored) else math.nan,
        "unscorable": float(np.isnan(outcome.rewards).mean()),
        "action_kept": float(outcome.kept.mean()),
        "well_formed": float(outcome.formed.mean()),
        "attributes_right": right / said if said else math.nan,
        "objects_right": objects[0] / objects[1] if objects[1] else 1.0,
        "words": float(np.mean([len(one) for one in words])),
        "distinct_texts": float(len(set(outcome.texts))),
        "distinct_bigrams": float(len({pair for one in words for pair in zip(one, one[1:], strict=False)})),
    }
    for term in rewards.TERMS:
        values = [value for row in outcome.terms if (value := row[term]) is not None]
        figures[f"term_{term}"] = float(np.mean(values)) if values else math.nan
    return {f"{prefix}{name}": round(value, 6) for name, value in figures.items() if not math.isnan(value)}


@dataclass(frozen=True)
class Measured:
    """Flat figures (greedy without a prefix, sampled with `sampled_`) and readable samples."""

    metrics: dict[str, float]
    samples: list[dict[str, Any]]
    greedy: Outcome
    sampled: Outcome


def measure(scorer: Scorer, enhancer: Enhancer, pool: Pool, count: int, seed: int) -> Measured:
    """An enhancer on `count` held-out combinations of picture and wording, greedy and sampled.

    The cases depend on the pool, `count` and `seed` alone: two models measured so are paired.
    """
    cases = held_out_cases(pool, count, seed)
    greedy = scorer.answers(enhancer, pool, cases, sample=False, seed=seed)
    return _measured(cases, greedy, scorer.answers(enhancer, pool, cases, sample=True, seed=seed))


def measure_texts(
    scorer: Scorer, texts: Mapping[str, Sequence[str]], pool: Pool, count: int, seed: int
) -> Measured | None:
    """What `measure` gave an enhancer that answered these cases with `texts` ("greedy", "sampled"), graded by
    this scorer; None where the texts are not of as many cases."""
    cases = held_out_cases(pool, count, seed)
    if any(len(texts.get(name, ())) != len(cases) for name in ("greedy", "sampled")):
        return None
    greedy = scorer.outcome(pool, cases, texts["greedy"])
    return _measured(cases, greedy, scorer.outcome(pool, cases, texts["sampled"]))


def _measured(cases: Sequence[Case], greedy: Outcome, sampled: Outcome) -> Measured:
    samples = [
        {
            "instruction": case.instruction.text,
            "action": case.instruction.action,
            "text": greedy.texts[number],
            "sampled": sampled.texts[number],
            "reward": float(greedy.rewards[number]),
            "terms": greedy.terms[number],
        }
        for number, case in enumerate(cases[:SHOWN])
    ]
    return Measured({**summary(greedy, ""), **summary(sampled, "sampled_")}, samples, greedy, sampled)
