"""Triggers: what counts as new, and that a kill at any point neither loses nor doubles a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.core.errors import InputError
from components.core.files import write_json
from components.core.paths import Workspace
from components.tracking.requests import ask, fulfil
from flows.operations import Deployment, DriftTrigger, FilesTrigger, RequestTrigger, RevisionTrigger
from flows.triggers import Watch, fingerprint

FILES = FilesTrigger(kind="files", path="data/raw", pattern="**/*.mp4")


class Server:
    """What Prefect does with the keys: the same key is the same run."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.over: set[str] = set()
        self.busy = False
        self.dies = False

    def start(self, deployment: str, reason: str, key: str) -> str:
        if key not in self.keys:
            self.keys.append(key)
        if self.dies:
            raise KeyboardInterrupt
        return str(self.keys.index(key))

    def watch(self, workspace: Workspace) -> Watch:
        deployment = Deployment(name="files", triggers=(FILES,))
        return Watch(workspace, (deployment,), self.start, self.over.__contains__, lambda _: not self.busy)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / "data" / "raw").mkdir(parents=True)
    return Workspace(tmp_path)


def add(workspace: Workspace, name: str, data: bytes = b"clip") -> None:
    (workspace.raw / name).write_bytes(data)


def test_files_count_by_name_size_and_time_and_only_those_that_match(workspace: Workspace) -> None:
    assert fingerprint(FILES, workspace) == ""
    add(workspace, "a.mp4")
    first = fingerprint(FILES, workspace)
    add(workspace, "notes.txt")
    assert fingerprint(FILES, workspace) == first
    add(workspace, "a.mp4", b"longer")
    second = fingerprint(FILES, workspace)
    (workspace.raw / "a.mp4").rename(workspace.raw / "b.mp4")
    assert len({first, second, fingerprint(FILES, workspace)}) == 3
    with pytest.raises(InputError, match="leaves its folder"):
        fingerprint(FilesTrigger(kind="files", path="../elsewhere"), workspace)


def test_a_revision_and_a_drift_verdict_are_seen(workspace: Workspace) -> None:
    assert fingerprint(RevisionTrigger(kind="revision"), workspace) == ""
    (workspace.root / "data.dvc").write_text("outs:\n- md5: abc.dir\n  path: data/raw\n")
    assert fingerprint(RevisionTrigger(kind="revision"), workspace) == "abc.dir"
    request = RequestTrigger(kind="request")
    assert fingerprint(request, workspace) == ""
    asked = ask(workspace, "retrain", "withdrawn", tombstones="abc")
    assert fingerprint(request, workspace) != ""
    fulfil(workspace, asked)
    assert fingerprint(request, workspace) == ""
    drift = DriftTrigger(kind="drift")
    verdict = workspace.state("drift") / "verdict.json"
    assert fingerprint(drift, workspace) == ""
    write_json(verdict, {"passed": True, "subjects": {"t": "1"}})
    assert fingerprint(drift, workspace) == ""
    write_json(verdict, {"passed": False, "subjects": {"t": "1"}})
    first = fingerprint(drift, workspace)
    write_json(verdict, {"passed": False, "subjects": {"t": "2"}})
    assert first and fingerprint(drift, workspace) not in ("", first)


def test_nothing_starts_while_files_still_come(workspace: Workspace) -> None:
    server = Server()
    watch = server.watch(workspace)
    for size in range(1, 4):
        add(workspace, "a.mp4", b"x" * size)
        assert watch.look() == []
    assert watch.look() == ["files: files trigger"] and len(server.keys) == 1


def test_one_run_for_each_change_and_one_more_for_what_came_meanwhile(workspace: Workspace) -> None:
    server = Server()
    watch = server.watch(workspace)
    add(workspace, "a.mp4")
    watch.look(), watch.look()
    add(workspace, "b.mp4")
    for _ in range(3):
        assert watch.look() == []  # the first run is still at work
    server.over.add("0")
    watch.look(), watch.look()
    assert len(server.keys) == 2
    server.over.add("1")
    for _ in range(3):
        watch.look()
    assert len(server.keys) == 2
    # Taken away, and back as it was: two changes, two runs.
    (workspace.raw / "b.mp4").rename(workspace.root / "b.mp4")
    watch.look(), watch.look()
    server.over.add("2")
    (workspace.root / "b.mp4").rename(workspace.raw / "b.mp4")
    for _ in range(3):
        watch.look()
    assert len(server.keys) == 4


def test_a_busy_or_paused_deployment_only_delays(workspace: Workspace) -> None:
    server = Server()
    server.busy = True
    watch = server.watch(workspace)
    add(workspace, "a.mp4")
    for _ in range(3):
        assert watch.look() == []
    server.busy = False
    assert watch.look() == ["files: files trigger"]


def test_a_kill_between_the_run_and_its_note_does_not_double_it(workspace: Workspace) -> None:
    server = Server()
    server.dies = True
    watch = server.watch(workspace)
    add(workspace, "a.mp4")
    watch.look()
    with pytest.raises(KeyboardInterrupt):
        watch.look()
    assert len(server.keys) == 1  # Prefect has the run, the memory does not
    server.dies = False
    restarted = server.watch(workspace)
    restarted.look(), restarted.look()
    assert len(server.keys) == 1
    server.over.add("0")
    restarted.look(), restarted.look()
    assert len(server.keys) == 1


def test_what_was_handled_is_known_after_a_restart(workspace: Workspace) -> None:
    server = Server()
    watch = server.watch(workspace)
    add(workspace, "a.mp4")
    watch.look(), watch.look()
    restarted = server.watch(workspace)  # killed while the run was at work
    restarted.look(), restarted.look()
    server.over.add("0")
    restarted.look(), restarted.look()
    server.watch(workspace).look()
    assert len(server.keys) == 1
