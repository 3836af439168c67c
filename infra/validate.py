"""Validates every file of infra/ offline: `make validate-infra`.

Compose and Kubernetes files are checked against the published JSON schemas in infra/schemas (Compose
Specification; Kubernetes 1.34, strict: an unknown key is an error), then for references that no schema sees:
names of services, volumes, config maps, secrets' keys, ports, selectors, files. Where kubectl is installed,
it also builds each kustomization, and what comes out is checked by the schemas again. Dockerfile, Slurm
script and Prefect's file have no schema here: the rules below check their structure, which is less.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import yaml

HERE = Path(__file__).parent
SECRETS = {"syncdreamer": {"POSTGRES_PASSWORD", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}}
"""Secrets made by hand (docs/storage.md) and their keys."""
KUSTOMIZATION = {
    "apiVersion", "kind", "namespace", "resources", "labels", "images", "configMapGenerator", "patches",
    "components", "replicas",
}  # fmt: skip
DOCKER = {
    "FROM", "ARG", "ENV", "RUN", "WORKDIR", "COPY", "USER", "CMD", "ENTRYPOINT", "EXPOSE", "LABEL",
    "HEALTHCHECK",
}  # fmt: skip
SBATCH = {
    "job-name", "nodes", "ntasks-per-node", "gpus-per-node", "cpus-per-task", "time", "requeue", "signal",
    "output", "partition", "account", "mem",
}  # fmt: skip
PREFECT = {"name", "prefect-version", "build", "push", "pull", "definitions", "deployments"}
DEPLOYMENT = {
    "name", "description", "entrypoint", "work_pool", "parameters", "schedules", "schedule", "tags",
    "version", "concurrency_limit", "triggers", "enforce_parameter_schema", "pull", "build", "push",
    "job_variables", "paused",
}  # fmt: skip
POOL = {"name", "work_queue_name", "job_variables"}

Problems = Iterator[str]


class _Strict(yaml.SafeLoader):
    """YAML in which a key that comes twice is an error."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        names = [key.value for key, _ in node.value if key.value != "<<"]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise yaml.constructor.ConstructorError(
                None, None, f"key {sorted(twice)} comes twice", node.start_mark
            )
        return super().construct_mapping(node, deep)


def load(path: Path) -> list[Any]:
    """The documents of a YAML file; a YAML error is a problem of the caller's."""
    return [document for document in yaml.load_all(path.read_text(encoding="utf-8"), _Strict) if document]  # noqa: S506 - a safe loader


def against(schema: dict[str, Any], content: Any) -> Problems:
    """Where the content breaks a JSON schema."""
    kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft7Validator)
    for error in kind(schema).iter_errors(content):
        deepest = jsonschema.exceptions.best_match([error])
        yield f"{'.'.join(map(str, deepest.absolute_path)) or '.'}: {deepest.message[:300]}"


def compose(path: Path) -> Problems:
    """The Compose Specification, then references between services, volumes, files and variables."""
    content = load(path)[0]
    yield from against(json.loads((HERE / "schemas" / "compose.json").read_text()), content)
    services, volumes = content.get("services", {}), content.get("volumes", {})
    for name, service in services.items():
        for other, how in dict(service.get("depends_on", {})).items():
            if other not in services:
                yield f"services.{name}.depends_on: there is no service {other!r}"
            elif how["condition"] == "service_healthy" and "healthcheck" not in services[other]:
                yield f"services.{name}.depends_on: {other} has no healthcheck to wait for"
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            if source.startswith("."):
                if not (path.parent / source).exists():
                    yield f"services.{name}.volumes: {source} does not exist"
            elif source not in volumes:
                yield f"services.{name}.volumes: volume {source!r} is not declared"
        for port in service.get("ports", []):
            if not str(port).startswith("127.0.0.1:"):
                yield f"services.{name}.ports: {port} is open to the network; publish it on 127.0.0.1"
    known = set(re.findall(r"^(\w+)=", (path.parent / ".env.example").read_text(), re.M))
    for name, rest in re.findall(r"\$\{(\w+)(:[-?][^}]*)?\}", path.read_text(encoding="utf-8")):
        if not rest.startswith(":-") and name not in known:
            yield f"variable {name} has no default and is not in .env.example"


