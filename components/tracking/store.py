"""Where MLflow keeps things: SQLite and local files by default, or whatever MLFLOW_TRACKING_URI names."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.core.errors import InputError, SyncDreamerError, TemporaryFailure
from components.core.paths import Workspace

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "syncdreamer"
_TEMPORARY = ("TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED", "INTERNAL_ERROR")
_SECRET = re.compile(r"passw(or)?d|secret|api_?key|access_?key|credential|(auth|access|session)_?token", re.I)
_USER_INFO = re.compile(r"(?<=://)[^/@\s]+(?=@)")


def tracking_uri(workspace: Workspace) -> str:
    """MLFLOW_TRACKING_URI, or the SQLite file state/mlflow/mlflow.db of the workspace."""
    named = os.environ.get("MLFLOW_TRACKING_URI", "").strip()
    return named or f"sqlite:///{(workspace.state('mlflow') / 'mlflow.db').resolve().as_posix()}"


def artifact_location(workspace: Workspace) -> str | None:
    """Where a new experiment puts its artifacts; None leaves it to the server.

    SYNCDREAMER_ARTIFACT_LOCATION (for example s3://bucket/prefix) comes first, then the workspace's
    state/mlflow/artifacts for a local database.
    """
    named = os.environ.get("SYNCDREAMER_ARTIFACT_LOCATION", "").strip()
    if named:
        return named
    if tracking_uri(workspace).startswith(("http:", "https:", "databricks")):
        return None
    return workspace.state("mlflow", "artifacts").resolve().as_uri()


def connect(workspace: Workspace) -> MlflowClient:
    """A client of the workspace's store; also points `mlflow`'s module functions at it.

    Raises:
        InputError: the tracking URI is of a kind that MLflow does not know.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # of a run, when it ends
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    import mlflow
    from mlflow.exceptions import MlflowException

    for name in ("alembic", "mlflow.store.db.utils", "mlflow.tracking", "mlflow.utils", "mlflow.models"):
        logging.getLogger(name).setLevel(logging.ERROR)
    uri = tracking_uri(workspace)
    try:
        mlflow.set_tracking_uri(uri)
        return mlflow.MlflowClient(tracking_uri=uri)
    except MlflowException as error:
        raise InputError(f"MLFLOW_TRACKING_URI {hide(uri)}: {error.message}") from error


def experiment_id(client: MlflowClient, workspace: Workspace, name: str = EXPERIMENT) -> str:
    """The experiment's id; the experiment is made if it is not there (two processes may race)."""
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    try:
        return str(client.create_experiment(name, artifact_location=artifact_location(workspace)))
    except MlflowException as error:
        found = client.get_experiment_by_name(name)
        if found is None:
            raise failure(error) from error
        return str(found.experiment_id)


@contextmanager
def told() -> Iterator[None]:
    """Turns failures of MLflow and of its artifacts' store into the project's own errors."""
    from boto3.exceptions import S3UploadFailedError
    from botocore.exceptions import BotoCoreError, ClientError
    from mlflow.exceptions import MlflowException
    from requests.exceptions import RequestException

    try:
        yield
    except MlflowException as error:
        raise failure(error) from error
    except ClientError as error:
        busy = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= 500
        kind = TemporaryFailure if busy else SyncDreamerError
        raise kind(f"MLflow's artifacts: {hide(str(error).splitlines()[0])}") from error
    except (BotoCoreError, S3UploadFailedError, RequestException) as error:
        raise TemporaryFailure(f"MLflow's artifacts: {hide(str(error).splitlines()[0])}") from error


def failure(error: Any) -> SyncDreamerError:
    """The project's error for an `MlflowException`."""
    message = f"MLflow: {hide(str(error.message).splitlines()[0])}"
    return TemporaryFailure(message) if error.error_code in _TEMPORARY else SyncDreamerError(message)


def hide(text: str) -> str:
    """`text` without the user and password of URLs."""
    return _USER_INFO.sub("***", text)


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested parameters as dotted names and text; what looks like a secret is not shown."""
    flat: dict[str, str] = {}
    for name, value in values.items():
        full = f"{prefix}{name}"
        if hasattr(value, "model_dump"):
            value = value.model_dump(mode="json")
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{full}.")
        elif _SECRET.search(str(name)) and value is not None:
            flat[full] = "***"
        else:
            flat[full] = hide(value.as_posix() if isinstance(value, Path) else str(value))
    return flat
