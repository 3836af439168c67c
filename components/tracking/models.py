"""Every trained model as an MLflow model: code, signature, pinned requirements; once per content."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import warnings
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.core.errors import InputError
from components.core.files import digest_tree
from components.core.paths import require
from components.tracking.runs import Tracker
from components.tracking.store import told

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

CODE_FOLDER = Path("mlflow")
PERCEPTION_PARTS = ("sync", "identity", "audio", "attributes", "text", "image_text", "actions")
LARGEST_CODE_FILE = 1 << 20
_SECOND_FILES = (".json", ".yaml", ".txt")
_ALWAYS = ("torch", "numpy", "pandas", "pydantic", "pyyaml", "safetensors", "pillow", "av")

Columns = tuple[tuple[str, str, bool], ...]
"""(name, MLflow type, required)"""


@dataclass(frozen=True)
class ModelSpec:
    """A model that a stage makes.

    parts: artifact key → folder below artifacts/<stage>; code: file below mlflow/;
    inputs, outputs: columns of the signature; requirements: distributions beyond those of every model.
    """

    name: str
    stage: str
    parts: dict[str, str]
    code: str
    inputs: Columns
    outputs: Columns
    requirements: tuple[str, ...] = ()


SPECS: dict[str, ModelSpec] = {
    spec.stage: spec
    for spec in (
        ModelSpec(
            name="perception",
            stage="perception",
            parts={n: n for n in PERCEPTION_PARTS},
            code="perception.py",
            inputs=(("image", "binary", True),),
            outputs=(("attributes", "string", True), ("identity", "string", True)),
            requirements=("transformers", "mediapipe", "opencv-python-headless"),
        ),
        ModelSpec(
            name="vae",
            stage="vae",
            parts={"vae": "model"},
            code="vae.py",
            inputs=(("image", "binary", True),),
            outputs=(("image", "binary", True),),
            requirements=("diffusers",),
        ),
        ModelSpec(
            name="avatar",
            stage="train_stage2",
            parts={"pipeline": "pipeline"},
            code="avatar.py",
            inputs=(
                ("image", "binary", True),
                ("audio", "binary", True),
                ("text", "string", True),
                ("seed", "long", False),
            ),
            outputs=(("video", "binary", True),),
            requirements=(
                "diffusers",
                "transformers",
                "mediapipe",
                "opencv-python-headless",
                "scipy",
                "cryptography",
                "c2pa-python",
            ),
        ),
        *(
            ModelSpec(
                name=stage.replace("_", "-"),
                stage=stage,
                parts={"model": "model"},
                code="enhancer.py",
                inputs=(("image", "binary", True), ("instruction", "string", True), ("seed", "long", False)),
                outputs=(("prompt", "string", True),),
                requirements=("transformers",),
            )
            for stage in ("enhancer_sft", "enhancer_grpo")
        ),
    )
}
"""Stage → the model it makes."""


@dataclass(frozen=True)
class LoggedModel:
    """model_id: MLflow's `m-…`; digest: SHA-256 of the model's files; run_id: the run that logged it."""

    name: str
    model_id: str
    digest: str
    run_id: str


def parts_of(spec: ModelSpec, root: Path) -> dict[str, Path]:
    """The folders of a model below artifacts/<stage> (`root`).

    Raises:
        InputError: one is missing.
    """
    return {key: require(root / part, f"syncdreamer stage {spec.stage}") for key, part in spec.parts.items()}


def content_digest(spec: ModelSpec, root: Path) -> str:
    """SHA-256 over the names and contents of a model's files."""
    total = hashlib.sha256()
    for key, folder in sorted(parts_of(spec, root).items()):
        total.update(key.encode() + b"\0" + bytes.fromhex(digest_tree(folder)))
    return total.hexdigest()


