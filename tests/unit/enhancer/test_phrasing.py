"""The wordings of instructions: which are held out never changes with what training gets besides."""

from __future__ import annotations

import hashlib

from components.core.vocabulary import ACTIONS
from components.enhancer import phrasing
from components.enhancer.extractor import actions


def test_the_held_out_wordings_are_what_they_were() -> None:
    """Counted by hand: 14 × 4 × 8 combinations; the seventh carrier, and of each row of the others those
    whose row + column + action is a multiple of four."""
    expected = [
        phrasing.CARRIERS[column].format(phrasing.PHRASINGS[action][row])
        for number, action in enumerate(ACTIONS)
        for row in range(4)
        for column in range(8)
        if column == 6 or (row + column + number) % 4 == 0
    ]
    found = [one.text for rows in phrasing.held_out().values() for one in rows]
    assert found == expected
    assert len(found) == 14 * (4 + 7)
    assert hashlib.sha256("\n".join(found).encode()).hexdigest()[:16] == "03ee71a34995d97c"


def test_training_never_shows_a_held_out_wording() -> None:
    trained = {one.text for rows in phrasing.training().values() for one in rows}
    held_out = {one.text for rows in phrasing.held_out().values() for one in rows}
    assert not trained & held_out
    carrier = phrasing.CARRIERS[phrasing.HELD_OUT_CARRIER]
    assert not any(text.startswith(carrier.partition("{}")[0]) for text in trained)
    assert len(trained) == sum(map(len, phrasing.training().values())), "none twice"


def test_every_wording_asks_for_its_action_alone() -> None:
    for table in (phrasing.training(), phrasing.held_out()):
        assert set(table) == set(ACTIONS)
        for action, rows in table.items():
            assert all(actions(one.text) == [action] == [one.action] for one in rows)
