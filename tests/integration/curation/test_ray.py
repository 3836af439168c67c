"""The pool on Ray keeps the contract of the pool of processes (only where the extra `ray` is installed)."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.core.errors import InputError
from components.core.files import digest_tree
from components.core.paths import Workspace
from components.curation import curate, pool_ray
from components.curation.pool import Lost
from components.curation.pool_ray import spread_ray

# On a busy machine a node takes longer than the minute that Ray waits for its answers; read at import.
os.environ.setdefault("RAY_gcs_server_request_timeout_seconds", "600")
ray = pytest.importorskip("ray")
pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[3]


def make_tool(settings: int):
    def tool(item: str):
        if item == "sleep":
            time.sleep(600)
        if item == "crash":
            os.kill(os.getpid(), signal.SIGKILL)
        if item == "bug":
            raise ZeroDivisionError
        if item == "input":
            raise InputError("a clear line")
        return f"{item}{settings}"

    return tool


def refusing_tool(settings: int):
    raise InputError("the model is missing")


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    """Two cores of this machine; the token that Ray asks for stays out of the home folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
        yield
        ray.shutdown()


def test_hangs_crashes_and_bugs_cost_one_item_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_ray, "CLOCK_FACTOR", 1)
    items = ["a", "sleep", "crash", "b", "bug", "c"]
    results = dict(spread_ray(make_tool, 0, items, workers=2, time_limit=15))
    assert [results[index] for index in (0, 3, 5)] == ["a0", "b0", "c0"]
    assert results[1] == Lost("corrupt: no result within 15 s", False)
    assert results[2].final and "crashed" in results[2].why
    assert results[4] == Lost("corrupt: its measurement failed", False)


def test_errors_meant_for_people_stop_the_run() -> None:
    with pytest.raises(InputError, match="a clear line"):
        dict(spread_ray(make_tool, 0, ["a", "input"], workers=1, time_limit=60))
    with pytest.raises(InputError, match="the model is missing"):
        dict(spread_ray(refusing_tool, 0, ["a"], workers=2, time_limit=60))
    assert list(spread_ray(make_tool, 0, [], workers=2, time_limit=1)) == []


def test_a_cluster_that_does_not_answer_is_told() -> None:
    """In a process of its own, where Ray's patience (a dozen tries of a minute) is short."""
    code = (
        "from components.core.errors import InputError\n"
        "from components.curation.pool_ray import connected\n"
        "try:\n    connected('127.0.0.1:1')\n"
        "except InputError as error:\n    print('told:', error)\n"
    )
    short = {"RAY_gcs_server_request_timeout_seconds": "5", "RAY_gcs_server_port_wait_time_s": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=os.environ | short, capture_output=True, text=True
    )
    assert done.stdout.startswith("told: curate.ray_address '127.0.0.1:1' does not answer: "), done.stderr
    assert done.stdout.count("\n") == 1


def test_the_same_bytes_as_with_processes(tmp_path: Path) -> None:
    from components.core.media import encode_video
    from components.corpus.clips import make_clip
    from components.curation import ingest
    from tests.integration.curation.test_curate import PARAMS, SECONDS, SOURCES, save_untrained_models

    made = [make_clip(seed, seed, seconds=SECONDS) for seed in (1, 2)]
    digests = []
    for engine in ("local", "ray"):
        workspace = Workspace(tmp_path / engine)
        folder = workspace.raw / "demo"
        folder.mkdir(parents=True)
        (folder / "source.yaml").write_text("name: demo\nlicence: CC0-1.0\nconsent: true\n")
        for number, clip in enumerate(made):
            (folder / f"{number}.mp4").write_bytes(encode_video(clip.frames, clip.samples))
        save_untrained_models(workspace.artifacts("perception"))
        ingest.run(SOURCES, workspace, 0)
        curate.run(PARAMS.model_copy(update={"engine": engine, "workers": 2}), workspace, 0)
        digests.append(digest_tree(workspace.artifacts("curate")))
    assert digests[0] == digests[1]
