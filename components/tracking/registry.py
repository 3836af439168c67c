"""The registry: versions of the avatar generator and the enhancer, always as compatible pairs.

A pair is an avatar and an enhancer that passed the gates and were evaluated together. Its evidence (gates,
metrics, digests) is a tag of both versions, so nothing but the tracking server is needed to judge it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.core.errors import InputError, SyncDreamerError
from components.core.files import to_json
from components.core.paths import Workspace
from components.tracking.evidence import read_figures, read_gates
from components.tracking.models import SPECS, LoggedModel, find_model, log_model
from components.tracking.models import content_digest as digest_of
from components.tracking.runs import Tracker
from components.tracking.store import told

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

AVATAR, ENHANCER = "syncdreamer-avatar", "syncdreamer-enhancer"
STAGES = {AVATAR: "train_stage2", ENHANCER: "enhancer_grpo"}
MODELS = tuple(STAGES)
CHAMPION, PREVIOUS, CHALLENGER = "champion", "previous", "challenger"
MARKED_TAG = "marked"
NEWEST_TAG = "newest"


@dataclass(frozen=True)
class Pair:
    """An avatar version and an enhancer version that belong together.

    gates: name → passed. metrics: name → {"value", "low", "high", "n", "network"}.
    frozen: names the clips, seeds and networks that the metrics were measured with. samples: where the single
    clips' figures lie. marked: why a version must not be promoted (a tag on either version), or "".
    """

    id: str
    versions: dict[str, str]
    digests: dict[str, str]
    gates: dict[str, bool]
    metrics: dict[str, dict[str, Any]]
    run_id: str
    lock: str = ""
    git: str = ""
    data: str = ""
    frozen: str = ""
    samples: dict[str, str] = field(default_factory=dict)
    marked: str = ""


def pair_id(avatar_digest: str, enhancer_digest: str) -> str:
    """Names a pair by the content of its two models."""
    return hashlib.sha256(f"{avatar_digest}+{enhancer_digest}".encode()).hexdigest()[:16]


def register_pair(
    workspace: Workspace,
    *,
    lock_digest: str = "",
    git: str = "",
    data_digest: str = "",
    runs: Mapping[str, str] | None = None,
    parent: str | None = None,
    tracker: Tracker | None = None,
) -> dict[str, str]:
    """Registers the generator and the enhancer of artifacts/ with their evidence; returns name → version.

    Content that is registered already keeps its version; only its evidence (gates, metrics) is renewed.
    runs: stage → id of the run that trained it (found by content if logged before, else a run is made below
    `parent`).

    Raises:
        InputError: a model, the evaluation's metrics or a gate's verdict is missing.
        TemporaryFailure: the tracking server is away.
    """
    tracker = tracker or Tracker(workspace)
    gates = read_gates(workspace)
    figures = read_figures(workspace.artifacts("evaluation", "metrics.json"))
    logged = {name: _logged(tracker, stage, runs or {}, parent) for name, stage in STAGES.items()}
    digests = {name: model.digest for name, model in logged.items()}
    identity = pair_id(digests[AVATAR], digests[ENHANCER])
    common = {"lock": lock_digest, "git": git, "data": data_digest, "gates": to_json(gates, None)}
    with told():
        found = {name: _version(tracker, name, model, common) for name, model in logged.items()}
        versions = {name: str(version.version) for name, version in found.items()}
        record = {
            "gates": gates,
            **_with_samples(tracker, logged[AVATAR].run_id, identity, figures),
            "versions": versions,
            "digests": digests,
            "run_id": logged[AVATAR].run_id,
            "lock": lock_digest,
            "git": git,
            "data": data_digest,
        }
        for name, version in versions.items():
            tracker.client.set_model_version_tag(name, version, f"pair.{identity}", to_json(record, None))
            tracker.client.set_model_version_tag(name, version, "pair", identity)
            for tag, value in common.items():
                if value:
                    tracker.client.set_model_version_tag(name, version, tag, value)
        tracker.client.set_registered_model_tag(AVATAR, NEWEST_TAG, to_json(versions, None))
    return versions


def _with_samples(tracker: Tracker, run_id: str, identity: str, figures: dict[str, Any]) -> dict[str, Any]:
    """Evidence with the single clips' figures put away as an artifact of the run, bound by their digest."""
    samples = figures.get("samples")
    kept = {name: value for name, value in figures.items() if name != "samples"}
    if not samples:
        return kept
    text = to_json(samples, None)
    path = f"evaluation/{identity}-{figures['frozen']}.json"
    with told():
        tracker.client.log_text(run_id, text, path)
    return kept | {"samples": {"path": path, "sha256": hashlib.sha256(text.encode()).hexdigest()}}


