"""Gathers what the page shows. Whatever a run has not made (yet) is left out; nothing is invented."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from components.core.files import read_json, read_jsonl, read_parquet
from components.core.paths import Workspace
from components.evaluation.catalogue import CATALOGUE, GROUPS, ROWS, entry
from components.evaluation.report import figures, insight
from components.evaluation.report.gain import gain
from components.evaluation.report.media import data_uri, thumbnail

HEADLINES = (
    "aperture_correlation_own", "sync_wins", "identity_top1", "face_rate", "sync_auc",
    "validation_loss_ratio",
    "enhancer_action_kept", "enhancer_reward_gain",
)  # fmt: skip
TRAINED = ("vae", "train_stage1", "train_stage2", "enhancer_sft", "enhancer_grpo")
STAGE_TITLES = {
    "vae": "Video autoencoder",
    "train_stage1": "Generator, stage 1: motion and scene",
    "train_stage2": "Generator, stage 2: speech",
    "enhancer_sft": "Enhancer: supervised fine-tuning",
    "enhancer_grpo": "Enhancer: GRPO",
}
SAMPLES_A_REASON = 12
KINDS = ("generated", "ground_truth", "control")
MLFLOW_UI = "http://127.0.0.1:5000"
"""Where `mlflow ui` listens unless it is told otherwise."""


def run_summary(info: dict[str, Any]) -> dict[str, Any]:
    """Stages with durations (scaled for bars), code and data versions, models and the decision."""
    stages = [dict(stage) for stage in info.get("stages", [])]
    longest = max((stage.get("seconds") or 0.0 for stage in stages), default=0.0) or 1.0
    for stage in stages:
        seconds = stage.get("seconds")
        stage["share"] = 100 * (seconds or 0.0) / longest
        stage["shown"] = "" if seconds is None else duration(seconds)
        stage["link"] = run_link(info, stage.get("run_id"))
    total = info.get("total_seconds")
    git = info.get("git") or {}
    decision = info.get("decision") or {}
    return {
        "stages": stages,
        "total": None if total is None else duration(total),
        "git": git.get("git", ""),
        "dirty": git.get("git_dirty") == "true",
        "parent": info.get("parent_run_id", ""),
        "parent_link": run_link(info, info.get("parent_run_id")),
        "lock": info.get("lock", ""),
        "data": info.get("data", ""),
        "models": [
            dict(model)
            | {
                "run_link": run_link(info, model.get("run_id") or model.get("run")),
                "link": f"{mlflow_address(info)}/#/models/{model['name']}/versions/"
                f"{model.get('version', '')}",
            }
            for model in info.get("models", [])
        ],
        "status": decision.get("status", ""),
        "reason": decision.get("reason", ""),
    }


def mlflow_address(info: dict[str, Any]) -> str:
    """Where MLflow's pages are: the tracking server, or where `mlflow ui` serves the local store."""
    address = str((info.get("mlflow") or {}).get("address") or "")
    return address.rstrip("/") if address.startswith(("http://", "https://")) else MLFLOW_UI


def run_link(info: dict[str, Any], run: str | None) -> str:
    """Address of a run's page, "" without a run."""
    experiment = (info.get("mlflow") or {}).get("experiment") or "0"
    return f"{mlflow_address(info)}/#/experiments/{experiment}/runs/{run}" if run else ""


