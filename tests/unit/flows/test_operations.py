"""The operations section: what could not run is refused before anything is served."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from components.core.errors import InputError
from flows.operations import OperationsParams
from flows.params import default_text, load_operations, load_params

ROOT = Path(__file__).parents[3]


def test_the_shipped_section_is_the_default_and_no_stage_depends_on_it() -> None:
    assert load_operations(ROOT / "params.yaml") == OperationsParams()
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    assert not any("operations" in stage["params"] for stage in stages.values())


def test_it_may_be_absent_and_round_trips(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    values: dict[str, Any] = {
        "poll_seconds": 2.0,
        "deployments": [
            {"name": "hourly", "interval_seconds": 3600, "changes": {"train_stage2.steps": 5}},
            {"name": "s3", "triggers": [{"kind": "s3", "url": "s3://bucket/new/", "into": "incoming"}]},
        ],
        "notifications": [{"kind": "block", "block": "slack-webhook/team"}],
    }
    path.write_text(default_text({"operations": values}))
    assert load_params(path).operations == OperationsParams.model_validate(values)
    raw = yaml.safe_load(path.read_text())
    del raw["operations"]
    path.write_text(yaml.safe_dump(raw))
    assert load_params(path).operations == OperationsParams()


@pytest.mark.parametrize(
    ("deployment", "told"),
    [
        ({"name": "Nightly", "cron": "0 2 * * *"}, "lower case"),
        ({"name": "a"}, "needs cron, interval_seconds or triggers"),
        ({"name": "a", "cron": "0 2 * *"}, "cron '0 2 \\* \\*'"),
        ({"name": "a", "cron": "61 2 * * *"}, "cron '61"),
        ({"name": "a", "cron": "0 2 * * *", "interval_seconds": 5}, "exclude each other"),
        ({"name": "a", "cron": "0 2 * * *", "timezone": "Mars/Base"}, "no time zone 'Mars/Base'"),
        ({"name": "a", "triggers": [{"kind": "s3", "url": "bucket"}]}, "must be s3://"),
        ({"name": "a", "triggers": [{"kind": "file"}]}, "triggers.0"),
        ({"name": "a", "job": "drift", "cron": "0 2 * * *", "until": "curate"}, "belong to the chain"),
        ({"name": "a", "cron": "0 2 * * *", "cromn": 1}, "did you mean|unknown parameter"),
    ],
)
def test_a_wrong_deployment_names_its_mistake(tmp_path: Path, deployment: dict[str, Any], told: str) -> None:
    path = tmp_path / "params.yaml"
    raw = yaml.safe_load(default_text())
    raw["operations"]["deployments"] = [deployment]
    path.write_text(yaml.safe_dump(raw))
    with pytest.raises(InputError, match=told):
        load_operations(path)


def test_names_are_used_once() -> None:
    twice = [{"name": "a", "interval_seconds": 5}] * 2
    with pytest.raises(ValueError, match="'a' is used twice"):
        OperationsParams.model_validate({"deployments": twice})
