"""Makes kubernetes.json: the strict schemas of the kinds that infra/k8s uses, without descriptions.

pip install kubernetes-validate==1.37.0        # 108 MB of schemas of many versions; not in the lock
python infra/schemas/prune_kubernetes.py 1.34
"""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

KINDS = (
    "configmap-v1", "cronjob-batch-v1", "deployment-apps-v1", "job-batch-v1", "namespace-v1",
    "networkpolicy-networking-v1", "persistentvolumeclaim-v1", "poddisruptionbudget-policy-v1",
    "role-rbac-v1", "rolebinding-rbac-v1", "secret-v1", "service-v1", "serviceaccount-v1",
    "statefulset-apps-v1",
)  # fmt: skip
PREFIX = "#/$defs/"


def main(version: str) -> None:
    spec = find_spec("kubernetes_validate")
    assert spec is not None and spec.origin is not None
    folder = Path(spec.origin).parent / "kubernetes-json-schema" / f"v{version}.0-local-strict"
    every = json.loads((folder / "_definitions.json").read_text())["$defs"]
    definitions: dict[str, Any] = {}
    files = sorted(path for path in folder.glob("*.json") if not path.name.startswith("_"))
    kinds: dict[str, Any] = {}

    def plain(node: Any) -> Any:
        if isinstance(node, list):
            return [plain(item) for item in node]
        if not isinstance(node, dict):
            return node
        kept = {}
        for key, value in node.items():
            if key == "description" and isinstance(value, str):
                continue
            if key == "$ref":
                name = value.rpartition(PREFIX)[2]
                if name not in definitions:
                    definitions[name] = None
                    definitions[name] = plain(every[name])
                value = f"#/$defs/{name}"
            kept[key] = plain(value) if key != "$ref" else value
        return kept

    for path in files:
        if path.stem not in KINDS:
            continue
        schema = plain(json.loads(path.read_text()))
        schema.pop("$id")
        group = schema.pop("x-kubernetes-group-version-kind")[0]
        api = f"{group['group']}/{group['version']}" if group["group"] else group["version"]
        kinds[f"{api}/{group['kind']}"] = schema
    missing = set(KINDS) - {path.stem for path in files}
    assert not missing, f"no schema of {sorted(missing)} in {folder}"
    out = {"version": version, "kinds": kinds, "$defs": dict(sorted(definitions.items()))}
    Path(__file__).with_name("kubernetes.json").write_text(json.dumps(out, sort_keys=True, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