def kubernetes(folder: Path) -> Problems:
    """Kustomizations, then every object strictly by its schema, then the references between objects."""
    schemas = json.loads((HERE / "schemas" / "kubernetes.json").read_text())
    objects: list[tuple[str, dict[str, Any]]] = []
    for path in sorted(folder.rglob("*.yaml")):
        where = path.relative_to(folder).as_posix()
        for content in load(path):
            if path.name == "kustomization.yaml":
                yield from (f"{where}: {problem}" for problem in kustomization(path, content))
                continue
            name = f"{where}: {content.get('kind')} {content.get('metadata', {}).get('name')}"
            broken = list(by_schema(schemas, content))
            yield from (f"{name}: {problem}" for problem in broken)
            objects += [] if broken else [(name, content)]
    names = [(content["kind"], content["metadata"]["name"]) for _, content in objects]
    yield from (f"{kind} {name} comes twice" for kind, name in set(names) if names.count((kind, name)) > 1)
    yield from references(objects)
    for path in sorted(folder.rglob("kustomization.yaml")) if shutil.which("kubectl") else ():
        where = path.parent.relative_to(folder).as_posix()
        yield from (f"{where} as built by kubectl: {problem}" for problem in built(path.parent, schemas))


def by_schema(schemas: dict[str, Any], content: dict[str, Any]) -> Problems:
    """One object, strictly."""
    kind = f"{content.get('apiVersion')}/{content.get('kind')}"
    if kind in schemas["kinds"]:
        yield from against({**schemas["kinds"][kind], "$defs": schemas["$defs"]}, content)
    else:
        yield f"no schema of {kind}; add it to infra/schemas/prune_kubernetes.py"


def built(folder: Path, schemas: dict[str, Any]) -> Problems:
    """What kubectl's kustomize makes of a folder (no cluster is asked): every object by its schema."""
    command = ["kubectl", "kustomize", str(folder)]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode:
        yield " ".join(made.stderr.split())
        return
    for content in yaml.safe_load_all(made.stdout):
        name = f"{content['kind']} {content['metadata']['name']}"
        yield from (f"{name}: {problem}" for problem in by_schema(schemas, content))
        if content["kind"] != "Namespace" and not content["metadata"].get("namespace"):
            yield f"{name}: it is in no namespace"


def references(objects: list[tuple[str, dict[str, Any]]]) -> Problems:
    """Config maps, secrets, claims, volumes, ports and selectors that name nothing."""
    there = {(content["kind"], content["metadata"]["name"]): content for _, content in objects}
    pods = [(where, content, content["spec"]["template"]) for where, content in objects
            if "template" in content.get("spec", {})]  # fmt: skip
    for where, content, template in pods:
        spec, labels = template["spec"], template["metadata"].get("labels", {})
        selector = content["spec"].get("selector", {}).get("matchLabels", {})
        if not selector.items() <= labels.items():
            yield f"{where}: its selector {selector} does not match its own pods"
        claimed = {claim["metadata"]["name"] for claim in content["spec"].get("volumeClaimTemplates", [])}
        volumes = {volume["name"]: volume for volume in spec.get("volumes", [])}
        for volume in volumes.values():
            claim = volume.get("persistentVolumeClaim", {}).get("claimName")
            if claim and ("PersistentVolumeClaim", claim) not in there:
                yield f"{where}: there is no claim {claim!r}"
            config = volume.get("configMap", {}).get("name")
            if config and ("ConfigMap", config) not in there:
                yield f"{where}: there is no config map {config!r}"
        for container in [*spec.get("initContainers", []), *spec["containers"]]:
            place = f"{where}: container {container['name']}"
            for mount in container.get("volumeMounts", []):
                if mount["name"] not in volumes.keys() | claimed:
                    yield f"{place}: there is no volume {mount['name']!r}"
            yield from (f"{place}: {problem}" for problem in environment(container, there))
            yield from (f"{place}: {problem}" for problem in probes(container))
            if ":" not in container["image"]:
                yield f"{place}: image {container['image']} has no version"
            if container.get("securityContext", {}).get("allowPrivilegeEscalation") is not False:
                yield f"{place}: allowPrivilegeEscalation is not off"
            if not container.get("resources", {}).get("requests") and container in spec["containers"]:
                yield f"{place}: it requests no resources"
    for where, content in objects:
        selector = content.get("spec", {}).get("selector") if content["kind"] == "Service" else None
        made = [{**t["metadata"].get("labels", {}), **_job_label(c)} for _, c, t in pods]
        if selector and not any(selector.items() <= labels.items() for labels in made):
            yield f"{where}: its selector {selector} matches no pod"


