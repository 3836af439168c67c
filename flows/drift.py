"""The drift check: clips that the champion was not trained on against those that it was.

Which clips those were is kept with the champion's run in MLflow; their scores are read from the present clip
table, so both sides were measured by the same perception. The verdict and the report lie in state/drift (they
belong to a moment, not to a revision), and every check is a run in MLflow.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from components.core.errors import GateRefused, InputError
from components.core.files import digest_file, read_parquet, to_json, write_json, write_text
from components.core.paths import Workspace
from components.core.progress import say
from components.gates.drift_params import DriftParams
from components.tracking.runs import Tracker
from components.tracking.store import told

if TYPE_CHECKING:
    from components.gates.drift import Change

MANIFEST = "artifacts/curate/manifest.parquet"
HELD_OUT = "test"
ARTIFACT = "training_clips"
ARTIFACT_TAG = "syncdreamer.training_clips"
REPORT = "state/drift/report.md"


def log_training_clips(tracker: Tracker, workspace: Workspace, run_id: str) -> None:
    """Keeps the ids of the clips outside the test split with the run that trained on them, once."""
    with told():
        if ARTIFACT_TAG in tracker.client.get_run(run_id).data.tags:
            return
    table = read_parquet(workspace.root / MANIFEST)
    clips = sorted(table.loc[table["split"] != HELD_OUT, "clip_id"].dropna().astype(str).unique())
    with told():
        tracker.client.log_text(run_id, to_json({"clips": clips}), f"{ARTIFACT}.json")
        tracker.client.set_tag(run_id, ARTIFACT_TAG, str(len(clips)))


def training_clips(tracker: Tracker) -> tuple[str, set[str]] | None:
    """The champion's name and the clips it was trained on; None before anything was promoted.

    Raises:
        InputError: the champion's run does not say which clips those were.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    from components.tracking.registry import AVATAR, CHAMPION, alias_pair

    champion = alias_pair(tracker, CHAMPION)
    if champion is None:
        return None
    try:
        text = mlflow.artifacts.load_text(f"runs:/{champion.run_id}/{ARTIFACT}.json")
    except (MlflowException, OSError) as error:
        raise InputError(
            f"run {champion.run_id} of the champion holds no {ARTIFACT}.json: it was promoted before drift "
            "was watched; the next `syncdreamer run --force` with its data notes it"
        ) from error
    return f"{AVATAR} {champion.versions[AVATAR]}", set(json.loads(text)["clips"])


def check_drift(workspace: Workspace, params: DriftParams, seed: int) -> dict[str, Any]:
    """Compares, judges, reports; returns {"passed", "new", "decided", "message", "warnings"}.

    Raises:
        GateRefused: new clips differ from the training clips beyond `params.fail`.
        InputError: there is no clip table, or the champion's clips are not known.
    """
    from components.gates.drift import as_rows, compare, judge_drift

    tracker = Tracker(workspace)
    table = read_parquet(workspace.root / MANIFEST)
    known = training_clips(tracker)
    if known is None:
        return _undecided("nothing was promoted yet: there is nothing to compare with", 0)
    model, clips = known
    table = table[(table["split"] != HELD_OUT) & table["clip_id"].notna()]
    old = table["clip_id"].astype(str).isin(clips)
    reference, new = table[old], table[~old]
    if min(len(new), len(reference)) < params.minimum_clips:
        few = f"{len(new)} new clips, {len(reference)} of {model}'s own: too few to decide"
        return _undecided(f"{few} (operations.drift.minimum_clips is {params.minimum_clips})", len(new))
    changes = compare(reference, new, params, seed)
    digest = digest_file(workspace.root / MANIFEST)
    verdict = judge_drift(changes, params, {MANIFEST: digest}, REPORT)
    folder = workspace.state("drift")
    write_json(folder / "changes.json", {"model": model, "changes": as_rows(changes)})
    write_text(folder / "report.md", report(model, changes, params, len(reference), len(new)))
    write_json(folder / "metrics.json", {f"psi_{change.name}": change.psi for change in changes})
    write_json(folder / "verdict.json", verdict)
    tracker.log_stage(
        None,
        "drift",
        params={"model": model, "reference": len(reference), "new": len(new), **params.model_dump()},
        metrics=folder / "metrics.json",
        artifacts=[folder / "report.md", folder / "changes.json"],
        verdict=verdict.model_dump(mode="json"),
        digest=digest,
        status="FINISHED" if verdict.passed else "FAILED",
    )
    if not verdict.passed:
        failures = "\n".join(f"  {finding.told()}" for finding in verdict.failures)
        raise GateRefused(
            f"gate drift refused: {len(new)} new clips differ from the {len(reference)} that {model} was "
            f"trained on; report: {REPORT}\n{failures}"
        )
    warnings = [finding.told() for finding in verdict.warnings]
    message = f"{len(new)} new clips are like the {len(reference)} that {model} was trained on"
    say(f"gate drift passed: {message}, {len(warnings)} warnings")
    return {"passed": True, "decided": True, "new": len(new), "message": message, "warnings": warnings}


def _undecided(message: str, new: int) -> dict[str, Any]:
    say(f"gate drift: {message}")
    return {"passed": True, "decided": False, "new": new, "message": message, "warnings": []}


def report(model: str, changes: list[Change], params: DriftParams, reference: int, new: int) -> str:
    """The check for people, as Markdown."""
    lines = [
        f"# Drift: {new} new clips against the {reference} that {model} was trained on",
        "",
        f"An index (PSI) counts where shuffled samples rarely give as much (corrected p < {params.alpha:g});",
        f"above {params.warn:g} it warns, above {params.fail:g} it is drift. KS: largest distance of the two",
        "cumulative distributions.",
        "",
        "| column | verdict | PSI | p (corrected) | KS | mean before | mean now |",
        "|---|---|---|---|---|---|---|",
    ]
    for change in sorted(changes, key=lambda change: -change.index(params.alpha)):
        index = change.index(params.alpha)
        word = "drift" if index > params.fail else "warning" if index > params.warn else "like before"
        cells = [change.name, word, f"{change.psi:.3f}", f"{change.p_adjusted:.4f}"]
        cells += ["" if v is None else f"{v:.4g}" for v in (change.ks, change.mean_before, change.mean_now)]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "Shares of the classes (before → now):", ""]
    for change in changes:
        if change.kind == "class":
            shares = [
                f"{label} {b / change.reference:.0%} → {n / change.new:.0%}"
                for label, (b, n) in change.counts.items()
            ]
            lines.append(f"* {change.name}: {', '.join(shares)}")
    return "\n".join(lines) + "\n"