def samples_of(tracker: Tracker, pair: Pair) -> dict[str, Any]:
    """The single clips' figures behind a pair's metrics (see `evidence.Samples`); {} if none were kept.

    Raises:
        SyncDreamerError: they are not what was registered.
    """
    import mlflow

    if not pair.samples:
        return {}
    uri = f"runs:/{pair.run_id}/{pair.samples['path']}"
    with told():
        text = mlflow.artifacts.load_text(uri)
    if hashlib.sha256(text.encode()).hexdigest() != pair.samples["sha256"]:
        raise SyncDreamerError(f"{uri} is not what was registered; evaluate the pair again")
    return json.loads(text)


def add_evaluation(tracker: Tracker, pair: Pair, figures: dict[str, Any]) -> Pair:
    """Notes an evaluation of a registered pair on another frozen set; returns the pair as judged by it."""
    found = _with_samples(tracker, pair.run_id, pair.id, figures)
    with told():
        for name, version in pair.versions.items():
            tag = f"evaluated.{pair.id}.{figures['frozen']}"
            tracker.client.set_model_version_tag(name, version, tag, to_json(found, None))
    return replace(pair, **{"samples": {}, **found})


def evaluated_on(tracker: Tracker, pair: Pair, frozen: str) -> Pair | None:
    """The pair with its figures on a frozen set; None if it was never evaluated on that."""
    if pair.frozen == frozen:
        return pair
    with told():
        version = tracker.client.get_model_version(AVATAR, pair.versions[AVATAR])
    tag = version.tags.get(f"evaluated.{pair.id}.{frozen}")
    return replace(pair, **{"samples": {}, **json.loads(tag)}) if tag else None


def _logged(tracker: Tracker, stage: str, runs: Mapping[str, str], parent: str | None) -> LoggedModel:
    digest = digest_of(SPECS[stage], tracker.workspace.artifacts(stage))
    found = find_model(tracker, SPECS[stage].name, digest)
    if found is not None:
        return found
    run_id = runs.get(stage) or tracker.log_stage(parent, stage, tags={"restored": "true"})
    return log_model(tracker, stage, run_id)


def _version(tracker: Tracker, name: str, model: LoggedModel, tags: Mapping[str, str]) -> ModelVersion:
    """The version with this content, made if it is not there."""
    client = tracker.client
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name)
    known = client.search_model_versions(f"name = '{name}' and tags.digest = '{model.digest}'")
    if known:
        return min(known, key=lambda version: int(version.version))
    own = {"digest": model.digest, "model_id": model.model_id, "trained_by": model.run_id}
    filled = {key: value for key, value in (own | dict(tags)).items() if value}
    return client.create_model_version(
        name, f"models:/{model.model_id}", model.run_id, tags=filled, model_id=model.model_id
    )


def find_pair(tracker: Tracker, versions: Mapping[str, str]) -> Pair:
    """The pair of these two versions.

    Raises:
        InputError: a version is missing, or the two were never evaluated together.
    """
    from mlflow.exceptions import MlflowException

    found = {}
    for name in MODELS:
        if name not in versions:
            raise InputError(f"a pair needs a version of {name}")
        try:
            found[name] = tracker.client.get_model_version(name, str(versions[name]))
        except MlflowException as error:
            raise InputError(f"{name} has no version {versions[name]}") from error
    identity = pair_id(found[AVATAR].tags.get("digest", ""), found[ENHANCER].tags.get("digest", ""))
    told_by = [version.tags.get(f"pair.{identity}") for version in found.values()]
    if not all(told_by):
        raise InputError(
            f"{AVATAR} {versions[AVATAR]} and {ENHANCER} {versions[ENHANCER]} are not a compatible pair: "
            "they were never evaluated together"
        )
    record = json.loads(str(told_by[0]))
    marks = [f"{n} {v.version}: {v.tags[MARKED_TAG]}" for n, v in found.items() if v.tags.get(MARKED_TAG)]
    return Pair(id=identity, marked="; ".join(marks), **record)


def newest_pair(tracker: Tracker) -> Pair | None:
    """The pair registered last, be it new content or known content again."""
    with told():
        models = tracker.client.search_registered_models(f"name = '{AVATAR}'")
    versions = models[0].tags.get(NEWEST_TAG) if models else None
    return find_pair(tracker, json.loads(versions)) if versions else None


