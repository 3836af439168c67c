"""Registration and promotion of pairs in a real SQLite store."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from components.core.errors import InputError, SyncDreamerError
from components.core.files import read_json, write_json
from components.core.paths import Workspace
from components.tracking.ledger import Ledger, LedgerBroken
from components.tracking.policy import read_policy
from components.tracking.promotion import Decision, history, promote, rollback
from components.tracking.registry import (
    AVATAR,
    CHALLENGER,
    CHAMPION,
    ENHANCER,
    PREVIOUS,
    alias_pair,
    alias_version,
    champion_paths,
    models_table,
    newest_pair,
    register_pair,
    set_alias,
)
from components.tracking.runs import Tracker
from tests.integration.tracking.conftest import METRICS, outputs

Train = Callable[..., dict[str, str]]


def aliases(workspace: Workspace) -> dict[str, tuple[str | None, str | None]]:
    tracker = Tracker(workspace)
    return {
        alias: (alias_version(tracker, AVATAR, alias), alias_version(tracker, ENHANCER, alias))
        for alias in (CHAMPION, PREVIOUS, CHALLENGER)
    }


def ledger_of(workspace: Workspace) -> Ledger:
    return Ledger(workspace.state("promotions"))


def test_registration_is_idempotent_by_content(workspace: Workspace, train: Train) -> None:
    first = train()
    assert first == {AVATAR: "1", ENHANCER: "1"}
    assert train() == first
    assert train(avatar="b") == {AVATAR: "2", ENHANCER: "1"}
    assert train() == first
    newest = newest_pair(Tracker(workspace))
    assert newest is not None
    assert newest.versions == first
    rows = models_table(workspace)
    assert [(row["name"], row["version"]) for row in rows] == [(AVATAR, "2"), (AVATAR, "1"), (ENHANCER, "1")]
    for row in rows:
        assert row["model_id"].startswith("m-")
        assert len(row["digest"]) == 64
        assert row["run_id"]
        assert row["git"] == "0123abc"
        assert row["gates"]["evaluation"] is True
        assert row["aliases"] == []


def test_the_first_pair_becomes_champion_and_again_is_a_no_op(workspace: Workspace, train: Train) -> None:
    with pytest.raises(InputError, match="no pair is registered yet"):
        promote(workspace)
    with pytest.raises(InputError, match="no pair was promoted yet"):
        champion_paths(workspace)
    versions = train()
    decision = promote(workspace, versions, why="first")
    assert decision.status == "promoted"
    assert decision.former is None
    assert aliases(workspace) == {CHAMPION: ("1", "1"), PREVIOUS: (None, None), CHALLENGER: (None, None)}
    paths = champion_paths(workspace)
    assert (paths["avatar"] / "config.json").read_text() == '{"name": "a"}'
    assert (paths["enhancer"] / "config.json").read_text() == '{"name": "e"}'
    assert promote(workspace).status == "unchanged"
    (entry,) = history(workspace)
    assert (entry["action"], entry["why"]) == ("promoted", "first")
    assert entry["figures"][0]["outcome"] == "first"


def test_better_wins_and_both_models_move(workspace: Workspace, train: Train) -> None:
    promote(workspace, train())
    decision = promote(workspace, train(avatar="b", enhancer="f", sync_wins=1.0))
    assert decision.status == "promoted"
    assert decision.reason == "better than the champion: sync_wins 0.95 → 1"
    assert decision.former == {AVATAR: "1", ENHANCER: "1"}
    assert aliases(workspace) == {CHAMPION: ("2", "2"), PREVIOUS: ("1", "1"), CHALLENGER: (None, None)}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"sync_wins": 0.6}, "worse than the champion: sync_wins 0.95 → 0.6"),
        ({}, "no metric gains the required minimum"),
        ({"sync_wins": 1.0, "identity_top1": 0.5}, "worse than the champion: identity_top1 0.8 → 0.5"),
        ({"sync_wins": 1.0, "drop": "face_rate"}, "the candidate lacks the metric face_rate"),
        ({"sync_wins": 1.0, "gates": {"latents": False}}, "required gate not passed: latents"),
    ],
    ids=["worse", "equal", "one worse", "missing metric", "failed gate"],
)
def test_refusals(change: dict, reason: str, workspace: Workspace, train: Train) -> None:
    promote(workspace, train())
    candidate = train(avatar="b", **change)
    decision = promote(workspace, candidate)
    assert (decision.status, decision.reason) == ("refused", reason)
    assert aliases(workspace) == {CHAMPION: ("1", "1"), PREVIOUS: (None, None), CHALLENGER: ("2", "1")}
    assert promote(workspace, candidate).reason == reason
    assert [row["action"] for row in history(workspace)] == ["promoted", "refused"]


def test_a_failed_gate_refuses_the_first_pair_too(workspace: Workspace, train: Train) -> None:
    assert promote(workspace, train(gates={"evaluation": False})).status == "refused"
    assert alias_pair(Tracker(workspace), CHAMPION) is None


def test_a_wrong_pair_is_refused(workspace: Workspace, train: Train) -> None:
    promote(workspace, train())
    train(avatar="b", enhancer="f", sync_wins=1.0)
    with pytest.raises(InputError, match="syncdreamer-avatar 2 and syncdreamer-enhancer 1 are not a compat"):
        promote(workspace, {AVATAR: "2", ENHANCER: "1"})
    with pytest.raises(InputError, match="syncdreamer-avatar has no version 9"):
        promote(workspace, {AVATAR: "9", ENHANCER: "1"})
    with pytest.raises(InputError, match="a pair needs a version of syncdreamer-enhancer"):
        promote(workspace, {AVATAR: "1"})
    assert aliases(workspace)[CHAMPION] == ("1", "1")


def test_a_marked_model_is_refused(workspace: Workspace, train: Train) -> None:
    versions = train()
    Tracker(workspace).client.set_model_version_tag(AVATAR, "1", "marked", "clip 12ab was withdrawn")
    decision = promote(workspace, versions, approve=True)
    assert decision.status == "refused"
    assert "clip 12ab was withdrawn" in decision.reason


def test_approval_is_waited_for(workspace: Workspace, train: Train) -> None:
    versions = train()
    rules = read_policy(workspace).model_copy(update={"require_approval": True})
    assert promote(workspace, versions, policy=rules).status == "waiting"
    assert aliases(workspace)[CHALLENGER] == ("1", "1")
    assert promote(workspace, versions, policy=rules, approve=True).status == "promoted"
    assert aliases(workspace) == {CHAMPION: ("1", "1"), PREVIOUS: (None, None), CHALLENGER: (None, None)}


def test_rollback_restores_the_former_pair_and_sticks(workspace: Workspace, train: Train) -> None:
    promote(workspace, train())
    promote(workspace, train(avatar="b", sync_wins=1.0))
    third = train(avatar="c", sync_wins=1.0, identity_top1=0.9)
    promote(workspace, third)
    assert rollback(workspace, why="drifts").status == "rolled back"
    assert aliases(workspace) == {CHAMPION: ("2", "1"), PREVIOUS: ("1", "1"), CHALLENGER: (None, None)}
    assert (champion_paths(workspace)["avatar"] / "config.json").read_text() == '{"name": "b"}'
    again = promote(workspace, third)
    assert again.status == "refused"
    assert "rolled back on" in again.reason
    assert promote(workspace, third, approve=True).status == "promoted"
    rollback(workspace)
    rollback(workspace)
    assert aliases(workspace)[CHAMPION] == ("1", "1")
    with pytest.raises(InputError, match="no former pair"):
        rollback(workspace)


def _race(root: Path, versions: dict[str, str], gate, answers) -> None:
    import components.tracking.promotion as module

    seen = module._champion_versions
    first = True

    def wait(tracker: Tracker) -> dict[str, str | None]:
        nonlocal first
        found = seen(tracker)
        if first:
            first = False
            gate.wait(60)
        return found

    module._champion_versions = wait
    answers.put(module.promote(Workspace(root), versions).model_dump())


def test_of_two_promotions_at_once_exactly_one_wins(workspace: Workspace, train: Train) -> None:
    promote(workspace, train())
    candidates = [train(avatar="b", sync_wins=1.0), train(avatar="c", sync_wins=1.0, identity_top1=1.0)]
    context = multiprocessing.get_context("spawn")
    gate, answers = context.Barrier(2), context.Queue()
    racers = [context.Process(target=_race, args=(workspace.root, c, gate, answers)) for c in candidates]
    for racer in racers:
        racer.start()
    decisions = [Decision.model_validate(answers.get(timeout=120)) for _ in racers]
    for racer in racers:
        racer.join()
    assert sorted(decision.status for decision in decisions) == ["promoted", "refused"]
    (loser,) = [decision for decision in decisions if decision.status == "refused"]
    (winner,) = [decision for decision in decisions if decision.status == "promoted"]
    assert "another promotion won meanwhile" in loser.reason
    assert aliases(workspace)[CHAMPION] == (winner.versions[AVATAR], winner.versions[ENHANCER])
    assert [row["action"] for row in history(workspace)] == ["promoted", "promoted", "refused"]


def test_tampering_is_found_and_nothing_moves(workspace: Workspace, train: Train) -> None:
    promote(workspace, train())
    better = train(avatar="b", sync_wins=1.0)
    path = ledger_of(workspace).path
    good = path.read_text()
    path.write_text(good.replace('"actor": "', '"actor": "not '))
    with pytest.raises(LedgerBroken, match="line 1: its content was changed"):
        history(workspace)
    with pytest.raises(LedgerBroken):
        promote(workspace, better)
    path.write_text("")
    with pytest.raises(LedgerBroken, match="entry 1, known to the registry, is gone"):
        promote(workspace, better)
    assert aliases(workspace)[CHAMPION] == ("1", "1")
    path.write_text(good)
    assert promote(workspace, better).status == "promoted"


def test_a_lost_ledger_is_fetched_from_the_registry(workspace: Workspace, train: Train) -> None:
    promote(workspace, train())
    promote(workspace, train(avatar="b", sync_wins=1.0))
    path = ledger_of(workspace).path
    before = path.read_bytes()
    path.unlink()
    assert [row["action"] for row in history(workspace)] == ["promoted", "promoted"]
    assert path.read_bytes() == before


def test_an_interrupted_move_is_completed_by_the_next_command(workspace: Workspace, train: Train) -> None:
    promote(workspace, train())
    second = train(avatar="b", enhancer="f", sync_wins=1.0)
    promote(workspace, second)
    tracker = Tracker(workspace)
    entry = history(workspace)[-1]
    # As if the process had died between the two models' aliases.
    tracker.client.set_registered_model_alias(ENHANCER, CHAMPION, "1")
    set_alias(tracker, PREVIOUS, None)
    intention = {
        "move": entry["move"],
        "state": entry["state"],
        "run_id": tracker.client.get_model_version(AVATAR, "2").run_id,
    }
    write_json(ledger_of(workspace).folder / "moving.json", intention)
    assert promote(workspace, second).status == "unchanged"
    assert aliases(workspace) == {CHAMPION: ("2", "2"), PREVIOUS: ("1", "1"), CHALLENGER: (None, None)}
    assert not (ledger_of(workspace).folder / "moving.json").exists()


def test_the_commands(workspace: Workspace, train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    import json

    import typer
    from typer.testing import CliRunner

    from components.tracking.commands import register

    app = typer.Typer()
    register(app)
    (workspace.root / "dvc.yaml").touch()
    monkeypatch.setenv("SYNCDREAMER_ROOT", str(workspace.root))
    runner = CliRunner()
    assert "no model is registered yet" in runner.invoke(app, ["models"]).output
    train()
    answer = runner.invoke(app, ["promote", "--why", "tried it"])
    assert answer.exit_code == 0
    assert "promoted: syncdreamer-avatar 1" in answer.output
    rows = json.loads(runner.invoke(app, ["models", "--json"]).output)
    assert [(row["name"], row["version"], row["aliases"]) for row in rows] == [
        (AVATAR, "1", ["champion"]),
        (ENHANCER, "1", ["champion"]),
    ]
    assert {"run_id", "gates", "digest"} <= set(rows[0])
    assert "champion" in runner.invoke(app, ["models"]).output
    train(avatar="b", sync_wins=0.1)
    refused = runner.invoke(app, ["promote"])
    assert refused.exit_code == 3
    assert "worse than the champion: sync_wins 0.95 → 0.1" in refused.output
    shown = runner.invoke(app, ["history"]).output
    assert "2 entries, ledger verified" in shown
    assert len(json.loads(runner.invoke(app, ["history", "--json"]).output)) == 2
    assert "held: audit" in runner.invoke(app, ["hold", "--why", "audit"]).output
    assert runner.invoke(app, ["release"]).output == "released\n"
    shown = runner.invoke(app, ["history"]).output
    assert "held         -  by" in shown
    assert "sync_wins: 0.95 → 0.1  gain -0.85" in runner.invoke(app, ["diff"]).output
    assert "none was recorded" in runner.invoke(app, ["lineage", "avatar@1", "--sync"]).output
    facts = json.loads(runner.invoke(app, ["lineage", "avatar", "--json"]).output)
    assert (facts["name"], facts["version"]) == (AVATAR, "2")
    nobody = runner.invoke(app, ["lineage", "--clip", "ab"])
    assert isinstance(nobody.exception, InputError)
    assert isinstance(runner.invoke(app, ["lineage"]).exception, InputError)


def test_other_clips_or_seeds_are_not_compared(workspace: Workspace, train: Train) -> None:
    from components.tracking.evidence import read_figures
    from components.tracking.registry import add_evaluation, find_pair

    first = train()
    promote(workspace, first)
    candidate = train(avatar="b", sync_wins=1.0, seed=100)
    decision = promote(workspace, candidate)
    assert decision.status == "refused"
    assert "never evaluated on the candidate's clips and seeds" in decision.reason
    tracker = Tracker(workspace)
    # The champion is evaluated on the candidate's set, and did better there.
    outputs(workspace, "a", "e", {}, {**METRICS, "sync_wins": 1.0}, seed=100)
    figures = read_figures(workspace.artifacts("evaluation", "metrics.json"))
    add_evaluation(tracker, find_pair(tracker, first), figures)
    assert promote(workspace, candidate).reason == "no metric gains the required minimum"


def test_a_gain_that_chance_explains_is_no_gain(workspace: Workspace, train: Train) -> None:
    """Same means; in the second case the clips' gains scatter so much that signs could make them."""
    promote(workspace, train())
    metrics = workspace.artifacts("evaluation", "metrics.json")
    candidate = train(avatar="b", sync_wins=1.0)
    content = read_json(metrics)
    for number, item in enumerate(content["items"]):
        item["sync_wins"] = 1.0 + (4.0 if number % 2 else -4.0)
    write_json(metrics, content)
    assert register_pair(workspace) == candidate
    decision = promote(workspace, candidate)
    assert decision.status == "refused"
    assert (
        decision.reason == "no metric gains the required minimum beyond chance (not significant: sync_wins)"
    )
    (figure,) = [figure for figure in decision.figures if figure.name == "sync_wins"]
    assert (figure.method, figure.n) == ("paired", 16)
    assert figure.p is not None and figure.p > 0.05
    entry = history(workspace)[-1]
    assert entry["figures"][2]["p"] == figure.p


