"""Signals to the flow: outside a stage they are raised, inside they are left for the stage's supervisor."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from components.core.paths import Workspace
from flows.chain import Interrupted
from flows.interruption import Interruption
from flows.supervisor import SIGNALS, STOP_VARIABLE


@pytest.mark.parametrize("number", SIGNALS)
def test_outside_a_stage_a_signal_is_raised(tmp_path: Path, number: signal.Signals) -> None:
    before = [signal.getsignal(each) for each in SIGNALS]
    with (
        pytest.raises(Interrupted, match=rf"interrupted \({number.name}\); run again"),
        Interruption(Workspace(tmp_path)).armed(),
    ):
        os.kill(os.getpid(), number)
    assert [signal.getsignal(each) for each in SIGNALS] == before
    assert Interrupted.exit_code == 130


def test_inside_a_stage_its_supervisor_is_told_and_no_other_stage_begins(tmp_path: Path) -> None:
    interruption = Interruption(Workspace(tmp_path))
    with interruption.armed():
        with interruption.stage():
            os.kill(os.getpid(), signal.SIGTERM)
            assert Path(os.environ[STOP_VARIABLE]).read_text() == "SIGTERM"
        with pytest.raises(Interrupted), interruption.stage():
            raise AssertionError("a stage began")
    assert not list((tmp_path / "state").iterdir())


def test_armed_again_inside_is_undone_in_order(tmp_path: Path) -> None:
    interruption = Interruption(Workspace(tmp_path))
    with interruption.armed():
        outer = signal.signal(signal.SIGTERM, signal.SIG_IGN)  # as Prefect does
        with interruption.armed(), interruption.stage():
            os.kill(os.getpid(), signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
        signal.signal(signal.SIGTERM, outer)
    with pytest.raises(Interrupted):
        interruption.check()
