"""The rewards against a second, independent computation, and the laws that the issue asks for."""

from __future__ import annotations

import inspect
import math
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.enhancer import rewards
from components.enhancer.rewards import TERMS

FAST = settings(deadline=None, max_examples=40)
WORDS = st.sampled_from(["hat", "scarf", "red jacket", "brick wall", "cup", "ﬁne ring", "Straße"])
UNIT = st.floats(0, 1)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (rewards.attribute_match, ["known", "found"]),
        (rewards.jaccard, ["a", "b"]),
        (rewards.hybrid, ["jaccard", "attribute", "lam=0.3"]),
        (rewards.image_faithfulness, ["judge", "hybrid", "beta=0.6"]),
        (rewards.temporal_structure, ["prompt"]),
        (rewards.pose_cues, ["prompt", "pose"]),
        (rewards.length_score, ["tokens", "budget=220", "alpha=2.0", "excess='tokens'"]),
        (rewards.composite, ["terms", "weights"]),
    ],
)
def test_public_signatures(function: Any, expected: list[str]) -> None:
    found = [
        name if one.default is inspect.Parameter.empty else f"{name}={one.default!r}"
        for name, one in inspect.signature(function).parameters.items()
    ]
    assert found == expected


def by_hand(judge: str, overlap: str | None, match: str | None) -> Fraction:
    """R_img with the paper's β = 0.6, λ = 0.3 in exact fractions."""
    parts = {"j": (Fraction(3, 10), overlap), "a": (Fraction(7, 10), match)}
    known = {name: (w, Fraction(v)) for name, (w, v) in parts.items() if v is not None}
    if not known:
        return Fraction(judge)
    mixed = sum(w * v for w, v in known.values()) / sum(w for w, _ in known.values())
    return Fraction(6, 10) * Fraction(judge) + Fraction(4, 10) * mixed


@pytest.mark.parametrize(
    ("judge", "overlap", "match", "expected"),
    [
        ("0.8", "0.5", "0.75", 0.75),
        ("1", "1", "1", 1.0),
        ("0", "0", "0", 0.0),
        ("0.5", "0", "1", 0.58),
        ("0.5", "1", "0", 0.42),
        ("0.9", None, "0.5", 0.74),
        ("0.9", "0.5", None, 0.74),
        ("0.9", None, None, 0.9),
        ("0.25", "0.2", "0.6", 0.342),
        ("0.4", "0.75", "0.125", 0.365),
    ],
)
def test_image_faithfulness_in_fractions(
    judge: str, overlap: str | None, match: str | None, expected: float
) -> None:
    mixed = rewards.hybrid(
        None if overlap is None else float(overlap), None if match is None else float(match)
    )
    assert rewards.image_faithfulness(float(judge), mixed) == pytest.approx(expected)
    assert float(by_hand(judge, overlap, match)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("values", "weights", "expected"),
    [
        ((0.8, 0.9, 1, 0.6, 1), (0.2, 0.2, 0.2, 0.2, 0.2), 0.86),
        ((0.8, 0.9, 1, 0.6, 1), (0.3, 0.25, 0.2, 0.15, 0.1), 0.855),
        ((0.5, 0.5, 0.5, 0.5, 0.5), (0.3, 0.25, 0.2, 0.15, 0.1), 0.5),
        ((1, 0, 0, 0, 0), (0.3, 0.25, 0.2, 0.15, 0.1), 0.3),
        ((0, 1, 0, 0, 0), (0.3, 0.25, 0.2, 0.15, 0.1), 0.25),
        ((0, 0, 0.5, 0, 1), (0.3, 0.25, 0.2, 0.15, 0.1), 0.2),
        ((0.75, 1, 0.5, 1 / 3, 0.135335), (0.4, 0.3, 0.1, 0.1, 0.1), 0.6968668),
        ((1, 1, 1, 1, 0.0067379), (0.1, 0.1, 0.1, 0.1, 0.6), 0.40404274),
    ],
)
def test_composite_by_hand(values: Any, weights: Any, expected: float) -> None:
    terms, shares = dict(zip(TERMS, values, strict=True)), dict(zip(TERMS, weights, strict=True))
    assert rewards.composite(terms, shares) == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize(
    ("tokens", "budget", "alpha", "excess", "expected"),
    [
        (219, 220, 2.0, "tokens", 1.0),
        (221, 220, 2.0, "tokens", 0.1353353),
        (221, 220, 5.0, "tokens", 0.0067379),
        (222, 220, 3.0, "tokens", 0.0024788),
        (78, 77, 2.5, "tokens", 0.0820850),
        (231, 220, 2.0, "fraction", 0.9048374),
        (330, 220, 4.0, "fraction", 0.1353353),
        (150, 100, 2.0, "fraction", 0.3678794),
        (100_000, 220, 5.0, "tokens", 0.0),
    ],
)
def test_length_by_hand(tokens: int, budget: int, alpha: float, excess: str, expected: float) -> None:
    assert rewards.length_score(tokens, budget, alpha, excess) == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("alpha", [2, 2.0, 5, 5.0, 3.3])