def alias_pair(tracker: Tracker, alias: str) -> Pair | None:
    """The pair that an alias names; None if neither model has it.

    Raises:
        SyncDreamerError: only one model has it, or the two versions are no pair (an interrupted move).
    """
    versions = {name: v for name in MODELS if (v := alias_version(tracker, name, alias)) is not None}
    if not versions:
        return None
    problem = f"alias {alias} does not name a pair ({versions}); `syncdreamer promote` puts it right"
    if len(versions) < len(MODELS):
        raise SyncDreamerError(problem)
    try:
        return find_pair(tracker, versions)
    except InputError as error:
        raise SyncDreamerError(problem) from error


def alias_version(tracker: Tracker, name: str, alias: str) -> str | None:
    """The version that an alias of a registered model names."""
    with told():
        models = tracker.client.search_registered_models(f"name = '{name}'")
    version = models[0].aliases.get(alias) if models else None
    return None if version is None else str(version)


def set_alias(tracker: Tracker, alias: str, versions: Mapping[str, str] | None) -> None:
    """Points an alias at a pair; None takes it away."""
    with told():
        for name in MODELS:
            now = alias_version(tracker, name, alias)
            if versions is None:
                if now is not None:
                    tracker.client.delete_registered_model_alias(name, alias)
            elif now != str(versions[name]):
                tracker.client.set_registered_model_alias(name, alias, str(versions[name]))


def models_table(workspace: Workspace, tracker: Tracker | None = None) -> list[dict[str, Any]]:
    """Every registered version: name, version, aliases, run_id, gates, digest, pair, marked; newest first."""
    tracker = tracker or Tracker(workspace)
    rows = []
    for name in MODELS:
        with told():
            models = tracker.client.search_registered_models(f"name = '{name}'")
            versions = tracker.client.search_model_versions(f"name = '{name}'") if models else []
        aliases: dict[str, list[str]] = {}
        for alias, version in sorted(models[0].aliases.items() if models else ()):
            aliases.setdefault(str(version), []).append(alias)
        for version in sorted(versions, key=lambda v: -int(v.version)):
            tags = version.tags
            rows.append(
                {
                    "name": name,
                    "version": str(version.version),
                    "aliases": aliases.get(str(version.version), []),
                    "run_id": version.run_id or tags.get("trained_by", ""),
                    "model_id": tags.get("model_id", ""),
                    "gates": json.loads(tags.get("gates", "{}")),
                    "digest": tags.get("digest", ""),
                    "pair": tags.get("pair", ""),
                    "git": tags.get("git", ""),
                    "lock": tags.get("lock", ""),
                    "data": tags.get("data", ""),
                    "marked": tags.get(MARKED_TAG, ""),
                }
            )
    return rows


def champion_paths(workspace: Workspace, tracker: Tracker | None = None) -> dict[str, Path]:
    """Local folders of the champion pair: "avatar" (a pipeline) and "enhancer" (a model).

    Raises:
        InputError: no pair was promoted yet.
        SyncDreamerError: the two aliases do not name a pair.
    """
    tracker = tracker or Tracker(workspace)
    return pair_paths(tracker, champion_pair(tracker))


def champion_pair(tracker: Tracker) -> Pair:
    """The champion pair.

    Raises:
        InputError: no pair was promoted yet.
        SyncDreamerError: the two aliases do not name a pair.
    """
    champion = alias_pair(tracker, CHAMPION)
    if champion is None:
        raise InputError("no pair was promoted yet; `syncdreamer run` trains, judges and promotes one")
    return champion


def pair_paths(tracker: Tracker, pair: Pair) -> dict[str, Path]:
    """Local folders of a pair's models: "avatar" and "enhancer" (downloaded if the store is remote)."""
    return {
        short: model_folder(tracker, name, pair.versions[name])
        for short, name in (("avatar", AVATAR), ("enhancer", ENHANCER))
    }


def model_folder(tracker: Tracker, name: str, version: str) -> Path:
    """The local folder of a version's model files (downloaded if the store is remote)."""
    import mlflow
    import yaml

    spec = SPECS[STAGES[name]]
    with told():
        folder = Path(mlflow.artifacts.download_artifacts(f"models:/{name}/{version}"))
    described = yaml.safe_load((folder / "MLmodel").read_text(encoding="utf-8"))
    parts = described["flavors"]["python_function"]["artifacts"]
    (key,) = spec.parts
    return folder / str(parts[key]["path"])