def log_model(tracker: Tracker, stage: str, run_id: str) -> LoggedModel:
    """Logs the model of a stage to a run; the same content again returns what is there already.

    Raises:
        InputError: the stage makes no model, or its files are missing.
        TemporaryFailure: the tracking server is away.
    """
    if stage not in SPECS:
        raise InputError(f"stage {stage!r} makes no model; those that do: {', '.join(SPECS)}")
    spec = SPECS[stage]
    root = tracker.workspace.artifacts(stage)
    digest = content_digest(spec, root)
    found = find_model(tracker, spec.name, digest)
    if found is not None:
        return found
    import mlflow

    parts = parts_of(spec, root)
    tags = {"digest": digest, "stage": stage}
    with told(), tempfile.TemporaryDirectory(prefix="syncdreamer-model-") as folder:
        code = copy_code(Path(folder))
        with _active(mlflow, run_id), warnings.catch_warnings():
            # Advice on type hints and input examples: the signature is given, and checked by a test.
            warnings.simplefilter("ignore", UserWarning)
            info = mlflow.pyfunc.log_model(
                name=spec.name,
                python_model=str(_code_file(tracker, spec)),
                artifacts={key: str(path.resolve()) for key, path in parts.items()},
                code_paths=[str(code)],
                pip_requirements=requirements(spec),
                signature=_signature(spec),
                tags=tags,
            )
    return LoggedModel(spec.name, str(info.model_id), digest, run_id)


def find_model(tracker: Tracker, name: str, digest: str) -> LoggedModel | None:
    """The logged model of this name and content."""
    with told():
        found = tracker.client.search_logged_models(
            experiment_ids=[tracker.experiment_id],
            filter_string=f"name = '{name}' AND tags.digest = '{digest}'",
            max_results=1,
        )
    if not found:
        return None
    return LoggedModel(name, str(found[0].model_id), digest, str(found[0].source_run_id))


def requirements(spec: ModelSpec) -> list[str]:
    """Pinned to what is installed here; nothing is inferred (inference takes seconds a model)."""
    pins = []
    for name in ("mlflow", *_ALWAYS, *spec.requirements):
        try:
            pins.append(f"{name}=={version(name).split('+')[0]}")
        except PackageNotFoundError:
            pins.append(name)
    return pins


def copy_code(folder: Path) -> Path:
    """Copies the library into `folder`: a logged model runs without the checkout. Assets stay behind."""
    source = Path(__file__).resolve().parents[1]

    def unwanted(directory: str, names: list[str]) -> set[str]:
        here = Path(directory)
        return {name for name in names if not _is_code(here / name)}

    target = folder / source.name
    shutil.copytree(source, target, ignore=unwanted)
    return target


def _is_code(path: Path) -> bool:
    if path.is_dir():
        return path.name != "__pycache__"
    small = path.suffix in _SECOND_FILES and path.stat().st_size <= LARGEST_CODE_FILE
    return path.suffix == ".py" or small


def _code_file(tracker: Tracker, spec: ModelSpec) -> Path:
    own = tracker.workspace.root / CODE_FOLDER / spec.code
    return own if own.exists() else Path(__file__).resolve().parents[2] / CODE_FOLDER / spec.code


def _signature(spec: ModelSpec) -> ModelSignature:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    def schema(columns: Columns) -> Schema:
        return Schema([ColSpec(kind, name, required=required) for name, kind, required in columns])

    return ModelSignature(inputs=schema(spec.inputs), outputs=schema(spec.outputs))


class _active:
    """Makes a run the active one of this thread without ending it or changing its status and end time."""

    def __init__(self, mlflow: Any, run_id: str) -> None:
        self.mlflow, self.run_id = mlflow, run_id
        self.client = mlflow.MlflowClient()

    def __enter__(self) -> None:
        self.before = self.client.get_run(self.run_id).info
        self.mlflow.start_run(run_id=self.run_id)

    def __exit__(self, *problem: object) -> None:
        info = self.before
        self.mlflow.end_run(info.status if info.end_time else "FINISHED")
        if info.end_time:
            self.client.set_terminated(self.run_id, info.status, info.end_time)
