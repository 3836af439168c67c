"""The local folder mlflow/ must never hide the package mlflow."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_the_folder_is_no_package() -> None:
    assert not list((ROOT / "mlflow").rglob("__init__.py"))
    assert not list((ROOT / "mlflow").rglob("test_*.py"))


def test_mlflow_is_the_installed_one_even_from_the_root() -> None:
    code = "import mlflow; print(mlflow.__version__)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip() == version("mlflow")


def test_importing_tracking_imports_no_mlflow() -> None:
    code = (
        "import sys, components.tracking, components.tracking.commands, components.tracking.registry, "
        "components.tracking.promotion; print([m for m in ('mlflow', 'pandas', 'torch') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip() == "[]"
