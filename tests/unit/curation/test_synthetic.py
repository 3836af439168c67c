"""Sources of people who are rendered where they are needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.core.errors import InputError
from components.core.files import digest_tree, read_json, read_parquet
from components.core.paths import Workspace
from components.corpus.build import plan, plan_people
from components.curation.ingest import run
from components.curation.params import IngestParams, SourceParams
from components.curation.sources.places import local, named, scheme

URL = "synthetic://people=2,clips=3,seed=5"


def test_people_are_rendered_once_and_named_by_their_address(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.raw.mkdir(parents=True)
    run(IngestParams(sources=(SourceParams(path=URL),)), workspace, 0)
    table = read_parquet(tmp_path / "artifacts/ingest/inventory.parquet")
    assert table["file"].tolist() == [f"{URL}/people/take_000{number}.mp4" for number in (1, 2, 3)]
    assert table["licence"].unique().tolist() == ["CC0-1.0"] and table["has_audio"].all()
    assert table["problem"].isna().all() and table["split"].unique().tolist() == ["auto"]
    place = local(workspace, URL)
    assert named(workspace, place.resolve() / "people/take_0001.mp4") == table["file"][0]
    first = digest_tree(place)
    cut = place / "people/take_0002.mp4"
    cut.write_bytes(b"cut short")
    other_order = URL.replace("people=2,clips=3", "clips=3,people=2")
    run(IngestParams(sources=(SourceParams(path=other_order),)), workspace, 0)
    assert digest_tree(place) == first
    told = [read_json(path) for path in sorted((place / "truth").glob("*.json"))]
    assert len({each["person"] for each in told}) == 2 and {each["pool"] for each in told} == {"train"}


def test_nobody_of_the_demo_corpus_is_among_them() -> None:
    demo = {item.person for item in plan(7, 32, 110, {})}
    made = plan_people(7, 200, 400)
    assert not demo & {item.person for item in made}
    assert {item.framing for item in made} == {"close-up"} and len({item.stem for item in made}) == 400
    with pytest.raises(InputError, match="at least one person"):
        plan_people(7, 3, 2)


@pytest.mark.parametrize(
    "url",
    ["synthetic://", "synthetic://people=2", "synthetic://people=2,clips=3,seed=x",
     "synthetic://people=2,clips=3,seed=1,faults=2", "synthetic://people=2,people=2,clips=3,seed=1"],
)  # fmt: skip
def test_a_wrong_address_is_told(tmp_path: Path, url: str) -> None:
    workspace = Workspace(tmp_path)
    workspace.raw.mkdir(parents=True)
    with pytest.raises(InputError, match="should read synthetic://people=100,clips=300,seed=11"):
        run(IngestParams(sources=(SourceParams(path=url),)), workspace, 0)


def test_schemes() -> None:
    assert scheme("demo/a.mp4") is None and scheme("s3://bucket/a.mp4") == "s3"
    with pytest.raises(InputError, match="there are s3://…, synthetic://…"):
        scheme("gs://bucket/a.mp4")
