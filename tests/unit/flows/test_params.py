"""params.yaml: every mistake is one clear line that names section and key."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from components.core.errors import InputError
from flows.params import default_text, load_params
from flows.stages import STAGES

ROOT = Path(__file__).parents[3]


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    return path


def test_shipped_params_are_valid() -> None:
    parameters = load_params(ROOT / "params.yaml")
    assert set(parameters.sections) == set(STAGES)


def test_default_text_round_trips(tmp_path: Path) -> None:
    text = default_text()
    parameters = load_params(written(tmp_path, text))
    for name, stage in STAGES.items():
        assert parameters.sections[name] == stage.params_model()()


def test_misspelt_key_names_the_nearest(tmp_path: Path) -> None:
    values = yaml.safe_load(default_text())
    values["flow"]["retrys"] = 1
    with pytest.raises(InputError, match=r"unknown parameter flow.retrys; did you mean 'retries'\?"):
        load_params(written(tmp_path, yaml.safe_dump(values)))


def test_unknown_section(tmp_path: Path) -> None:
    values = yaml.safe_load(default_text())
    values["currate"] = {}
    with pytest.raises(InputError, match="unknown section 'currate'; did you mean 'curate'"):
        load_params(written(tmp_path, yaml.safe_dump(values)))


def test_missing_section_out_of_range_and_no_yaml(tmp_path: Path) -> None:
    values = yaml.safe_load(default_text())
    del values["vae"]
    with pytest.raises(InputError, match="section 'vae' is missing"):
        load_params(written(tmp_path, yaml.safe_dump(values)))
    values = yaml.safe_load(default_text())
    values["flow"]["retries"] = -1
    with pytest.raises(InputError, match=r"flow.retries: .*greater than or equal to 0 \(is -1\)"):
        load_params(written(tmp_path, yaml.safe_dump(values)))
    values["flow"]["retries"] = 0
    values["seed"] = "one"
    with pytest.raises(InputError, match="seed must be a whole number"):
        load_params(written(tmp_path, yaml.safe_dump(values)))
    with pytest.raises(InputError, match="is not YAML"):
        load_params(written(tmp_path, "a: [1,"))
    with pytest.raises(InputError, match="is missing"):
        load_params(tmp_path / "none.yaml")


def test_dvc_yaml_and_stage_table_agree() -> None:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    assert set(stages) == set(STAGES)
    for name, stage in stages.items():
        assert f"artifacts/{STAGES[name].folder}" in [
            out if isinstance(out, str) else next(iter(out)) for out in stage["outs"]
        ]
        assert name in stage["params"] and "seed" in stage["params"]


def test_optional_section_of_weights(tmp_path: Path) -> None:
    values = yaml.safe_load(default_text())
    values["weights"] = {"syncnet": "weights/syncnet_v2.model"}
    assert "weights" not in load_params(written(tmp_path, yaml.safe_dump(values))).sections
    values["weights"] = {"sincnet": "x"}
    with pytest.raises(InputError, match=r"unknown parameter weights.sincnet; did you mean 'syncnet'\?"):
        load_params(written(tmp_path, yaml.safe_dump(values)))
