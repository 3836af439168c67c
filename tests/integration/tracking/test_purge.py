"""`forget --purge` on a real DVC repository with a remote: no byte of the clip is found anywhere after."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from components.core.errors import SyncDreamerError
from components.core.files import write_bytes, write_json, write_parquet
from components.core.paths import Workspace
from components.storage.shards import Sample, write_shards
from components.tracking.runs import Tracker
from components.tracking.trace import clip_uses, record
from tests.integration.tracking.conftest import manifest, outputs

SECRET, OTHER = b"the withdrawn person's picture", b"somebody else's picture"
RAW = {"demo/gone.mp4": b"raw: " + SECRET, "demo/stays.mp4": b"raw: " + OTHER}
IDS = {name: hashlib.sha256(content).hexdigest()[:16] + "-0" for name, content in RAW.items()}
GONE, STAYS = IDS.values()


def holding(root: Path, content: bytes) -> list[str]:
    return sorted(
        p.relative_to(root).as_posix()
        for p in root.rglob("*")
        if p.is_file() and not p.is_symlink() and content in p.read_bytes()
    )


@pytest.fixture
def checkout(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Raw data, curated and encoded clips, an evaluation, two DVC revisions pushed to a remote."""
    import pandas as pd
    from dvc.repo import Repo

    from components.curation.ledger import Ledger, Segment
    from components.curation.package import item_key

    root = workspace.root
    (root / "params.yaml").write_text("seed: 1\ncurate:\n  workers: 0\n")
    monkeypatch.chdir(root)
    repo = Repo.init(str(root), no_scm=True)
    with repo.config.edit() as config:
        config["remote"] = {"team": {"url": str(root.parent / "remote")}}
        config["core"] |= {"remote": "team", "analytics": False}
    for name, content in RAW.items():
        write_bytes(workspace.raw / name, content)
        write_bytes((workspace.raw / name).with_suffix(".txt"), b"caption of " + content)
    digests = [hashlib.sha256(content).hexdigest() for content in RAW.values()]
    write_parquet(
        workspace.artifacts("ingest", "inventory.parquet"),
        pd.DataFrame({"file": list(RAW), "sha256": digests}),
    )
    outputs(workspace, "a", "e", {}, {"sync_wins": 0.9, "face_rate": 0.9})
    metrics = workspace.artifacts("evaluation", "metrics.json")
    rows = [
        {"index": n, "reference": c, "sound": c, "other": c, "seed": n} for n, c in enumerate(IDS.values())
    ]
    write_json(metrics, {"metrics": [{"name": "sync_wins", "value": 0.9}], "items": rows})
    manifest(workspace, [{"clip_id": c, "file": f, "split": "test"} for f, c in IDS.items()])
    contents = dict(zip(IDS.values(), RAW.values(), strict=True))
    for stage in ("curate", "encode"):
        samples = [Sample(c, {"mp4": stage.encode() + contents[c]}) for c in sorted(contents)]
        write_shards(workspace.artifacts(stage, "shards"), samples, 1)
    for number, (clip_id, content) in enumerate(contents.items()):
        write_bytes(workspace.artifacts("curate", "thumbnails", f"{clip_id}.jpg"), b"jpg" + content)
        write_bytes(workspace.artifacts("annotate", "frames", f"{clip_id}.png"), b"png" + content)
        write_bytes(
            workspace.artifacts("evaluation", "videos", f"{number:02d}_generated.mp4"), b"mp4" + content
        )
        write_bytes(workspace.state("encode", "ab") / f"{clip_id}-12.safetensors", content)
        key = item_key(digests[number], 0.0, None)
        write_bytes(workspace.state("curate", "work", "fp", key[:2], key) / "0.jpg", content)
        with Ledger(workspace.state("curate") / "ledger.sqlite") as ledger:
            ledger.add("fp", key, digests[number], [Segment({"segments": 1}, embedding=content * 50)])
    write_bytes(workspace.artifacts("report", "index.html"), b"<img>" + SECRET)
    places = [f"artifacts/{s}" for s in ("curate", "annotate", "encode", "evaluation")]
    for place in places:
        repo.add(place)
    (root / "data.dvc").write_text("outs:\n- path: data/raw\n")
    repo.commit("data.dvc", force=True)
    repo.push()
    # A second revision: the first one's objects stay in cache and remote.
    write_bytes(workspace.artifacts("encode", "new.txt"), b"more")
    repo.add("artifacts/encode")
    repo.push()
    repo.close()
    from components.tracking.registry import register_pair

    versions = register_pair(workspace)
    tracker = Tracker(workspace)
    record(tracker, versions, clip_uses(workspace), {})
    sheets = tracker.log_stage(None, "curate", artifacts=[])
    tracker.client.log_text(sheets, SECRET.decode(), "contact_sheets/keep.txt")
    return workspace


def test_nothing_is_left_of_it_and_all_of_the_rest(
    checkout: Workspace, capfd: pytest.CaptureFixture[str]
) -> None:
    from flows.takedown import forget

    above = checkout.root.parent
    before, others = holding(above, SECRET), holding(above, OTHER)
    assert len([p for p in before if p.startswith("remote/")]) == 7
    forget(checkout, clip=GONE, identity="", source="", why="asked to", purge=True)
    assert holding(above, SECRET) == []
    kept = [p for p in others if not p.endswith(("index.html", "keep.txt")) and "-wal" not in p]
    assert holding(above, OTHER) == kept
    told = capfd.readouterr()
    text = told.out + told.err
    for part in (
        "erased: data/raw/demo/gone.mp4 (",
        "erased: data/raw/demo/gone.txt (",
        f"erased: artifacts/curate/thumbnails/{GONE}.jpg",
        "erased: state/curate/ledger.sqlite: 1 measured spans",
        "erased: DVC cache: 7 objects",
        "erased: DVC remote team: 7 objects",
        "contact_sheets",
        "erased: data.dvc",
        "left: other clones",
    ):
        assert part in text, text
    import yaml

    left = yaml.safe_load((checkout.root / "data.dvc").read_text())["outs"][0]
    assert left["nfiles"] == 2


@pytest.mark.slow
def test_a_remote_that_is_away_is_told_and_can_be_done_later(
    checkout: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.takedown import forget

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    remote = checkout.root.parent / "remote"
    config = checkout.root / ".dvc" / "config"
    text = config.read_text()
    assert str(remote) in text
    config.write_text(text.replace(str(remote), "s3://team/x\n    endpointurl = http://127.0.0.1:9"))
    with pytest.raises(SyncDreamerError, match="not everything was reached"):
        forget(checkout, clip=GONE, identity="", source="", why="", purge=True)
    assert [p for p in holding(checkout.root.parent, SECRET) if not p.startswith("remote/")] == []
    config.write_text(text)
    forget(checkout, clip=GONE, identity="", source="", why="", purge=True)
    assert holding(checkout.root.parent, SECRET) == []