def test_two_enhancers_are_compared_case_by_case(workspace: Workspace, train: Train) -> None:
    """Two candidates with one mean: one keeps what the champion kept and eight more, one won 14 cases and
    lost 6, which signs alone do often."""
    name, metrics = "enhancer_action_kept", workspace.artifacts("evaluation", "metrics.json")

    def single(kept: set[int]) -> None:
        content = read_json(metrics)
        for case in content["cases"]:
            case[name] = float(case["index"] in kept)
        write_json(metrics, content)
        register_pair(workspace)

    champion = train(enhancer_action_kept=50 / 64)
    single(set(range(50)))
    assert promote(workspace, champion).status == "promoted"
    # 14 won and 6 lost: p = P(at least 14 heads of 20) = .058.
    scattered = train(enhancer="f", enhancer_action_kept=58 / 64)
    single(set(range(14, 64)) | set(range(8)))
    decision = promote(workspace, scattered)
    assert decision.status == "refused" and f"not significant: {name}" in decision.reason
    # Nothing lost: 8 of 8 differing cases are won, p = 1/256.
    better = train(enhancer="g", enhancer_action_kept=58 / 64)
    single(set(range(58)))
    decision = promote(workspace, better)
    assert decision.status == "promoted", decision.reason
    (figure,) = [figure for figure in decision.figures if figure.name == name]
    assert (figure.method, figure.n, figure.gain) == ("paired", 64, 8 / 64)
    rules = sum(rule.minimum_gain is not None for rule in read_policy(workspace).metrics)
    assert figure.p == pytest.approx(rules / 256)