def _job_label(content: dict[str, Any]) -> dict[str, str]:
    return {"job-name": content["metadata"]["name"]} if content["kind"] == "Job" else {}


def environment(container: dict[str, Any], there: dict[tuple[str, str], Any]) -> Problems:
    """Config maps and secrets' keys that are not there; `$(NAME)` that nothing sets."""
    known = {row["name"] for row in container.get("env", [])}
    for source in container.get("envFrom", []):
        config, secret = source.get("configMapRef", {}).get("name"), source.get("secretRef", {}).get("name")
        if config:
            if ("ConfigMap", config) not in there:
                yield f"there is no config map {config!r}"
            known |= there.get(("ConfigMap", config), {}).get("data", {}).keys()
        if secret and secret not in SECRETS:
            yield f"secret {secret!r} is not one of {sorted(SECRETS)}"
        known |= SECRETS.get(secret, set())
    for row in container.get("env", []):
        reference = row.get("valueFrom", {}).get("secretKeyRef")
        if reference and reference["key"] not in SECRETS.get(reference["name"], set()):
            yield f"secret {reference['name']} has no key {reference['key']}"
    words = [*container.get("command", []), *container.get("args", [])]
    words += [row.get("value", "") for row in container.get("env", [])]
    for name in re.findall(r"\$\((\w+)\)", " ".join(words)):
        if name not in known:
            yield f"$({name}) is set by nothing"


def probes(container: dict[str, Any]) -> Problems:
    """Probes of ports on which the container does not listen."""
    ports = {port["containerPort"] for port in container.get("ports", [])}
    for name in ("readinessProbe", "livenessProbe", "startupProbe"):
        probe = container.get(name, {})
        port = probe.get("httpGet", probe.get("tcpSocket", {})).get("port")
        if port and port not in ports:
            yield f"{name} asks port {port}; its ports are {sorted(ports)}"


def kustomization(path: Path, content: dict[str, Any]) -> Problems:
    """Known keys; what it lists is there, and what is there is listed."""
    yield from (f"unknown key {key!r}" for key in content.keys() - KUSTOMIZATION)
    if content.get("kind") != "Kustomization":
        yield "kind must be Kustomization"
    listed = set(content.get("resources", []))
    files = {file.name for file in path.parent.glob("*.yaml")} - {path.name}
    yield from (f"resource {name} does not exist" for name in listed if not (path.parent / name).exists())
    yield from (f"{name} is not listed in resources" for name in files - listed)


