"""What other thresholds would do, from the manifest alone; and readmitting, into params.yaml."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from components.core.errors import InputError
from components.core.files import write_json, write_parquet
from components.core.paths import Workspace
from components.curation.commands import app
from components.curation.params import CurateParams, Limits
from components.curation.redecide import compare, parsed, redecide
from components.curation.scores import tidy
from tests.unit.curation.test_decide import GOOD

AUDIO = pd.Series({"demo": "required", "pexels": "none"})


def manifest() -> pd.DataFrame:
    """Sharp and soft clips, a silent one of a silent source, a copy, one that was readmitted."""
    changes = [
        {"blur": 400.0}, {"blur": 50.0}, {"blur": 10.0},
        {"has_sound": False, "voice_rate": None, "sync_offset": None, "sync_confidence": None},
        {}, {"yaw": 60.0},
    ]  # fmt: skip
    rows = [tidy(GOOD | change) for change in changes]
    facts = pd.DataFrame(
        {
            "clip_id": [f"{n:016x}-0" for n in range(6)], "file": [f"demo/{n}.mp4" for n in range(6)],
            "source": ["demo"] * 3 + ["pexels"] + ["demo"] * 2, "licence": "CC0-1.0", "consent": True,
            "split": "train", "source_video": [f"v{n}" for n in range(6)], "framing": "close-up",
            "identity": "p1", "duplicate_of": [None] * 4 + [f"{0:016x}-0", None],
            "decision": ["keep", "keep", "reject", "keep", "reject", "keep"],
            "outcome": ["keep", "keep", "reject", "keep", "reject", "keep"],
            "reasons": ["", "", "blur", "", "duplicate", ""], "repairs": [""] * 5 + ["readmitted"],
        }
    )  # fmt: skip
    return pd.concat([facts, pd.DataFrame(rows)], axis=1).assign(delivery="speech")


def test_the_same_limits_give_the_decisions_of_the_manifest() -> None:
    table = manifest()
    assert redecide(table, AUDIO, Limits())["decision"].tolist() == table["decision"].tolist()
    stricter = redecide(table, AUDIO, Limits(min_sharpness=60.0))
    assert stricter["reasons"].tolist() == ["", "blur", "blur", "", "duplicate", ""]
    loud = redecide(table, AUDIO, Limits(allow_silent_sources=False))
    assert loud["reasons"].tolist()[3] == "no_audio"


def test_differences_are_told_by_reason_and_clip() -> None:
    inventory = pd.DataFrame({"source": AUDIO.index, "audio": AUDIO.to_numpy()})
    told = compare(manifest(), inventory, Limits(), Limits(min_sharpness=60.0), show=5)
    assert told == [
        "kept now:  4 of 6 clips, 0.4 min",
        "kept then: 3 of 6 clips, 0.3 min",
        "  blur: 1 → 2",
        f"  {1:016x}-0  reject  blur  demo/1.mp4",
    ]


def test_thresholds_are_parsed_or_refused() -> None:
    assert parsed(Limits(), ["min_sharpness=60", "allow_silent_sources=false"]) == Limits(
        min_sharpness=60.0, allow_silent_sources=False
    )
    for text, message in (
        ("min_sharpnes=1", "did you mean 'min_sharpness'"),
        ("zzz=1", "known are: min_seconds"),
        ("max_yaw", "is not name=value"),
        ("max_yaw=400", "max_yaw: Input should be less"),
    ):
        with pytest.raises(InputError, match=message):
            parsed(Limits(), [text])


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    found = Workspace(tmp_path)
    write_parquet(found.artifacts("curate", "manifest.parquet"), manifest())
    write_json(found.artifacts("curate", "config.json"), {"limits": Limits(), "models": {"sync": "ab" * 32}})
    inventory = pd.DataFrame({"source": AUDIO.index, "audio": AUDIO.to_numpy(), "file": ["demo/0.mp4", "x"]})
    write_parquet(found.artifacts("ingest", "inventory.parquet"), inventory)
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    (tmp_path / "params.yaml").write_text("seed: 1\n\ncurate:\n  limits: {}  # thresholds\n\nvae: {}\n")
    monkeypatch.setenv("SYNCDREAMER_ROOT", str(tmp_path))
    return found


def readmitted(workspace: Workspace) -> dict[str, str]:
    content = yaml.safe_load((workspace.root / "params.yaml").read_text())
    return CurateParams.model_validate(content["curate"]).readmit


def test_readmitting_is_a_versioned_list(workspace: Workspace) -> None:
    run = CliRunner().invoke
    soft = f"{2:016x}-0"
    assert isinstance(run(app, ["readmit", soft]).exception, InputError)  # why?
    assert isinstance(run(app, ["readmit", "demo/0.mp4", "--why", "x"]).exception, InputError)  # is kept
    assert run(app, ["readmit", "demo/2.mp4", "--why", " film look: soft "]).exit_code == 0
    assert run(app, ["readmit", f"{4:016x}", "--why", "the better take"]).exit_code == 0
    assert readmitted(workspace) == {soft: "film look: soft", f"{4:016x}-0": "the better take"}
    assert "limits: {}  # thresholds" in (workspace.root / "params.yaml").read_text()
    assert run(app, ["readmit", soft, "--undo"]).exit_code == 0
    assert readmitted(workspace) == {f"{4:016x}-0": "the better take"}
    assert isinstance(run(app, ["readmit", soft, "--undo"]).exception, InputError)


def test_a_clip_without_a_face_cannot_be_readmitted(workspace: Workspace) -> None:
    table = manifest()
    table.loc[2, ["face_rate", "reasons"]] = [0.0, "no_face"]
    write_parquet(workspace.artifacts("curate", "manifest.parquet"), table)
    result = CliRunner().invoke(app, ["readmit", f"{2:016x}-0", "--why", "x"])
    assert "no face was found" in str(result.exception) and readmitted(workspace) == {}


def test_what_if_and_explain_from_the_command_line(workspace: Workspace) -> None:
    run = CliRunner().invoke
    assert "  blur: 1 → 2" in run(app, ["what-if", "min_sharpness=60"]).output
    config = {"limits": Limits(), "models": {}, "readmit": {f"{5:016x}-0": "an artist's profile"}}
    write_json(workspace.artifacts("curate", "config.json"), config)
    assert "  readmitted: an artist's profile" in run(app, ["explain", "demo/5.mp4"]).output


def test_the_data_card_tells_languages_where_they_are_known(workspace: Workspace, tmp_path: Path) -> None:
    table = manifest()
    told = pd.DataFrame({"file": table["file"], "language": ["Finnish"] + [None] * (len(table) - 1)})
    write_parquet(workspace.artifacts("ingest", "inventory.parquet"), told.astype({"language": "str"}))
    result = CliRunner().invoke(app, ["card", "--out", str(tmp_path / "card")])
    assert result.exit_code == 0, result.exception
    text = (tmp_path / "card/data_card.md").read_text()
    assert "| Finnish | 1 |" in text and "| unknown | 3 |" in text


def test_the_data_card_tells_licences_and_scores(workspace: Workspace, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["card", "--out", str(tmp_path / "card")])
    assert result.exit_code == 0, result.exception
    text = (tmp_path / "card/data_card.md").read_text()
    assert "| clips kept | 4 (66.7%) |" in text and "| without sound (stage 1 only) | 1 |" in text
    assert "| demo | CC0-1.0 | yes | 5 | 3 | 0.005 |" in text and "| duplicate | 1 |" in text
    assert "| readmitted by hand | 1 |" in text and "| model: sync | abababababab |" in text
    page = (tmp_path / "card/data_card.html").read_text()
    assert page.count("<svg") == 9 and "<td>CC0-1.0</td>" in page
    assert "http://" not in page and "https://" not in page and "src=" not in page
    again = CliRunner().invoke(app, ["card", "--out", str(tmp_path / "again")])
    assert again.exit_code == 0
    assert (tmp_path / "again/data_card.html").read_bytes() == (tmp_path / "card/data_card.html").read_bytes()
