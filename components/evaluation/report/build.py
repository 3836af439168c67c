"""Renders the page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from components.core.files import write_text
from components.core.paths import Workspace
from components.evaluation.report import data, published
from components.evaluation.report.figures import short

LARGEST_MB = 15
TEMPLATES = Path(__file__).parent / "templates"
NEXT_COMMANDS = (
    ("syncdreamer generate --image I.png --audio A.wav --text 'nod while talking' --out O.mp4",
     "make a clip with the champion pair"),
    ("syncdreamer models", "the registered models, their aliases and gate verdicts"),
    ("make run", "run again: only what changed is repeated"),
    ("syncdreamer params --write", "write params.yaml with every default and its meaning"),
    ("dvc repro", "the same stages without the flow"),
    ("dvc metrics show", "key figures of every stage"),
    ("mlflow ui --backend-store-uri sqlite:///state/mlflow/mlflow.db", "runs, curves, models in a browser"),
    ("syncdreamer doctor", "what is installed, official or stand-in"),
)  # fmt: skip


def build(workspace: Workspace, info: dict[str, Any]) -> Path:
    """Writes artifacts/report/index.html.

    Args:
        workspace: where artifacts/ lies.
        info: what only the flow knows, all optional: `stages` [{name, status, seconds, run_id}],
            `total_seconds`, `parent_run_id`, `mlflow` {address, experiment}, `git` {git, git_dirty},
            `lock` and `data` (digests), `models`
            [{name, version, aliases, run_id, gates …}], `decision` {status, reason}.

    Returns:
        The page's path.
    """
    text = render(context(workspace, info))
    return write_text(workspace.artifacts("report", "index.html"), text)


def context(workspace: Workspace, info: dict[str, Any]) -> dict[str, Any]:
    """Everything the template names."""
    verdicts = data.gates(workspace)
    return {
        "run": data.run_summary(info),
        "gates": verdicts,
        "refused": [gate["name"] for gate in verdicts if not gate["passed"]],
        "clips": data.clips(workspace),
        "curves": data.curves(workspace),
        "evaluation": data.evaluation(workspace),
        "published": published.PUBLISHED,
        "published_columns": published.COLUMNS,
        "ablation": published.ABLATION,
        "commands": NEXT_COMMANDS,
    }


def render(values: dict[str, Any]) -> str:
    """The page as text; style and script are inlined, so nothing is fetched."""
    style, script = ((TEMPLATES / name).read_text(encoding="utf-8") for name in ("style.css", "script.js"))
    return environment().get_template("page.html.j2").render(style=style, script=script, **values)


def environment() -> Any:
    """Jinja over the room's templates: escapes, and refuses a name that is not given."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    made.filters["short"] = short
    return made
