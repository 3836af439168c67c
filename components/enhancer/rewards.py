"""The composite reward of the supplement (equations 1 to 6) as pure functions.

`R = w_img R_img + w_inst R_inst + w_time R_time + w_pose R_pose + w_len R_len`, every term in [0,1].

None means undefined: a 0/0 in an attribute score is missing, neither 1 nor 0, and its weight moves to the
part that is present; a judge that gave no number makes the sample unscorable, and the caller keeps it out of
the group's mean and deviation. A judge's value outside [0,1] is clamped here and counted by the caller.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping

from components.core.vocabulary import HAND_ACTIONS, UNKNOWN
from components.enhancer.extractor import actions, cues, normalise

TERMS = ("img", "inst", "time", "pose", "len")
CRITERIA = ("identity", "pose", "scene", "motion")
"""What the judge of R_img scores: identity and appearance, pose and body, scene, motion plausibility."""
MAX_BUDGET = 220
ALPHA_RANGE = (2.0, 5.0)
SUM_TOLERANCE = 1e-6
POSE_KINDS = ("head", "gaze", "hands")
MAX_MIDDLE_MARKERS = 2

_STAGES = {
    "beginning": r"at first|at the (?:beginning|start)|in the beginning|initially|to begin(?: with)?"
    r"|(?:^|(?<=[.;:!?,] ))first(?= an?\b| there\b| it\b| his\b| her\b| their\b| comes\b)"
    r"|first(?=,| they\b| the\b| she\b| he\b)"
    r"|(?:begins?|starts?|beginning|starting) (?:by|with)",
    "middle": r"then|next(?! to\b)|after that|afterwards?|after a moment|midway|halfway(?: through)?"
    r"|in the middle|meanwhile|subsequently|(?:^|(?<=[.;:!?,] ))second(?:ly)?(?=,)",
    "end": r"finally|at last|lastly|in the end|at the end|eventually|ultimately|to finish|to conclude"
    r"|(?:ends?|ending|finish(?:es)?|concludes?|concluding) (?:by|with)",
}
_STAGE_PATTERNS = {stage: re.compile(rf"\b(?:{pattern})(?=\W|$)") for stage, pattern in _STAGES.items()}
_CONTRADICTED_BY: dict[tuple[str, str], tuple[str, ...]] = {
    ("gaze", "to the left"): ("look_right",),
    ("gaze", "to the right"): ("look_left",),
    ("gaze", "downward"): ("look_up",),
    ("hands", "not visible"): HAND_ACTIONS,
}
_LED_TO_BY: dict[tuple[str, str], tuple[str, ...]] = {
    ("gaze", "to the left"): ("look_left",),
    ("gaze", "to the right"): ("look_right",),
    ("gaze", "downward"): ("look_down",),
    ("head", "tilted"): ("tilt_head",),
    ("hands", "raised"): HAND_ACTIONS,
}


def _known(value: object) -> str | None:
    """The normalised value, or None where it is null, empty or "unknown"."""
    if value is None or not isinstance(value, str):
        return None
    text = normalise(value)
    return text if text and text != UNKNOWN else None


def clamp(value: float) -> float:
    """The nearest number in [0,1]."""
    return min(1.0, max(0.0, float(value)))


def is_scorable(value: float | None) -> bool:
    """False for None and NaN: a judge that gave no number."""
    return value is not None and not math.isnan(value)


def _unit(name: str, value: float) -> float:
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"{name} is {value}, must lie in [0, 1]")
    return float(value)


def attribute_match(known: Mapping[str, object], found: Mapping[str, object]) -> float | None:
    """Equation 2: matched / known scalar attributes of the image, in [0,1].

    Compares after NFKC, casefold and white-space collapse, exactly. Null and "unknown" values of the image
    do not count; what only the prompt states does not hurt. Lists belong to `jaccard`.

    Returns:
        None if the image has no known scalar.
    """
    wanted = {name: value for name, value in ((n, _known(v)) for n, v in known.items()) if value is not None}
    if not wanted:
        return None
    return sum(_known(found.get(name)) == value for name, value in wanted.items()) / len(wanted)


def _as_set(values: Iterable[object]) -> set[str]:
    if isinstance(values, str):
        raise TypeError("a list attribute is a collection of strings, not one string")
    return {value for value in map(_known, values) if value is not None}


def jaccard(a: Iterable[object], b: Iterable[object]) -> float | None:
    """Equation 3: |A∩B| / |A∪B| of two collections of values, in [0,1]; None if both are empty.

    Case, Unicode form, white space, order and duplicates do not matter; null and "unknown" do not count.
    """
    left, right = _as_set(a), _as_set(b)
    union = left | right
    return len(left & right) / len(union) if union else None


def mean_jaccard(known: Mapping[str, object], found: Mapping[str, object]) -> float | None:
    """Mean of `jaccard` over the image's list attributes for which it is defined; None if there is none.

    A list that is null in the image is unknown and does not count.
    """
    scores = []
    for name, values in known.items():
        if values is None or isinstance(values, str) or not isinstance(values, Iterable):
            continue
        other = found.get(name)
        other = other if isinstance(other, Iterable) and not isinstance(other, str) else ()
        score = jaccard(values, other)
        if score is not None:
            scores.append(score)
    return sum(scores) / len(scores) if scores else None


def hybrid(jaccard: float | None, attribute: float | None, lam: float = 0.3) -> float | None:
    """Equation 4: λ·R_Jaccard + (1−λ)·R_attr; a missing part gives its weight to the other.

    Returns:
        None if both parts are missing.

    Raises:
        ValueError: a part or λ lies outside [0,1] or is NaN.
    """
    lam = _unit("lam", lam)
    if jaccard is None:
        return None if attribute is None else _unit("attribute", attribute)
    if attribute is None:
        return _unit("jaccard", jaccard)
    return lam * _unit("jaccard", jaccard) + (1 - lam) * _unit("attribute", attribute)


def judge_score(criteria: Mapping[str, float | None], weights: Mapping[str, float]) -> float | None:
    """The judge's global score: its four criteria, each clamped to [0,1], by weights that sum to 1.

    Returns:
        None if a criterion is missing a number (unscorable).

    Raises:
        ValueError: as `composite`, for the keys of `CRITERIA`.
    """
    return _weighted(criteria, weights, CRITERIA)


def image_faithfulness(judge: float | None, hybrid: float | None, beta: float = 0.6) -> float | None:
    """Equation 5: β·R_judge + (1−β)·R_hybrid. The judge is clamped to [0,1]; without a hybrid it is alone.

    Returns:
        None if the judge gave no number (None or NaN): the sample is unscorable.

    Raises:
        ValueError: β or the hybrid lies outside [0,1] or is NaN.
    """
    beta = _unit("beta", beta)
    if hybrid is not None:
        hybrid = _unit("hybrid", hybrid)
    if judge is None or math.isnan(judge):
        return None
    score = clamp(judge)
    return score if hybrid is None else beta * score + (1 - beta) * hybrid


def stage_markers(prompt: str) -> list[tuple[str, int]]:
    """Temporal markers as (stage, position in the normalised text), in order of mention."""
    text = normalise(prompt)
    found = [
        (stage, match.start())
        for stage, pattern in _STAGE_PATTERNS.items()
        for match in pattern.finditer(text)
    ]
    return sorted(found, key=lambda item: item[1])


def temporal_structure(prompt: str) -> float:
    """R_time by rule: 0 without a temporal stage, 1 for beginning, middle and end, else 0.5.

    The full score wants the stages in order, the beginning and the end once each and at most two steps in
    the middle, so that repeating markers earns nothing.
    """
    stages = [stage for stage, _ in stage_markers(prompt)]
    if not stages:
        return 0.0
    middle = stages[1:-1]
    complete = (
        len(stages) >= 3
        and stages[0] == "beginning"
        and stages[-1] == "end"
        and set(middle) == {"middle"}
        and len(middle) <= MAX_MIDDLE_MARKERS
    )
    return 1.0 if complete else 0.5


def pose_cues(prompt: str, pose: Mapping[str, object]) -> float:
    """R_pose: fine-grained cues of the prompt against the pose seen in the image, in [0,1].

    `pose` holds `head`, `gaze` and `hands` with values of the vocabulary; null and "unknown" do not count.
    Each known feature earns 1 if the prompt names its value in one complete phrase, 0.5 if that value
    contradicts the prompt's action (a gaze to the left while looking right) or if the phrase names where
    the action leads instead of what is seen, else 0; a cue said twice earns nothing. The score is the mean
    over the known features. With none known nothing can be verified: each kind of cue named once earns 0.5
    of a third.
    """
    said = cues(prompt)
    doing = set(actions(prompt))
    wanted = {kind: value for kind in POSE_KINDS if (value := _known(pose.get(kind))) is not None}
    if not wanted:
        return sum(0.5 for kind in POSE_KINDS if len(said[kind]) == 1) / len(POSE_KINDS)
    total = 0.0
    for kind, value in wanted.items():
        if len(said[kind]) != 1:
            continue
        cue = said[kind][0]
        if cue == value:
            total += 0.5 if doing & set(_CONTRADICTED_BY.get((kind, cue), ())) else 1.0
        elif doing & set(_LED_TO_BY.get((kind, cue), ())):
            total += 0.5
    return total / len(wanted)


def length_score(tokens: int, budget: int = MAX_BUDGET, alpha: float = 2.0, excess: str = "tokens") -> float:
    """Equation 6: exp(−α·max(0, T−B)), 1 within the budget, never negative.

    Literal by default, a cliff: T=221 gives 0.135 at α=2. `excess="fraction"` uses (T−B)/B.

    Raises:
        ValueError: negative tokens, a budget outside 1…220, α outside [2,5] or NaN, an unknown excess.
    """
    if math.isnan(tokens) or tokens < 0:
        raise ValueError(f"tokens is {tokens}, must not be negative")
    if not 1 <= budget <= MAX_BUDGET:
        raise ValueError(f"budget is {budget}, must lie in 1…{MAX_BUDGET}")
    if not ALPHA_RANGE[0] <= alpha <= ALPHA_RANGE[1]:
        raise ValueError(f"alpha is {alpha}, must lie in [{ALPHA_RANGE[0]}, {ALPHA_RANGE[1]}]")
    if excess not in ("tokens", "fraction"):
        raise ValueError(f"excess is {excess!r}, must be 'tokens' or 'fraction'")
    over = max(0.0, tokens - budget)
    return math.exp(-alpha * (over / budget if excess == "fraction" else over))


def check_weights(weights: Mapping[str, float], names: Iterable[str] = TERMS) -> None:
    """Raises ValueError unless `weights` has exactly `names`, none negative or NaN, and sums to 1 ± 1e-6."""
    expected = tuple(names)
    if set(weights) != set(expected):
        missing, unknown = sorted(set(expected) - set(weights)), sorted(set(weights) - set(expected))
        raise ValueError(f"weights must name exactly {list(expected)}: missing {missing}, unknown {unknown}")
    for name, weight in weights.items():
        if not weight >= 0 or math.isinf(weight):
            raise ValueError(f"weight of {name!r} is {weight}, must be a finite number of at least 0")
    total = math.fsum(weights.values())
    if abs(total - 1) > SUM_TOLERANCE:
        raise ValueError(f"weights sum to {total}, must sum to 1 (they are never renormalised silently)")


def _weighted(
    terms: Mapping[str, float | None], weights: Mapping[str, float], names: tuple[str, ...]
) -> float | None:
    check_weights(weights, names)
    if set(terms) != set(names):
        missing, unknown = sorted(set(names) - set(terms)), sorted(set(terms) - set(names))
        raise ValueError(f"terms must be exactly {list(names)}: missing {missing}, unknown {unknown}")
    total = 0.0
    for name in names:
        value = terms[name]
        if value is None or math.isnan(value):
            return None
        total += weights[name] * clamp(value)
    return clamp(total)


def composite(terms: Mapping[str, float | None], weights: Mapping[str, float]) -> float | None:
    """Equation 1: the weighted sum of the five terms `img, inst, time, pose, len`, in [0,1].

    A term outside [0,1] (a judge's) is clamped.

    Returns:
        None if a term is None or NaN: the sample is unscorable.

    Raises:
        ValueError: terms or weights are missing or unknown, a weight is negative, or they do not sum to 1.
    """
    return _weighted(terms, weights, TERMS)