def duration(seconds: float) -> str:
    """0.8 s, 42 s, 3 min 20 s, 2 h 05 min."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 90:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def gates(workspace: Workspace) -> list[dict[str, Any]]:
    """Every verdict, as it was written."""
    order = ("clips", "annotations", "latents", "checkpoint", "enhancer", "evaluation")
    found = {
        path.parent.name: read_json(path) for path in workspace.artifacts("gates").glob("*/verdict.json")
    }
    names = [*(name for name in order if name in found), *sorted(set(found) - set(order))]
    rows = []
    for name in names:
        verdict = found[name]
        findings = verdict.get("findings", [])
        rows.append(
            {
                "name": name,
                "passed": bool(verdict.get("passed")),
                "warned": any(finding.get("status") == "warn" for finding in findings),
                "findings": sorted(
                    findings, key=lambda f: ("fail", "warn", "pass").index(f.get("status", "pass"))
                ),
                "quarantined": verdict.get("quarantined", 0),
                "quarantine": verdict.get("quarantine", ""),
            }
        )
    return rows


def clips(workspace: Workspace) -> dict[str, Any] | None:
    """What became of the clips: counts, splits, and pictures of each reason for rejection."""
    path = workspace.artifacts("curate", "manifest.parquet")
    if not path.exists():
        return None
    table = read_parquet(path)
    kept = table[table["decision"] == "keep"]
    rejected = table[table["decision"] != "keep"].sort_values("clip_id", kind="stable")
    reasons: dict[str, list[Any]] = {}
    for row in rejected.itertuples():
        for reason in filter(None, str(row.reasons or "").split(";")):
            reasons.setdefault(reason, []).append(row)
    folder = workspace.artifacts("curate", "thumbnails")
    sheets = []
    for reason, rows in sorted(reasons.items(), key=lambda item: (-len(item[1]), item[0])):
        sheets.append(
            {
                "reason": reason,
                "count": len(rows),
                "clips": [_clip(folder, row) for row in rows[:SAMPLES_A_REASON]],
            }
        )
    sample = kept.sort_values("clip_id", kind="stable").drop_duplicates("identity").head(24)
    return {
        "total": len(table),
        "kept": len(kept),
        "rejected": len(rejected),
        "minutes": float(kept["duration"].sum()) / 60,
        "identities": int(kept["identity"].nunique()),
        "outcomes": _counts(table["outcome"]),
        "splits": _counts(kept["split"]),
        "framings": _counts(kept["framing"]),
        "deliveries": _counts(kept["delivery"]),
        "sheets": sheets,
        "sample": [_clip(folder, row) for row in sample.itertuples()],
    }


def _counts(column: Any) -> list[tuple[str, int]]:
    counts = column.dropna().value_counts()
    return sorted(((str(name), int(number)) for name, number in counts.items()), key=lambda pair: -pair[1])


def _clip(folder: Path, row: Any) -> dict[str, Any]:
    return {
        "picture": thumbnail(folder / f"{row.clip_id}.jpg", 112),
        "file": Path(str(row.file)).name,
        "clip_id": row.clip_id,
        "reasons": str(row.reasons or "").replace(";", ", "),
    }


def curves(workspace: Workspace) -> list[dict[str, Any]]:
    """One block a trained model: charts from its history.jsonl and its final figures."""
    blocks = []
    for stage in TRAINED:
        path = workspace.artifacts(stage, "history.jsonl")
        if not path.exists():
            continue
        charts = charts_of(read_jsonl(path))
        figures_path = workspace.artifacts(stage, "metrics.json")
        final = read_json(figures_path) if figures_path.exists() else {}
        numbers = [
            (name, figures.short(value)) for name, value in final.items() if isinstance(value, (int, float))
        ]
        if charts:
            blocks.append(
                {"stage": stage, "title": STAGE_TITLES[stage], "charts": charts, "figures": numbers}
            )
    return blocks


def charts_of(history: list[dict[str, Any]], most: int = 6) -> list[dict[str, str]]:
    """Charts of the numbers in a training history, related ones together (loss with validation loss)."""
    lines: dict[str, figures.Series] = {}
    for row in history:
        for name, value in row.items():
            if name == "step" or isinstance(value, bool) or not isinstance(value, (int, float)):
                continue
            line = lines.setdefault(name, figures.Series(name, [], []))
            line.x.append(float(row.get("step", len(line.x))))  # type: ignore[attr-defined]
            line.y.append(float(value))  # type: ignore[attr-defined]
    groups: dict[str, list[str]] = {}
    for name in lines:
        stem = name.lower()
        for prefix in ("validation_", "val_", "train_", "eval_"):
            stem = stem.removeprefix(prefix)
        groups.setdefault(stem, []).append(name)
    ranked = sorted(groups, key=lambda stem: (_rank(stem), list(groups).index(stem)))
    charts = []
    for stem in ranked:
        chosen = [lines[name] for name in groups[stem]]
        values = [value for line in chosen for value in line.y if value > 0]
        logarithmic = "loss" in stem and bool(values) and max(values) / min(values) > 8
        drawing = figures.line_chart(chosen, logarithmic)
        if drawing:
            title = stem.replace("_", " ").replace("/", " · ")
            charts.append(
                {
                    "title": title + (" (log)" if logarithmic else ""),
                    "svg": drawing,
                    "names": "|".join(groups[stem]),
                }
            )
        if len(charts) == most:
            break
    return charts


def _rank(name: str) -> int:
    words = ("loss", "reward", "psnr", "mouth", "action", "accuracy", "kl", "length", "lr", "learning")
    return next((place for place, word in enumerate(words) if word in name), 6)


def evaluation(workspace: Workspace) -> dict[str, Any] | None:
    """Tables of figures, the row comparison, and everything that the players need."""
    folder = workspace.artifacts("evaluation")
    if not (folder / "metrics.json").exists():
        return None
    content = read_json(folder / "metrics.json")
    measured = {row["name"]: row for row in content["metrics"]}
    groups = []
    for group in GROUPS:
        rows = [_metric(row) for name, row in measured.items() if _group(name) == group]
        if rows:
            groups.append({"title": group, "rows": rows})
    traces = folder / "traces.json"
    return {
        "protocol": content.get("protocol", {}),
        "groups": groups,
        "headlines": [_metric(measured[name]) for name in HEADLINES if name in measured],
        "comparison": _comparison(content.get("rows", [])),
        "people": _people(folder, content.get("items", []), read_json(traces) if traces.exists() else []),
        "enhancer": _enhancer(folder),
        "gain": gain(workspace),
        "official": _official(content.get("official")),
        "insight": insight.sections(workspace, content),
    }


def _official(content: dict[str, Any] | None) -> dict[str, Any] | None:
    """Figures of official networks, one line each; a missing value says why under the pointer."""
    if not content:
        return None
    columns = [name for name in ROWS if any(row["row"] == name for row in content["rows"])]
    cells = {(row["name"], row["row"]): row for row in content["rows"]}
    lines = []
    for name in dict.fromkeys(row["name"] for row in content["rows"]):
        found = [cells.get((name, column)) for column in columns]
        lines.append(
            {
                "name": name,
                "network": next(cell["network"] for cell in found if cell),
                "cells": [
                    {
                        "value": figures.short(cell["value"]),
                        "interval": ""
                        if cell.get("low") is None
                        else f"{figures.short(cell['low'])} … {figures.short(cell['high'])}",
                        "why": "; ".join(cell["left_out"][:3]),
                    }
                    if cell
                    else {"value": "", "interval": "", "why": ""}
                    for cell in found
                ],
            }
        )
    return {"columns": [ROWS[column] for column in columns], "lines": lines}


def _group(name: str) -> str | None:
    known = name.partition("[")[0]
    return CATALOGUE[known].group if known in CATALOGUE else None


def _metric(row: dict[str, Any]) -> dict[str, Any]:
    about = entry(row["name"])
    control = row.get("control")
    numbers = [row.get("value"), row.get("low"), row.get("high"), control]
    present = [float(number) for number in numbers if isinstance(number, (int, float))]
    span = _span(about.unit, present)
    return {
        **row,
        "title": about.title,
        "note": about.note,
        "unit": "%" if about.unit == "share" else about.unit,
        "shown": _shown(row.get("value"), about.unit),
        "interval": _range(row, about.unit),
        "control_shown": "" if control is None else _shown(control, about.unit),
        "control_name": row.get("control_name") or "",
        "bar": figures.interval_bar(row.get("value"), row.get("low"), row.get("high"), control, span),
    }


def _shown(value: float | None, unit: str) -> str:
    """Shares as per cent."""
    return figures.short(round(100 * value, 2) if unit == "share" and value is not None else value)


def _range(row: dict[str, Any], unit: str) -> str:
    return "" if row.get("low") is None else f"{_shown(row['low'], unit)} … {_shown(row['high'], unit)}"


def _span(unit: str, numbers: list[float]) -> tuple[float, float]:
    if unit in ("share", "AUC"):
        return 0.0, 1.0
    if unit in ("r", "cosine"):
        return min(-0.3, *numbers, 0.0), 1.0
    if not numbers:
        return 0.0, 1.0
    return min(0.0, *numbers), max(*numbers, 0.0) * 1.05 or 1.0


def _comparison(rows: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Measures × rows (generated, ground truth …)."""
    if not rows:
        return None
    columns = [name for name in ROWS if any(row["row"] == name for row in rows)]
    cells = {(row["name"], row["row"]): row for row in rows}
    names = list(dict.fromkeys(row["name"] for row in rows))
    table = []
    for name in names:
        line = [cells.get((name, column)) for column in columns]
        shown = [
            {
                "value": _shown(cell["value"], entry(name).unit) if cell else "",
                "interval": _range(cell, entry(name).unit) if cell else "",
                "n": cell.get("n") if cell else None,
            }
            for cell in line
        ]
        network = next((cell["network"] for cell in line if cell and cell.get("network")), "")
        unit = "%" if entry(name).unit == "share" else entry(name).unit
        table.append({"title": entry(name).title, "unit": unit, "cells": shown, "network": network})
    return {"columns": [ROWS[column] for column in columns], "table": table}