def test_other_cases_or_another_reward_are_not_compared(workspace: Workspace, train: Train) -> None:
    promote(workspace, train())
    metrics = workspace.artifacts("evaluation", "metrics.json")
    candidate = train(enhancer="f", enhancer_action_kept=1.0)
    changes: list[Callable[[Any], Any]] = [
        lambda content: content["cases"][0].update(instruction="wave"),
        lambda content: content["protocol"].update(reward={"beta": 0.5}),
    ]
    for change in changes:
        content = read_json(metrics)
        change(content)
        write_json(metrics, content)
        register_pair(workspace)
        assert "never evaluated on the candidate's clips" in promote(workspace, candidate).reason


def test_changed_single_figures_are_found(workspace: Workspace, train: Train) -> None:
    promote(workspace, train())
    better = train(avatar="b", sync_wins=1.0)
    (path,) = (workspace.state("mlflow")).rglob(f"evaluation/{newest_pair(Tracker(workspace)).id}-*.json")
    path.write_text(path.read_text().replace("1.0", "2.0", 1))
    with pytest.raises(SyncDreamerError, match="is not what was registered"):
        promote(workspace, better)


def test_of_two_checkouts_that_share_a_registry_exactly_one_wins(
    workspace: Workspace, train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = (workspace.state("mlflow") / "mlflow.db").as_posix()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{database}")
    promote(workspace, train())
    other = Workspace(tmp_path / "other")
    assert [row["action"] for row in history(other)] == ["promoted"]
    candidates = [train(avatar="b", sync_wins=1.0), train(avatar="c", sync_wins=1.0, identity_top1=1.0)]
    # Threads: the lock lies in the registry, not in the process, and each checkout has files of its own.
    import components.tracking.promotion as module

    seen, gate, turn = module._champion_versions, threading.Barrier(2), threading.local()

    def wait(tracker: Tracker) -> dict[str, str | None]:
        found = seen(tracker)
        if not hasattr(turn, "came"):
            turn.came = True
            gate.wait(300)
        return found

    monkeypatch.setattr(module, "_champion_versions", wait)
    with ThreadPoolExecutor(2) as threads:
        races = [threads.submit(promote, *one) for one in zip((workspace, other), candidates, strict=True)]
        decisions = [race.result() for race in races]
    monkeypatch.setattr(module, "_champion_versions", seen)
    assert sorted(decision.status for decision in decisions) == ["promoted", "refused"]
    told = history(workspace)
    assert [row["action"] for row in told] == ["promoted", "promoted", "refused"]
    assert history(other) == told
    path = ledger_of(other).path
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:1]))
    with pytest.raises(LedgerBroken, match="entry 3, known to the registry, is gone"):
        history(other)