def dockerfile(path: Path) -> Problems:
    """Known instructions, a base with a version, sources of COPY that exist, no root at the end."""
    text = re.sub(r"^\s*#.*\n", "", path.read_text(encoding="utf-8"), flags=re.M)
    lines = [line for line in re.sub(r"\\\n\s*", " ", text).splitlines() if line.strip()]
    users = []
    for line in lines:
        instruction, _, rest = line.partition(" ")
        if instruction not in DOCKER:
            yield f"unknown instruction {instruction!r}"
        if instruction == "FROM" and ":" not in rest:
            yield f"base {rest} has no version"
        if instruction == "COPY":
            *sources, _ = [word for word in rest.split() if not word.startswith("--")]
            for source in sources:
                if not (path.parents[1] / source).exists():
                    yield f"COPY {source}: there is no such file"
        if instruction == "USER":
            users.append(rest.strip())
    if not lines or not lines[0].startswith(("FROM ", "ARG ")):
        yield "it does not begin with FROM"
    if not users or users[-1] in ("root", "0"):
        yield "it ends as root"


def slurm(path: Path) -> Problems:
    """Bash accepts it, and its options are known ones."""
    checked = subprocess.run(["bash", "-n", str(path)], capture_output=True, text=True, check=False)
    if checked.returncode:
        yield checked.stderr.strip()
    text = path.read_text(encoding="utf-8")
    if not text.startswith("#!"):
        yield "it does not begin with #!"
    options = re.findall(r"^#SBATCH\s+--([\w-]+)", text, re.M)
    yield from (f"unknown option --{option}" for option in options if option not in SBATCH)


def prefect(path: Path) -> Problems:
    """Known keys; each deployment has a name, a pool and an entrypoint whose function is there."""
    content = load(path)[0]
    yield from (f"unknown key {key!r}" for key in content.keys() - PREFECT)
    names: list[str] = []
    for row in content.get("deployments") or []:
        name = str(row.get("name"))
        names.append(name)
        yield from (f"deployment {name}: unknown key {key!r}" for key in row.keys() - DEPLOYMENT)
        pool = row.get("work_pool") or {}
        yield from (f"deployment {name}: work_pool: unknown key {key!r}" for key in pool.keys() - POOL)
        file, _, function = str(row.get("entrypoint", "")).partition(":")
        source = path.parents[1] / file
        if not function or not source.is_file():
            yield f"deployment {name}: entrypoint {row.get('entrypoint')!r} is no file:function"
        elif not re.search(rf"^(async )?def {re.escape(function)}\b", source.read_text(), re.M):
            yield f"deployment {name}: {file} has no function {function}"
    yield from (f"deployment {name!r} comes twice" for name in set(names) if names.count(name) > 1)


def plain_json(path: Path) -> Problems:
    """A JSON object."""
    if not isinstance(json.loads(path.read_text(encoding="utf-8")), dict):
        yield "it is no JSON object"


def problems(root: Path) -> tuple[list[str], list[str]]:
    """(files that were checked, what is wrong with them) below the infra folder `root`."""
    checks = [
        ("compose.yaml", compose), ("k8s", kubernetes), ("Dockerfile", dockerfile), ("slurm/*.sbatch", slurm),
        ("prefect.yaml", prefect), ("deepspeed/*.json", plain_json), ("work-pools/*.json", plain_json),
    ]  # fmt: skip
    checked, found = [], []
    for pattern, check in checks:
        for path in sorted(root.glob(pattern)):
            name = path.relative_to(root).as_posix()
            count = len(list(path.rglob("*.yaml"))) if path.is_dir() else 0
            checked.append(f"{name} ({count} files)" if count else name)
            try:
                found += [f"infra/{name}: {problem}" for problem in check(path)]
            except (yaml.YAMLError, json.JSONDecodeError) as error:
                found.append(f"infra/{name}: {' '.join(str(error).split())}")
    return checked, found


def main() -> int:
    """Prints what was checked and every problem; 1 if there is one."""
    checked, found = problems(HERE)
    print("\n".join(found or [f"infra: valid: {', '.join(checked)}"]))
    if not shutil.which("kubectl"):
        print("infra: kubectl is not installed: the kustomizations were checked but not built")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
