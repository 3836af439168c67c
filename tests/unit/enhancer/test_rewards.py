"""The reward functions against worked numbers, and their properties."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.enhancer.rewards import (
    TERMS,
    attribute_match,
    check_weights,
    composite,
    hybrid,
    image_faithfulness,
    jaccard,
    judge_score,
    length_score,
    mean_jaccard,
    pose_cues,
    stage_markers,
    temporal_structure,
)

EQUAL = dict.fromkeys(TERMS, 0.2)
FULL = dict.fromkeys(TERMS, 1.0)


def terms(*values: float | None) -> dict[str, float | None]:
    return dict(zip(TERMS, values, strict=True))


class TestWorkedValues:
    """The numbers that the paper's notes work out."""

    def test_jaccard_of_three_and_three(self) -> None:
        assert jaccard({"a", "b", "c"}, {"b", "c", "d"}) == 0.5

    def test_hybrid(self) -> None:
        assert hybrid(0.5, 0.75) == pytest.approx(0.675)

    def test_image_faithfulness(self) -> None:
        assert image_faithfulness(0.8, 0.675) == pytest.approx(0.75)

    def test_composite(self) -> None:
        assert composite(terms(0.8, 0.9, 1, 0.6, 1), EQUAL) == pytest.approx(0.86)

    @pytest.mark.parametrize(("alpha", "expected"), [(2.0, 0.135335), (5.0, 0.006738)])
    def test_length_is_a_cliff(self, alpha: float, expected: float) -> None:
        assert length_score(221, alpha=alpha) == pytest.approx(expected, abs=1e-6)

    def test_image_weights_of_the_three_parts(self) -> None:
        def r_img(judge: float, overlap: float, match: float) -> float | None:
            return image_faithfulness(judge, hybrid(overlap, match))

        assert r_img(1, 0, 0) == pytest.approx(0.6)
        assert r_img(0, 1, 0) == pytest.approx(0.12)
        assert r_img(0, 0, 1) == pytest.approx(0.28)


class TestJaccard:
    @pytest.mark.parametrize(
        ("a", "b", "expected"),
        [
            (["hat"], ["hat"], 1.0),
            (["hat"], ["scarf"], 0.0),
            (["hat", "scarf"], ["hat"], 0.5),
            (["hat"], [], 0.0),
            ([], ["hat"], 0.0),
            ([], [], None),
            ([None, "unknown"], [], None),
            (["unknown", "hat"], ["hat"], 1.0),
            (["Hat"], [" hAT "], 1.0),
            (["brick  wall"], ["brick\nwall"], 1.0),
            (["hat", "hat"], ["hat"], 1.0),
            (["ﬁne hat"], ["fine hat"], 1.0),
            (["a", "b", "c", "d"], ["d", "e"], 0.2),
        ],
    )
    def test_values(self, a: list[str], b: list[str], expected: float | None) -> None:
        assert jaccard(a, b) == expected

    def test_one_string_is_refused(self) -> None:
        with pytest.raises(TypeError, match="collection of strings"):
            jaccard("hat", ["hat"])

    @settings(deadline=None, max_examples=50)
    @given(st.sets(st.sampled_from("abcdefgh")), st.sets(st.sampled_from("abcdefgh")))
    def test_symmetric_and_bounded(self, a: set[str], b: set[str]) -> None:
        score = jaccard(a, b)
        assert score == jaccard(b, a)
        assert score is None if not a | b else 0 <= (score or 0.0) <= 1

    @settings(deadline=None, max_examples=50)
    @given(st.lists(st.sampled_from(["hat", "scarf", "brick wall", "cup"]), min_size=1), st.randoms())
    def test_case_order_space_and_duplicates_do_not_matter(self, values: list[str], random: object) -> None:
        changed = [f"  {value.upper()} ".replace(" ", "  ") for value in values] + values
        random.shuffle(changed)  # type: ignore[attr-defined]
        assert jaccard(values, changed) == 1.0

    @pytest.mark.parametrize(
        ("known", "found", "expected"),
        [
            ({"accessories": ["hat"], "objects": ["cup"]}, {"accessories": ["hat"], "objects": ["cup"]}, 1.0),
            ({"accessories": ["hat"], "objects": ["cup"]}, {"accessories": ["hat"], "objects": []}, 0.5),
            ({"accessories": [], "objects": ["cup"]}, {"accessories": [], "objects": ["cup"]}, 1.0),
            ({"accessories": [], "objects": []}, {"accessories": [], "objects": []}, None),
            ({"accessories": [], "objects": []}, {"accessories": [], "objects": ["pen"]}, 0.0),
            ({"accessories": None, "objects": ["cup"]}, {"accessories": ["hat"], "objects": ["cup"]}, 1.0),
            ({"objects": ["cup"]}, {}, 0.0),
        ],
    )
    def test_mean_over_lists(self, known: dict, found: dict, expected: float | None) -> None:
        assert mean_jaccard(known, found) == expected


