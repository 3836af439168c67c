"""infra/prefect.yaml and its work pools, by Prefect's own models: what would be deployed could run."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).parents[3]
FILE = ROOT / "infra" / "prefect.yaml"
TEMPLATE = ROOT / "infra" / "work-pools" / "kubernetes.json"
DEPLOYMENTS = yaml.safe_load(FILE.read_text())["deployments"]


def bundled(package: str, kind: str) -> dict[str, Any]:
    """The base job template that Prefect ships for a kind of work pool."""
    import prefect.server.api as api

    path = Path(api.__file__).parent / "collections_data" / "views" / "aggregate-worker-metadata.json"
    return json.loads(path.read_text())[package][kind]["default_base_job_configuration"]


def placeholders(value: Any) -> set[str]:
    return set(re.findall(r"{{\s*(\w+)\s*}}", json.dumps(value)))


def test_prefect_reads_it_and_every_key_is_one_that_it_knows() -> None:
    from prefect.cli.deploy._models import DeploymentConfig, PrefectYamlModel, RawScheduleConfig

    raw = yaml.safe_load(FILE.read_text())
    model = PrefectYamlModel.model_validate(raw)
    assert len(model.deployments) == len(DEPLOYMENTS) == 4
    fields = {field.alias or name for name, field in PrefectYamlModel.model_fields.items()}
    assert set(raw) <= fields | {"definitions", "prefect-version"}
    for deployment in DEPLOYMENTS:
        assert set(deployment) <= set(DeploymentConfig.model_fields)
        for schedule in deployment["schedules"]:
            RawScheduleConfig.model_validate(schedule)
        assert deployment["concurrency_limit"]["limit"] == 1


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda deployment: deployment["name"])
def test_its_flow_takes_its_parameters_and_its_pool_its_variables(deployment: dict[str, Any]) -> None:
    from prefect.flows import load_flow_from_entrypoint

    flow = load_flow_from_entrypoint(str(ROOT / deployment["entrypoint"].replace("\\", "/")))
    flow.validate_parameters(deployment["parameters"])
    assert deployment["parameters"]["deployment"] == deployment["name"]
    pool = deployment["work_pool"]
    template = (
        json.loads(TEMPLATE.read_text())
        if pool["name"].endswith("kubernetes")
        else bundled("prefect", "process")
    )
    schema = template["variables"] | {"additionalProperties": False}
    jsonschema.validate(pool["job_variables"], schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"imagee": "x"}, schema)


def test_the_kubernetes_template_is_prefects_own_with_a_workspace() -> None:
    own, shipped = json.loads(TEMPLATE.read_text()), bundled("prefect-kubernetes", "kubernetes")
    jsonschema.Draft202012Validator.check_schema(own["variables"])
    known = set(own["variables"]["properties"])
    assert placeholders(own["job_configuration"]) <= known
    assert set(shipped["variables"]["properties"]) < known
    assert set(shipped["job_configuration"]) == set(own["job_configuration"])
    job = own["job_configuration"]["job_manifest"]
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert {mount["name"] for mount in container["volumeMounts"]} == {
        volume["name"] for volume in pod["volumes"]
    }
    assert job["spec"]["backoffLimit"] == 0  # Prefect and the lock decide what is taken up again
