"""Jobs of the perception stage: needs that cannot be met are told before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.perception.stage import Job, run_jobs


def test_jobs_run_after_what_they_need(tmp_path: Path) -> None:
    jobs = {
        "second": Job((tmp_path / "folder" / "file").write_text, ("x",), ("first",)),
        "first": Job((tmp_path / "folder").mkdir, ()),
    }
    assert run_jobs(jobs, 2) == {"first": None, "second": 1}


def test_a_need_that_is_no_job_is_an_error_at_once(tmp_path: Path) -> None:
    jobs = {"one": Job((tmp_path / "one").mkdir, ()), "two": Job((tmp_path / "two").mkdir, (), ("on",))}
    with pytest.raises(ValueError, match="job 'two' needs 'on', but there are only: one, two"):
        run_jobs(jobs, 1)
    assert not list(tmp_path.iterdir())


def test_jobs_that_need_each_other_are_an_error_at_once(tmp_path: Path) -> None:
    jobs = {name: Job((tmp_path / name).mkdir, (), (need,)) for name, need in (("a", "b"), ("b", "a"))}
    with pytest.raises(ValueError, match="in a ring: [ab] → [ab] → [ab]"):
        run_jobs(jobs, 1)
    assert not list(tmp_path.iterdir())