def test_alpha_within_its_range_is_taken(alpha: float) -> None:
    assert rewards.length_score(220, alpha=alpha) == 1.0


@pytest.mark.parametrize("alpha", [1.999, 5.001, -3.0, math.inf, -math.inf, math.nan])
def test_alpha_outside_is_refused_even_within_the_budget(alpha: float) -> None:
    with pytest.raises(ValueError, match="alpha"):
        rewards.length_score(1, alpha=alpha)


@pytest.mark.parametrize("tokens", [-1, math.nan])
def test_tokens_that_are_no_count(tokens: float) -> None:
    with pytest.raises(ValueError, match="tokens"):
        rewards.length_score(tokens)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("known", "found", "expected"),
    [
        ({"hair": "bald", "gaze": "downward", "head": "tilted"}, {"hair": "bald", "gaze": "downward"}, 2 / 3),
        ({"hair": "BALD"}, {"hair": "bald"}, 1.0),
        ({"place": "Straße"}, {"place": "STRASSE"}, 1.0),
        ({"place": "ﬁeld"}, {"place": "field"}, 1.0),
        ({"place": "brick\u00a0wall"}, {"place": " brick  wall"}, 1.0),
        ({"hair": "Unknown "}, {"hair": "bald"}, None),
        ({"hair": ""}, {"hair": ""}, None),
        ({"hair": "bald"}, {}, 0.0),
        ({"hair": "bald", "objects": ["cup"]}, {"hair": "bald"}, 1.0),
    ],
)
def test_attribute_match_by_hand(known: Any, found: Any, expected: float | None) -> None:
    assert rewards.attribute_match(known, found) == expected


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ("abc", "bcd", 0.5), ("abc", "abc", 1.0), ("abcd", "ab", 0.5), ("abc", "de", 0.0),
        ("abcde", "cdefg", 3 / 7), ("a", "abcdefghij", 0.1),
    ],
)  # fmt: skip
def test_jaccard_by_hand(a: str, b: str, expected: float) -> None:
    assert rewards.jaccard(list(a), list(b)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("First a smile, then a nod, finally rest.", 1.0),
        ("First, she smiles. Second, she nods. Lastly, she rests.", 1.0),
        ("Start with a smile, then nod, and finish with a wave.", 1.0),
        ("In the beginning, still. In the middle, a nod. At the end, a smile.", 1.0),
        ("To begin, still. Halfway through, a nod. Ultimately, a smile.", 1.0),
        ("It begins with a look; next, a wave; it ends with a nod.", 1.0),
        ("A first window, a second door.", 0.0),
        ("A split second of a nod.", 0.0),
        ("The weekend ends.", 0.0),
        ("Strengthen the nod.", 0.0),
        ("finally then at first", 0.5),
    ],
)
def test_time_by_hand(prompt: str, expected: float) -> None:
    assert rewards.temporal_structure(prompt) == expected


@FAST
@given(st.dictionaries(st.sampled_from("abcdef"), WORDS, min_size=1), st.randoms())
def test_attribute_match_ignores_case_space_order_and_extras(known: dict[str, str], random: Any) -> None:
    changed = [(name, f" {value.upper()}\t".replace(" ", "\u00a0 ")) for name, value in known.items()]
    random.shuffle(changed)
    assert rewards.attribute_match(known, {**dict(changed), "extra": "x"}) == 1.0


@FAST
@given(st.dictionaries(st.sampled_from("abcdef"), WORDS), st.dictionaries(st.sampled_from("abcdef"), WORDS))
def test_attribute_match_counts(known: dict[str, str], found: dict[str, str]) -> None:
    score = rewards.attribute_match(known, found)
    right = sum(
        rewards.normalise(found.get(name, "")) == rewards.normalise(value) for name, value in known.items()
    )
    assert score == (right / len(known) if known else None)