class TestAttributes:
    @pytest.mark.parametrize(
        ("known", "found", "expected"),
        [
            ({"hair": "bald"}, {"hair": "bald"}, 1.0),
            ({"hair": "bald"}, {"hair": "long red"}, 0.0),
            ({"hair": "bald", "head": "tilted"}, {"hair": "bald"}, 0.5),
            ({"hair": "unknown", "head": "tilted"}, {"head": "tilted"}, 1.0),
            ({"hair": None, "head": "tilted"}, {"head": "tilted"}, 1.0),
            ({"hair": None}, {"hair": "bald"}, None),
            ({}, {"hair": "bald"}, None),
            ({"hair": "Long  RED"}, {"hair": "long red"}, 1.0),
            ({"hair": "bald"}, {"hair": "bald", "gaze": "downward"}, 1.0),
            ({"a": "1", "b": "2", "c": "3", "d": "4"}, {"a": "1", "b": "2", "c": "3", "d": "5"}, 0.75),
            ({"hair": "bald"}, {"hair": ["bald"]}, 0.0),
        ],
    )
    def test_values(self, known: dict, found: dict, expected: float | None) -> None:
        assert attribute_match(known, found) == expected


class TestHybridAndImage:
    @pytest.mark.parametrize(
        ("overlap", "match", "expected"),
        [(None, None, None), (None, 0.4, 0.4), (0.4, None, 0.4), (1.0, 0.0, 0.3), (0.0, 1.0, 0.7)],
    )
    def test_missing_parts_give_their_weight_away(
        self, overlap: float | None, match: float | None, expected: float | None
    ) -> None:
        assert hybrid(overlap, match) == expected

    @pytest.mark.parametrize("lam", [-0.1, 1.1, math.nan])
    def test_lam_outside_is_refused(self, lam: float) -> None:
        with pytest.raises(ValueError, match="lam"):
            hybrid(0.5, 0.5, lam)

    @pytest.mark.parametrize("value", [-0.01, 1.01, math.nan])
    def test_parts_outside_are_refused(self, value: float) -> None:
        with pytest.raises(ValueError):
            hybrid(value, 0.5)
        with pytest.raises(ValueError):
            hybrid(None, value)

    @pytest.mark.parametrize(
        ("judge", "mixed", "expected"),
        [
            (0.8, None, 0.8),
            (1.7, 0.5, 0.8),
            (-3.0, 0.5, 0.2),
            (math.inf, 1.0, 1.0),
            (None, 0.5, None),
            (math.nan, 0.5, None),
            (math.nan, None, None),
        ],
    )
    def test_image_faithfulness(
        self, judge: float | None, mixed: float | None, expected: float | None
    ) -> None:
        score = image_faithfulness(judge, mixed)
        assert score == (None if expected is None else pytest.approx(expected))

    def test_beta_outside_is_refused(self) -> None:
        with pytest.raises(ValueError, match="beta"):
            image_faithfulness(0.5, 0.5, beta=1.5)

    def test_criteria_have_weights_of_their_own(self) -> None:
        weights = {"identity": 0.5, "pose": 0.5, "scene": 0.0, "motion": 0.0}
        given_ = {"identity": 1.0, "pose": 0.5, "scene": 0.0, "motion": 0.0}
        assert judge_score(given_, weights) == pytest.approx(0.75)
        assert judge_score({**given_, "pose": None}, weights) is None
        with pytest.raises(ValueError, match="missing"):
            judge_score({"identity": 1.0}, weights)