def test_a_dead_holder_is_outlived_and_a_living_one_is_waited_for(workspace: Workspace, train: Train) -> None:
    from components.core.errors import TemporaryFailure
    from components.tracking import lease

    train()
    tracker, ledger = Tracker(workspace), ledger_of(workspace)
    create = tracker.client.create_registered_model
    create(f"{lease.PREFIX}000004", {"owner": "ann:1", "until": "9999999999"})
    with pytest.raises(TemporaryFailure, match="held by ann:1"), lease.exclusive(tracker, ledger, wait_s=0.1):
        pass
    tracker.client.set_registered_model_tag(f"{lease.PREFIX}000004", "until", "1")
    with lease.exclusive(tracker, ledger):
        (name,) = (m.name for m in tracker.client.search_registered_models(f"name LIKE '{lease.PREFIX}%'"))
        assert name == f"{lease.PREFIX}000005"
    with lease.exclusive(tracker, ledger):
        pass


def test_a_mark_set_while_a_promotion_waits_still_counts(
    workspace: Workspace, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    import components.tracking.promotion as module

    versions = train()
    seen = module._champion_versions

    def marked_meanwhile(tracker: Tracker) -> dict[str, str | None]:
        tracker.client.set_model_version_tag(AVATAR, "1", "marked", "withdrawn just now")
        return seen(tracker)

    monkeypatch.setattr(module, "_champion_versions", marked_meanwhile)
    assert promote(workspace, versions).reason.endswith("withdrawn just now")