@FAST
@given(st.lists(WORDS), st.lists(WORDS))
def test_jaccard_is_symmetric_bounded_and_exact(a: list[str], b: list[str]) -> None:
    score = rewards.jaccard(a, b)
    assert score == rewards.jaccard(b, a) == rewards.jaccard(b + b, [one.swapcase() for one in reversed(a)])
    left, right = {rewards.normalise(x) for x in a}, {rewards.normalise(x) for x in b}
    assert score == (len(left & right) / len(left | right) if left | right else None)
    if a:
        assert rewards.jaccard(a, a) == 1.0


@FAST
@given(UNIT, UNIT, UNIT, UNIT)
def test_hybrid_and_image_stay_between_their_parts(a: float, b: float, lam: float, judge: float) -> None:
    mixed = rewards.hybrid(a, b, lam)
    assert mixed is not None and min(a, b) - 1e-12 <= mixed <= max(a, b) + 1e-12
    score = rewards.image_faithfulness(judge, min(1.0, mixed))
    assert score is not None and min(judge, mixed) - 1e-12 <= score <= max(judge, mixed) + 1e-12


@FAST
@given(st.floats(allow_nan=False), UNIT)
def test_a_judge_is_clamped_wherever_it_lies(judge: float, mixed: float) -> None:
    score = rewards.image_faithfulness(judge, mixed)
    assert score == pytest.approx(rewards.image_faithfulness(min(1.0, max(0.0, judge)), mixed))


@FAST
@given(st.sampled_from(TERMS), UNIT, UNIT, st.lists(st.floats(0.01, 1), min_size=5, max_size=5))
def test_a_better_term_never_lowers_the_composite(
    name: str, low: float, high: float, raw: list[float]
) -> None:
    weights = {term: value / math.fsum(raw) for term, value in zip(TERMS, raw, strict=True)}
    base = dict.fromkeys(TERMS, 0.5)
    worse = rewards.composite({**base, name: min(low, high)}, weights)
    better = rewards.composite({**base, name: max(low, high)}, weights)
    assert worse is not None and better is not None and worse <= better + 1e-12


@FAST
@given(st.integers(221, 400), st.floats(2, 5), st.floats(2, 5))
def test_a_larger_alpha_is_never_milder(tokens: int, a: float, b: float) -> None:
    mild, harsh = sorted((a, b))
    assert rewards.length_score(tokens, alpha=harsh) <= rewards.length_score(tokens, alpha=mild) < 1


@FAST
@given(st.integers(0, 220), st.floats(2, 5), st.sampled_from(["tokens", "fraction"]))
def test_within_the_budget_nothing_is_lost(tokens: int, alpha: float, excess: str) -> None:
    assert rewards.length_score(tokens, 220, alpha, excess) == 1.0


@FAST
@given(st.text(max_size=40))
def test_time_and_pose_ignore_case_and_white_space(text: str) -> None:
    spaced = "  \n ".join(text.split(" "))
    prompt = f"At first {text}, then a nod, finally rest. Head tilted."
    other = f"AT FIRST {spaced}, THEN a nod,\tFINALLY rest.  HEAD  tilted."
    assert rewards.temporal_structure(prompt) == rewards.temporal_structure(other)
    assert rewards.pose_cues(prompt, {"head": "tilted"}) == rewards.pose_cues(other, {"head": "tilted"})


@pytest.mark.parametrize("name", TERMS)
@pytest.mark.parametrize("value", [None, math.nan])
def test_any_undefined_term_makes_the_sample_unscorable(name: str, value: float | None) -> None:
    assert rewards.composite({**dict.fromkeys(TERMS, 1.0), name: value}, dict.fromkeys(TERMS, 0.2)) is None


@pytest.mark.parametrize("name", TERMS)
def test_a_negative_weight_is_refused_even_if_the_sum_is_one(name: str) -> None:
    other = next(one for one in TERMS if one != name)
    weights = dict.fromkeys(TERMS, 0.2) | {name: -0.1, other: 0.5}
    with pytest.raises(ValueError, match="at least 0"):
        rewards.composite(dict.fromkeys(TERMS, 1.0), weights)


@pytest.mark.parametrize("delta", [1.1e-6, -1.1e-6, 0.1])
def test_weights_are_never_renormalised(delta: float) -> None:
    with pytest.raises(ValueError, match="sum"):
        rewards.composite(dict.fromkeys(TERMS, 1.0), dict.fromkeys(TERMS, 0.2) | {"len": 0.2 + delta})
