"""What a window's text tells: the action that fills it, else none."""

from __future__ import annotations

from components.avatar.encode import Told, _wordings
from components.avatar.moments import PLAIN, moment_texts, told

ACTIONS = [
    {"action": "look_left", "start": 0.4, "end": 1.2},
    {"action": "smile", "start": 1.0, "end": 2.0},
]


def test_texts_come_in_pairs_and_latents_know_theirs():
    texts, places = moment_texts("A man.", ACTIONS, 14)
    # Latent j's middle is (4j - 1.5)/25 s: 0.42 at 3, 1.06 at 7, 1.22 at 8, 1.86 at 12, 2.02 at 13.
    assert places == [0, 0, 0, 1, 1, 1, 1, 2, 3, 3, 3, 3, 3, 0]
    assert texts == [
        "A man.",
        PLAIN,
        "A man. The person looks to the left.",
        f"{PLAIN} The person looks to the left.",
        "A man. The person looks to the left, then smiles.",
        f"{PLAIN} The person looks to the left, then smiles.",
        "A man. The person smiles.",
        f"{PLAIN} The person smiles.",
    ]


def test_a_clip_without_actions_has_one_pair():
    assert moment_texts("A man.", [], 3) == (["A man.", PLAIN], [0, 0, 0])


def test_a_window_is_told_of_what_fills_it():
    assert told([0, 0, 0, 0, 0, 0]) == 0
    assert told([0, 0, 0, 0, 1, 1]) == 0  # a third of it
    assert told([0, 0, 0, 1, 1, 1]) == 1
    assert told([2, 2, 2, 1, 1, 1]) == 1  # the first of equals
    assert told([2, 2, 2, 2, 1, 1]) == 2


def test_mirrored_copies_point_to_mirrored_texts():
    told_of = Told("not used", "A man, gaze to the left.", (ACTIONS[0],))
    texts, places = _wordings(told_of, 7, 3)
    assert len(texts) == 8 and places[0] == places[2] == [0, 0, 0, 1, 1, 1, 1]
    assert [texts[2 * place] for place in places[1]] == [
        *["A man, gaze to the right."] * 3,
        *["A man, gaze to the right. The person looks to the right."] * 4,
    ]
    assert texts[2 * places[0][3]] == "A man, gaze to the left. The person looks to the left."


def test_without_moments_one_text_serves_every_copy():
    assert _wordings(Told("A man nods."), 2, 3) == (["A man nods."], [[0, 0]] * 3)
