"""The ledger keeps whole files only, and finds them again."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from components.curation.ledger import TRIES, Ledger, Segment, fingerprint
from components.curation.scores import SCORES, tidy


def test_what_is_added_is_read_back(tmp_path: Path) -> None:
    segments = [Segment({"blur": 1 / 3, "shots": 2}, b"p", b"s", b"e"), Segment({"problem": "corrupt: x"})]
    with Ledger(tmp_path / "l.sqlite") as ledger:
        ledger.add("f", "k1", "sha", segments)
        ledger.add("g", "k1", "sha", segments[:1])
    with Ledger(tmp_path / "l.sqlite") as ledger:
        assert ledger.finished("f") == {"k1"} and ledger.finished("none") == set()
        table = ledger.read("f")
        assert table["blur"].iloc[0] == 0.333333 and table["picture"].iloc[0] == b"p"
        assert table["problem"].tolist()[1] == "corrupt: x"
        assert len(ledger.read("f", ["other"])) == 0
        ledger.add("f", "k1", "sha", segments[:1])
        assert len(ledger.read("f")) == 1


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l.sqlite") as ledger:
        with pytest.raises(sqlite3.Error):
            ledger.add("f", "k", "sha", [Segment({}, picture=object())])  # type: ignore[arg-type]
        assert ledger.finished("f") == set() and len(ledger.read("f")) == 0
        ledger.add("f", "k", "sha", [Segment({})])
        assert ledger.finished("f") == {"k"}


def test_a_killed_writer_leaves_whole_files(tmp_path: Path) -> None:
    code = (
        "import sys, os, signal; from pathlib import Path\n"
        "from components.curation.ledger import Ledger, Segment\n"
        "ledger = Ledger(Path(sys.argv[1]))\n"
        "for n in range(40): ledger.add('f', f'k{n}', 'sha', [Segment({'blur': n}), Segment({'blur': n})])\n"
        "ledger._base.execute('BEGIN')\n"
        "ledger._base.execute(\"INSERT INTO files VALUES ('torn','f','s',1)\")\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "l.sqlite")], check=False)
    with Ledger(tmp_path / "l.sqlite") as ledger:
        finished = ledger.finished("f")
        assert len(finished) == 40 and "torn" not in finished
        assert (ledger.read("f").groupby("key").size() == 2).all()


def test_scores_are_tidied() -> None:
    row = tidy({"blur": float("nan"), "shots": 3.0, "yaw": 1.23456789, "problem": None})
    assert list(row) == list(SCORES) and row["blur"] is None and row["shots"] == 3 and row["yaw"] == 1.234568
    with pytest.raises(KeyError, match="without a column"):
        tidy({"unheard_of": 1})


def test_the_fingerprint_changes_with_every_part() -> None:
    parts = {"models": {"sync": "a"}, "how": {"version": 1}}
    assert fingerprint(parts) == fingerprint({"how": {"version": 1}, "models": {"sync": "a"}})
    assert fingerprint(parts) != fingerprint({"models": {"sync": "b"}, "how": {"version": 1}})


def test_a_ledger_of_an_older_version_gains_the_new_scores(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l.sqlite") as ledger:
        ledger.add("f", "k", "sha", [Segment({"blur": 2.0})])
    with sqlite3.connect(tmp_path / "l.sqlite") as base:
        base.execute("ALTER TABLE clips DROP COLUMN yaw")
        base.execute("ALTER TABLE clips ADD COLUMN dropped_since TEXT")
    with Ledger(tmp_path / "l.sqlite") as ledger:
        ledger.add("g", "k", "sha", [Segment({"yaw": 1.0})])
        assert ledger.read("g")["yaw"].tolist() == [1.0] and ledger.read("f")["blur"].tolist() == [2.0]
        assert "dropped_since" not in ledger.read("f")


def test_what_fails_is_on_record_and_not_tried_for_ever(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l.sqlite") as ledger:
        for tries in range(1, TRIES + 1):
            assert ledger.given_up("f") == {}
            ledger.failed("f", "k", "sha", f"corrupt: no result ({tries})")
        assert ledger.given_up("f") == {"k": f"corrupt: no result ({TRIES})"}
        assert ledger.given_up("g") == {} and ledger.finished("f") == set()