class TestTime:
    @pytest.mark.parametrize(
        ("prompt", "expected"),
        [
            ("The person nods.", 0.0),
            ("", 0.0),
            ("At first still, then the person nods, finally they settle.", 1.0),
            ("AT FIRST still,\nTHEN a nod,  FINALLY rest.", 1.0),
            ("Initially they wait. After that they wave. In the end they rest.", 1.0),
            ("First, a smile, next a nod, at last silence.", 1.0),
            ("At first a smile, then a nod, then a wave, finally rest.", 1.0),
            ("At first a smile, then a nod.", 0.5),
            ("Then the person nods.", 0.5),
            ("Finally rest.", 0.5),
            ("Finally rest, then a nod, at first a smile.", 0.5),
            ("At first, at first, then a nod, finally rest.", 0.5),
            ("At first a, then b, finally c, finally d.", 0.5),
            ("At first a, then b, then c, then d, finally e.", 0.5),
            ("At first a, finally b.", 0.5),
            ("The lamp stands next to the first window.", 0.0),
        ],
    )
    def test_rule(self, prompt: str, expected: float) -> None:
        assert temporal_structure(prompt) == expected

    def test_markers_are_listed_in_order(self) -> None:
        found = stage_markers("At first a, then b, finally c.")
        assert [stage for stage, _ in found] == ["beginning", "middle", "end"]

    @settings(deadline=None, max_examples=50)
    @given(st.text(max_size=80))
    def test_any_text_scores_one_of_three_values(self, text: str) -> None:
        assert temporal_structure(text) in (0.0, 0.5, 1.0)


POSE = {"head": "turned left", "gaze": "at the camera", "hands": "raised"}


class TestPose:
    @pytest.mark.parametrize(
        ("prompt", "pose", "expected"),
        [
            ("Head turned left, gaze at the camera, hands raised.", POSE, 1.0),
            ("The head is turned to the left, eyes on the camera, one hand raised.", POSE, 1.0),
            ("Head turned left, gaze at the camera.", POSE, 2 / 3),
            ("Head turned left.", POSE, 1 / 3),
            ("The person nods.", POSE, 0.0),
            ("Head turned right, gaze downward, hands at the sides.", POSE, 0.0),
            ("Head turned left, head turned left.", {"head": "turned left"}, 0.0),
            ("Head , gaze , hands .", POSE, 0.0),
            ("Gaze at the camera.", {"head": "unknown", "gaze": "at the camera", "hands": None}, 1.0),
            ("Gaze to the left, the person looks right.", {"gaze": "to the left"}, 0.5),
            ("Gaze to the left, the person nods.", {"gaze": "to the left"}, 1.0),
            ("Gaze to the left, the person looks left.", {"gaze": "at the camera"}, 0.5),
            ("Hands not visible, the person waves.", {"hands": "not visible"}, 0.5),
            ("A person holding a cup.", {"hands": "holding an object"}, 1.0),
            ("Head tilted, gaze downward.", {}, 1 / 3),
            ("Nothing of the kind.", {}, 0.0),
        ],
    )
    def test_values(self, prompt: str, pose: dict, expected: float) -> None:
        assert pose_cues(prompt, pose) == pytest.approx(expected)

    @settings(deadline=None, max_examples=50)
    @given(st.text(max_size=60))
    def test_bounded(self, text: str) -> None:
        assert 0 <= pose_cues(text, POSE) <= 1