def _people(folder: Path, items: list[dict[str, Any]], traces: list[dict[str, Any]]) -> list[dict[str, Any]]:
    lines = {row["index"]: row for row in traces}
    people = []
    for item in items:
        stem = f"{item['index']:02d}"
        line = lines.get(item["index"], {})
        series = {
            "sound": line.get("sound", []),
            "truth": line.get("ground_truth", []),
            "made": line.get("generated", []),
        }
        people.append(
            {
                "index": item["index"],
                "item": item,
                "reference": data_uri(folder / "posters" / f"{stem}_reference.jpg"),
                "poster": data_uri(folder / "posters" / f"{stem}_generated.jpg"),
                "videos": {kind: data_uri(folder / "videos" / f"{stem}_{kind}.mp4") for kind in KINDS},
                "trace": figures.trace(series, len(series["made"]) / 25),
                "facts": _facts(item),
            }
        )
    return [person for person in people if person["videos"]["generated"]]


def _facts(item: dict[str, Any]) -> list[tuple[str, str]]:
    names = (
        ("aperture_correlation_own", "mouth · own sound"),
        ("aperture_correlation_other", "mouth · another sound"),
        ("sync_confidence", "sync confidence"),
        ("sync_confidence_other", "with another sound"),
        ("identity_top1", "right person"),
        ("psnr", "PSNR, dB"),
    )
    return [(label, figures.short(item[name])) for name, label in names if item.get(name) is not None]


def _enhancer(folder: Path) -> list[dict[str, Any]]:
    path = folder / "enhancer" / "examples.json"
    if not path.exists():
        return []
    cases = read_json(path)
    for case in cases:
        case["picture_uri"] = data_uri(folder / case["picture"])
        terms = []
        for name in case.get("terms_after", {}):
            before, after = case.get("terms_before", {}).get(name), case["terms_after"][name]
            terms.append(
                {
                    "name": name,
                    "before": before or 0.0,
                    "after": after or 0.0,
                    "before_shown": figures.short(before),
                    "after_shown": figures.short(after),
                }
            )
        case["terms"] = terms
    return cases
