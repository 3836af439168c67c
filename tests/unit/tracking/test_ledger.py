"""The hash chain: whatever is changed, removed or put in is found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from components.tracking.ledger import GENESIS, Ledger, LedgerBroken, entry_hash


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    ledger = Ledger(tmp_path / "promotions")
    with ledger.locked():
        for number in range(4):
            ledger.append(action="promoted", actor="me", versions={"a": str(number)})
    return ledger


def lines(ledger: Ledger) -> list[str]:
    return ledger.path.read_text().splitlines(keepends=True)


def test_a_good_ledger_verifies(ledger: Ledger) -> None:
    rows = ledger.verify()
    assert [row["index"] for row in rows] == [0, 1, 2, 3]
    assert rows[0]["previous"] == GENESIS
    assert all(later["previous"] == row["hash"] for row, later in zip(rows, rows[1:], strict=False))
    assert ledger.verify(f"4 {rows[3]['hash']}") == rows


def test_a_changed_figure_is_found(ledger: Ledger) -> None:
    ledger.path.write_text(ledger.path.read_text().replace('"a": "2"', '"a": "9"'))
    with pytest.raises(LedgerBroken, match="line 3: its content was changed"):
        ledger.verify()


def test_a_changed_line_with_a_new_hash_is_found(ledger: Ledger) -> None:
    rows = lines(ledger)
    entry = json.loads(rows[1]) | {"actor": "someone else"}
    rows[1] = json.dumps(entry | {"hash": entry_hash(entry)}) + "\n"
    ledger.path.write_text("".join(rows))
    with pytest.raises(LedgerBroken, match="line 3: an entry before it was removed or put in"):
        ledger.verify()


def test_a_removed_line_is_found(ledger: Ledger) -> None:
    rows = lines(ledger)
    ledger.path.write_text("".join(rows[:1] + rows[2:]))
    with pytest.raises(LedgerBroken, match="line 2"):
        ledger.verify()


def test_a_cut_tail_is_found_by_the_anchor(ledger: Ledger) -> None:
    head = ledger.verify()[-1]["hash"]
    ledger.path.write_text("".join(lines(ledger)[:3]))
    ledger.verify()
    with pytest.raises(LedgerBroken, match="entry 4, known to the registry, is gone"):
        ledger.verify(f"4 {head}")


def test_nothing_is_appended_to_a_broken_ledger(ledger: Ledger) -> None:
    ledger.path.write_text("".join(lines(ledger)[1:]))
    before = ledger.path.read_bytes()
    with pytest.raises(LedgerBroken):
        ledger.append(action="promoted")
    assert ledger.path.read_bytes() == before


def test_a_half_written_line_is_dropped_by_the_next_append(ledger: Ledger) -> None:
    with ledger.path.open("a") as file:
        file.write('{"action": "prom')
    assert len(ledger.verify()) == 4
    ledger.append(action="rolled back")
    assert [row["action"] for row in ledger.verify()][-1] == "rolled back"
    assert len(lines(ledger)) == 5


def test_a_line_that_is_not_json_is_named(ledger: Ledger) -> None:
    ledger.path.write_text("".join([*lines(ledger), "nonsense\n"]))
    with pytest.raises(LedgerBroken, match="line 5: not JSON"):
        ledger.entries()