class TestLength:
    @pytest.mark.parametrize(
        ("tokens", "kwargs", "expected"),
        [
            (0, {}, 1.0),
            (220, {}, 1.0),
            (100, {"budget": 100}, 1.0),
            (101, {"budget": 100}, math.exp(-2)),
            (222, {}, math.exp(-4)),
            (242, {"excess": "fraction"}, math.exp(-0.2)),
            (440, {"excess": "fraction", "alpha": 5.0}, math.exp(-5)),
        ],
    )
    def test_values(self, tokens: int, kwargs: dict, expected: float) -> None:
        assert length_score(tokens, **kwargs) == pytest.approx(expected)

    @pytest.mark.parametrize(
        "kwargs",
        [
            {"alpha": 1.99}, {"alpha": 5.01}, {"alpha": math.nan}, {"budget": 221}, {"budget": 0},
            {"excess": "words"},
        ],
    )  # fmt: skip
    def test_refused(self, kwargs: dict) -> None:
        with pytest.raises(ValueError):
            length_score(10, **kwargs)

    def test_negative_tokens_are_refused(self) -> None:
        with pytest.raises(ValueError, match="negative"):
            length_score(-1)

    @settings(deadline=None, max_examples=50)
    @given(st.integers(0, 2000), st.integers(0, 50), st.floats(2, 5), st.sampled_from(["tokens", "fraction"]))
    def test_longer_is_never_better(self, tokens: int, more: int, alpha: float, excess: str) -> None:
        short = length_score(tokens, alpha=alpha, excess=excess)
        assert 0 <= length_score(tokens + more, alpha=alpha, excess=excess) <= short <= 1


class TestComposite:
    def test_perfect_and_worthless(self) -> None:
        assert composite(FULL, EQUAL) == pytest.approx(1.0)
        assert composite(dict.fromkeys(TERMS, 0.0), EQUAL) == 0.0

    def test_a_single_weight_selects_its_term(self) -> None:
        for name in TERMS:
            weights = {other: float(other == name) for other in TERMS}
            values = {other: 0.25 if other == name else 0.9 for other in TERMS}
            assert composite(values, weights) == pytest.approx(0.25)

    @pytest.mark.parametrize("missing", [None, math.nan])
    def test_a_term_without_a_number_makes_it_unscorable(self, missing: float | None) -> None:
        assert composite({**FULL, "inst": missing}, EQUAL) is None

    def test_a_judge_outside_is_clamped(self) -> None:
        assert composite({**FULL, "inst": 9.0}, EQUAL) == pytest.approx(1.0)
        assert composite({**FULL, "inst": -9.0}, EQUAL) == pytest.approx(0.8)

    @pytest.mark.parametrize(
        "weights",
        [
            {**EQUAL, "img": 0.3},
            {**EQUAL, "img": 0.2 + 2e-6},
            {**EQUAL, "img": -0.2, "inst": 0.6},
            {**EQUAL, "img": math.nan},
            {**EQUAL, "img": math.inf},
            {"img": 1.0},
            {**EQUAL, "style": 0.0},
        ],
    )
    def test_bad_weights_are_refused(self, weights: dict[str, float]) -> None:
        with pytest.raises(ValueError):
            composite(FULL, weights)

    def test_weights_within_the_tolerance_pass(self) -> None:
        check_weights({**EQUAL, "img": 0.2 + 5e-7})

    @pytest.mark.parametrize("values", [{"img": 1.0}, {**FULL, "style": 1.0}])
    def test_missing_and_unknown_terms_are_refused(self, values: dict[str, float]) -> None:
        with pytest.raises(ValueError, match="missing"):
            composite(values, EQUAL)

    @settings(deadline=None, max_examples=50)
    @given(
        st.lists(st.floats(0, 1), min_size=5, max_size=5),
        st.lists(st.floats(0.01, 1), min_size=5, max_size=5),
    )
    def test_lies_between_its_least_and_greatest_term(self, values: list[float], raw: list[float]) -> None:
        weights = {name: value / math.fsum(raw) for name, value in zip(TERMS, raw, strict=True)}
        score = composite(terms(*values), weights)
        assert score is not None
        assert min(values) - 1e-6 <= score <= max(values) + 1e-6
