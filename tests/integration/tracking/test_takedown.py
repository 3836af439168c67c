"""Lineage, cards and takedown in a real SQLite store: exactly the right models are found and refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from components.core.errors import InputError
from components.core.paths import Workspace
from components.tracking import requests, tombstones
from components.tracking.cards import write_cards
from components.tracking.differences import difference, told
from components.tracking.lineage import EVALUATED, LEARNT, VALIDATED, Index
from components.tracking.promotion import history, hold, promote, release, rollback
from components.tracking.registry import AVATAR, CHAMPION, ENHANCER, alias_version, find_pair
from components.tracking.runs import Tracker
from components.tracking.takedown import forget, mark_known
from components.tracking.trace import clip_uses, record, synchronise
from tests.integration.tracking.conftest import manifest

Train = Callable[..., dict[str, str]]
ONE, TWO, THREE, HELD = "aa" * 8 + "-0", "bb" * 8 + "-0", "cc" * 8 + "-0", "dd" * 8 + "-0"


@pytest.fixture
def make(workspace: Workspace, train: Train) -> Callable[..., dict[str, str]]:
    """Trains on clips (clip id → split or row), registers with lineage and cards."""
    (workspace.root / "params.yaml").parent.mkdir(parents=True, exist_ok=True)
    (workspace.root / "params.yaml").write_text("seed: 1\n\ncurate:\n  workers: 0\n")

    def run(name: str, clips: dict[str, dict], **metrics: float) -> dict[str, str]:
        versions = train(avatar=name, enhancer=f"e{name}", **metrics)
        manifest(workspace, [{"clip_id": clip_id} | row for clip_id, row in clips.items()])
        tracker = Tracker(workspace)
        facts = {
            model: {"data": f"data-{name}", "git": "0123abc", "lock": "l",
                    "parents": {"curate": f"md5{name}"}, "params": {"vae": {"steps": len(clips)}}}
            for model in versions
        }  # fmt: skip
        record(tracker, versions, clip_uses(workspace), facts)
        write_cards(tracker, versions, facts)
        return versions

    return run


def marks(workspace: Workspace) -> dict[tuple[str, str], str]:
    tracker = Tracker(workspace)
    return {
        (name, str(version.version)): version.tags.get("marked", "")
        for name in (AVATAR, ENHANCER)
        for version in tracker.client.search_model_versions(f"name = '{name}'")
        if version.tags.get("marked")
    }


def test_lineage_both_ways_and_again_from_the_registry(workspace: Workspace, make: Train) -> None:
    make("a", {ONE: {}, TWO: {"split": "val"}, HELD: {"split": "test"}})
    make("b", {TWO: {}, THREE: {"identity": "p2"}})

    def ask() -> tuple[list, dict]:
        with Index.of(workspace) as index:
            seen = [(s.name, s.version, s.roles) for s in index.sightings([TWO])]
            return seen, index.model(AVATAR, "1")

    seen, facts = ask()
    assert seen == [(AVATAR, "1", (VALIDATED,)), (AVATAR, "2", (LEARNT,)), (ENHANCER, "2", (LEARNT,))]
    assert (facts["data"], facts["git"], facts["parents"]) == ("data-a", "0123abc", {"curate": "md5a"})
    assert facts["gates"]["evaluation"] is True
    with Index.of(workspace) as index:
        assert [(s.name, s.roles) for s in index.sightings([HELD])] == [(ENHANCER, (EVALUATED,))]
    shutil.rmtree(workspace.state("lineage"))
    assert synchronise(Tracker(workspace)) == 4
    assert ask() == (seen, facts)
    assert synchronise(Tracker(workspace)) == 0


def test_forget_marks_exactly_the_models_that_learnt_from_it(workspace: Workspace, make: Train) -> None:
    first = make("a", {ONE: {}, HELD: {"split": "test"}})
    promote(workspace, first)
    second = make("b", {TWO: {}, HELD: {"split": "test"}}, sync_wins=1.0)
    done = forget(workspace, clip=ONE[:6], why="asked to")
    assert [(s.name, s.version) for s in done.marked] == [(AVATAR, "1"), (ENHANCER, "1")]
    assert done.champion
    assert marks(workspace) == {
        (AVATAR, "1"): f"clip {ONE[:6]} was withdrawn",
        (ENHANCER, "1"): f"clip {ONE[:6]} was withdrawn",
    }
    (stone,) = tombstones.declared(workspace, tombstones.digest(workspace))
    assert (stone.clips, stone.files, stone.why) == ((ONE,), (ONE[:16],), "asked to")
    (request,) = requests.pending(workspace, requests.RETRAIN)
    assert request.about == {"tombstones": tombstones.digest(workspace)}
    assert forget(workspace, clip=ONE[:6]).stone.clips == (ONE,)
    assert len(tombstones.read(workspace)) == 1
    assert [row["action"] for row in history(workspace)] == ["promoted", "marked"]
    done = forget(workspace, clip=HELD)
    assert done.marked == ()
    assert {s.version for s in done.seen} == {"1", "2"}
    assert promote(workspace, second).status == "promoted"
    with pytest.raises(InputError, match="must not be used"):
        rollback(workspace)
    requests.fulfil(workspace, request)
    assert request not in requests.pending(workspace)


def test_promotion_refuses_what_was_marked_and_replaces_a_marked_champion(
    workspace: Workspace, make: Train
) -> None:
    promote(workspace, make("a", {ONE: {}, TWO: {}}))
    again = make("b", {ONE: {}, TWO: {}, THREE: {}}, sync_wins=1.0)
    forget(workspace, clip=ONE)
    refused = promote(workspace, again, approve=True)
    assert refused.status == "refused"
    assert "was withdrawn" in refused.reason
    clean = make("c", {TWO: {}})
    decision = promote(workspace, clean)
    assert (decision.status, decision.former) == ("promoted", {AVATAR: "1", ENHANCER: "1"})
    assert decision.reason == "no worse than the champion, which learnt from withdrawn material"


def test_a_worse_model_does_not_replace_a_marked_champion(workspace: Workspace, make: Train) -> None:
    promote(workspace, make("a", {ONE: {}, TWO: {}}))
    forget(workspace, clip=ONE)
    decision = promote(workspace, make("c", {TWO: {}}, sync_wins=0.5))
    assert decision.reason == "worse than the champion: sync_wins 0.95 → 0.5"


def test_duplicates_people_and_sources(workspace: Workspace, make: Train) -> None:
    copy = "ee" * 8 + "-0"
    make("a", {
        ONE: {"identity": "p7"},
        TWO: {"identity": "p7", "source": "x", "source_video": "x/2", "file": "x/2.mp4"},
        copy: {"decision": "reject", "reasons": "duplicate", "duplicate_of": ONE, "identity": None},
        "ff" * 8 + "-0": {"identity": "p8"}, "ff" * 8 + "-1": {"identity": "p9"},
    })  # fmt: skip
    assert forget(workspace, clip=ONE).stone.clips == (ONE, copy)
    assert forget(workspace, identity="p7").stone.clips == (ONE, TWO, copy)
    stone = forget(workspace, identity="p8").stone
    assert (stone.clips, stone.files) == (("ff" * 8 + "-0",), ())
    assert forget(workspace, source="x").stone.clips == (TWO,)
    assert forget(workspace, source="s3://not/yet/here").stone.clips == ()
    for wrong in ({"clip": "0"}, {"identity": "p99"}, {}, {"clip": ONE, "source": "x"}):
        with pytest.raises(InputError):
            forget(workspace, **wrong)


def test_restored_content_is_marked_when_it_is_registered_again(workspace: Workspace, make: Train) -> None:
    make("a", {ONE: {}})
    forget(workspace, clip=ONE)
    make("b", {ONE: {}})
    assert [(s.name, s.version) for s in mark_known(Tracker(workspace))] == [(AVATAR, "2"), (ENHANCER, "2")]
    assert mark_known(Tracker(workspace)) == []


def test_cards_travel_with_the_model(workspace: Workspace, make: Train, tmp_path: Path) -> None:
    import mlflow

    versions = make("a", {ONE: {}, TWO: {"decision": "reject", "reasons": "blur;sync"}})
    tracker = Tracker(workspace)
    folder = Path(mlflow.artifacts.download_artifacts(f"models:/{AVATAR}/1", dst_path=str(tmp_path)))
    card, about = ((folder / "cards" / name).read_text() for name in ("MODEL_CARD.md", "DATA_CARD.md"))
    pair = find_pair(tracker, versions)
    assert pair.digests[AVATAR] in card
    assert "| sync_wins | 0.95 | 0.9 … 1 | 16 | test |" in card
    assert "| curate | `md5a` |" in card
    assert "| demo | CC0-1.0 | True | 1 | 1 | 0.1 |" in about
    assert "| blur | 1 |" in about
    assert tracker.client.get_model_version(AVATAR, "1").description.startswith("# SyncDreamer avatar")


def test_diff_says_what_changed(workspace: Workspace, make: Train) -> None:
    promote(workspace, make("a", {ONE: {}, TWO: {}}))
    make("b", {TWO: {}, THREE: {}, HELD: {}}, sync_wins=1.0)
    found = difference(workspace)
    assert found["facts"]["id"][0] != found["facts"]["id"][1]
    figure = found["figures"]["sync_wins"]
    assert (figure["old"], figure["new"], figure["n"]) == (0.95, 1.0, 16)
    assert figure["gain"] == pytest.approx(0.05)
    model = found["models"][AVATAR]
    assert model["params"] == {"vae.steps": ["2", "3"]}
    assert (model["clips_added"], model["clips_removed"]) == ([THREE, HELD], [ONE])
    text = "\n".join(told(found))
    assert "sync_wins: 0.95 → 1" in text
    assert "face_rate" not in text
    assert told(difference(workspace, "1", "1+1"))[1:] == ["no difference"]
    with pytest.raises(InputError, match="no pair is challenger"):
        difference(workspace, "challenger", "newest")


def test_a_hold_stops_promotions_not_rollbacks(workspace: Workspace, make: Train) -> None:
    promote(workspace, make("a", {ONE: {}}))
    promote(workspace, make("b", {ONE: {}}, sync_wins=1.0))
    third = make("c", {ONE: {}}, sync_wins=1.0, identity_top1=1.0)
    with pytest.raises(InputError, match="say why"):
        hold(workspace)
    assert hold(workspace, actor="ann", why="audit") == "held: audit"
    assert hold(workspace, actor="bob", why="too").startswith("held already since")
    decision = promote(workspace, third, approve=True)
    assert decision.status == "refused"
    assert "by ann: audit" in decision.reason
    assert rollback(workspace).status == "rolled back"
    assert release(workspace) == "released"
    with pytest.raises(InputError, match="nothing is held"):
        release(workspace)
    assert promote(workspace, third).status == "promoted"
    assert alias_version(Tracker(workspace), AVATAR, CHAMPION) == "3"
