"""What is expected of each stage's output.

A suite turns a stage's files into tables (with derived boolean columns where an expectation needs more than
one row or table) and lists the checks on them. Column names are the contract with the stages.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.core import vocabulary
from components.core.errors import InputError
from components.core.files import read_json, read_parquet
from components.core.paths import Workspace
from components.gates import accepted
from components.gates.checks import Check, of_rate, of_threshold
from components.gates.params import (
    GateAnnotationsParams,
    GateCheckpointParams,
    GateClipsParams,
    GateEnhancerParams,
    GateEvaluationParams,
    GateLatentsParams,
    Rate,
    Threshold,
)

if TYPE_CHECKING:
    import pandas as pd

MANIFEST = (
    "clip_id", "source", "file", "source_video", "start", "end", "split", "outcome", "decision", "reasons",
    "framing", "delivery", "identity", "licence", "consent", "duration", "width", "height", "fps",
    "n_frames", "n_faces_max", "face_rate", "face_score", "face_size", "blur", "exposure", "yaw",
    "voice_rate", "speakers", "clipping", "shots", "sync_offset", "sync_confidence", "duplicate_of",
)  # fmt: skip
ANNOTATIONS = (
    "clip_id", "split", "framing", "identity", "caption", "caption_tokens", "attributes", "pose", "actions",
    "text",
)  # fmt: skip
LATENTS = (
    "clip_id", "split", "identity", "shard", "frames", "audio_frames", "latent_mean", "latent_std", "finite",
)  # fmt: skip
SPLITS = ("train", "val", "test")
ONE_SIDE = "in the test split or outside it, never both"


@dataclass
class Suite:
    """Tables by name, checks on them, and the files they came from (relative to the workspace)."""

    tables: dict[str, pd.DataFrame]
    checks: list[Check]
    subjects: list[str] = field(default_factory=list)


def _schema(names: tuple[str, ...]) -> Check:
    return Check("schema", "columns", values=names, told="has every column of the contract")


def _has(table: pd.DataFrame, *names: str) -> bool:
    return all(name in table for name in names)


def _blank(column: pd.Series) -> pd.Series:
    return column.astype("string").fillna("").str.strip() == ""


def _spans(table: pd.DataFrame, group: str, sides: pd.Series) -> pd.Series:
    """True where the row's `group` value occurs on more than one side."""
    many = sides.groupby(table[group], observed=True).nunique() > 1
    return table[group].isin(many.index[many])


def _reasons_known(text: pd.Series, known: frozenset[str]) -> pd.Series:
    verdict = {value: set(value.split(";")) <= known for value in text.unique()}
    return text.map(verdict).astype(bool)


def clips_suite(params: GateClipsParams, workspace: Workspace) -> Suite:
    """The manifest of curate: completeness, rejected share, ranges, consent, leakage between splits."""
    path = workspace.artifacts("curate", "manifest.parquet")
    table = read_parquet(path)
    if _has(table, "decision", "reasons"):
        reasons = table["reasons"].astype("string").fillna("")
        table["_explained"] = (table["decision"] == "reject") == (reasons != "")
        table["_reasons_known"] = _reasons_known(reasons, frozenset(params.reasons) | {""})
    if _has(table, "width", "height"):
        table["_side"] = table[["width", "height"]].min(axis=1)
    if "licence" in table:
        table["_licensed"] = ~_blank(table["licence"])
    kept = table[table["decision"] == "keep"].copy() if "decision" in table else table.copy()
    if _has(kept, "split", "identity", "source_video"):
        kept["_one_side"] = ~_spans(kept, "identity", kept["split"] == "test")
        kept["_one_split"] = ~_spans(kept, "source_video", kept["split"])
    tables = {"all": table, "kept": kept}
    with_sound = "kept"
    if "has_sound" in kept and (kept["has_sound"].fillna(0) == 0).any():
        # Sources without sound serve stage 1: no sync can be measured there.
        with_sound, tables["kept_with_sound"] = "kept_with_sound", kept[kept["has_sound"].fillna(0) != 0]
    p = params
    checks = [_schema(MANIFEST), Check("rows", "rows", minimum=1)]
    checks += [
        of_rate(f"complete_{name}", "not_null", name, p.complete)
        for name in ("clip_id", "source", "file", "source_video", "split", "outcome", "decision")
    ]
    checks += [
        of_rate("unique", "unique", "clip_id", p.unique, table="kept"),
        of_rate("split_known", "in_set", "split", p.complete, values=SPLITS),
        of_rate("outcome_known", "in_set", "outcome", p.complete, values=("keep", "repair", "cut", "reject")),
        of_rate("rejected", "in_set", "decision", p.rejected, values=("keep",), show="reasons", told="kept"),
        of_rate("faulty", "in_set", "outcome", p.faulty, values=("keep",), told="kept as it was"),
        _true("explained", "_explained", p.explained, "reasons", "a reason exactly when rejected"),
        _true("known_reasons", "_reasons_known", p.known_reasons, "reasons", "reasons of the vocabulary"),
    ]
    checks += [
        of_rate(f"measured_{name}", "not_null", name, p.measured, table="kept")
        for name in ("framing", "identity", "duration", "face_rate", "face_size", "blur")
    ]
    checks += [
        of_rate("sync_measured", "not_null", "sync_confidence", p.sync_measured, table=with_sound),
        of_rate("consent", "in_set", "consent", p.consent, values=(True,), table="kept", told="given"),
        of_rate("consent_told", "not_null", "consent", p.consent, table="kept"),
        _true("licence", "_licensed", p.licence, "licence", "named", table="kept"),
        of_rate("framing_known", "in_set", "framing", p.measured, values=vocabulary.FRAMINGS, table="kept"),
        of_rate("face_rate", "between", "face_rate", p.face_rate, table="kept"),
        of_rate("single_person", "between", "n_faces_max", p.single_person, table="kept"),
        of_rate("duration", "between", "duration", p.duration, table="kept"),
        of_rate("size", "between", "_side", p.size, table="kept"),
        of_rate("voice_rate", "between", "voice_rate", p.voice_rate, table="kept"),
        of_rate("sync_offset", "between", "sync_offset", p.sync_offset, table="kept"),
        _true("identity_leakage", "_one_side", p.identity_leakage, "identity", ONE_SIDE, "kept"),
        _true("video_leakage", "_one_split", p.video_leakage, "source_video", "in one split", "kept"),
    ]
    _minimum_rows(tables, checks, kept, p.minimum_kept, "kept")
    if p.drift is not None:
        tables["drift"], asked = accepted.checks(p.drift, table, workspace)
        checks += asked
    return Suite(tables, checks, [_relative(path, workspace)])


def _true(name: str, column: str, rate: Rate, show: str, told: str, table: str = "all") -> Check:
    return of_rate(name, "in_set", column, rate, values=(True,), show=show, told=told, table=table)


def _minimum_rows(
    tables: dict[str, pd.DataFrame], checks: list[Check], rows: pd.DataFrame, least: dict[str, int], what: str
) -> None:
    """Adds a table and a row-count check for every split that must have a minimum of rows."""
    for split, number in sorted(least.items()):
        name = f"{what}_{split}"
        tables[name] = rows[rows["split"] == split] if "split" in rows else rows.iloc[:0]
        checks.append(Check(name, "rows", table=name, minimum=number))


def _relative(path: Path, workspace: Workspace) -> str:
    return path.relative_to(workspace.root).as_posix()


def _kept_ids(workspace: Workspace) -> tuple[pd.DataFrame, str]:
    path = workspace.artifacts("curate", "manifest.parquet")
    manifest = read_parquet(path)
    missing = [n for n in ("clip_id", "decision", "split", "identity", "file") if n not in manifest]
    if missing:
        raise InputError(f"{path} has no column {', '.join(missing)}")
    kept = manifest.loc[manifest["decision"] == "keep", ["clip_id", "split", "identity", "file"]].copy()
    return kept, _relative(path, workspace)


def _memo(column: pd.Series, judge: Callable[[str], bool]) -> pd.Series:
    """`judge` over the values of a text column, each distinct value once; null is judged as ""."""
    text = column.astype("string").fillna("")
    return text.map({value: judge(value) for value in text.unique()}).astype(bool)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return None


def attributes_valid(text: str) -> bool:
    """Whether `text` is a JSON object of the attribute schema (every scalar and list, known values only)."""
    value = _parsed(text)
    if not isinstance(value, dict) or set(value) != set(vocabulary.SCALARS) | set(vocabulary.LISTS):
        return False
    scalars = all(value[k] == vocabulary.UNKNOWN or value[k] in v for k, v in vocabulary.SCALARS.items())
    lists = vocabulary.LISTS.items()
    return scalars and all(isinstance(value[k], list) and all(i in v for i in value[k]) for k, v in lists)


def attributes_told(text: str) -> bool:
    """Whether at most half of the scalar attributes are unknown."""
    value = _parsed(text)
    if not isinstance(value, dict):
        return False
    unknown = sum(value.get(name, vocabulary.UNKNOWN) == vocabulary.UNKNOWN for name in vocabulary.SCALARS)
    return 2 * unknown <= len(vocabulary.SCALARS)


def actions_valid(text: str) -> bool:
    """Whether `text` is a JSON list of action names, or of objects whose `action` is one."""
    value = _parsed(text)
    if not isinstance(value, list):
        return False
    names = [item.get("action", item.get("name")) if isinstance(item, dict) else item for item in value]
    return all(name in vocabulary.ACTIONS for name in names)


def annotations_suite(params: GateAnnotationsParams, workspace: Workspace) -> Suite:
    """The annotations: every kept clip has one; captions, attributes, pose, actions and text are usable."""
    import pandas as pd

    path = workspace.artifacts("annotate", "annotations.parquet")
    table = read_parquet(path)
    kept, manifest = _kept_ids(workspace)
    kept["_annotated"] = kept["clip_id"].isin(table["clip_id"]) if "clip_id" in table else False
    p = params
    if _has(table, "clip_id", "split", "identity"):
        home = kept.drop_duplicates("clip_id").set_index("clip_id")
        same = pd.Series(True, index=table.index)
        for name in ("split", "identity"):
            now = table["clip_id"].map(home[name]).astype("string").fillna("")
            same &= table[name].astype("string").fillna("") == now
        table["_home"] = same
    if "caption" in table:
        table["_caption"] = ~_blank(table["caption"])
    if "text" in table:
        table["_text"] = ~_blank(table["text"])
    if "attributes" in table:
        table["_attributes"] = _memo(table["attributes"], attributes_valid)
        table["_told"] = _memo(table["attributes"], attributes_told)
    if "pose" in table:
        table["_pose"] = _memo(table["pose"], lambda text: isinstance(_parsed(text), dict))
    if "actions" in table:
        table["_actions"] = _memo(table["actions"], actions_valid)
    checks = [
        _schema(ANNOTATIONS),
        Check("rows", "rows", minimum=1),
        _true("annotated", "_annotated", p.annotated, "clip_id", "has an annotation", "kept"),
        of_rate("unique", "unique", "clip_id", p.unique),
        _true("home", "_home", p.home, "split", "split and identity of the manifest"),
        _true("caption", "_caption", p.caption, "caption", "not empty"),
        of_rate("caption_tokens", "between", "caption_tokens", p.caption_tokens),
        of_rate("caption_counted", "not_null", "caption_tokens", p.caption),
        _true("text", "_text", p.text, "text", "not empty"),
        _true("attributes", "_attributes", p.attributes, "attributes", "JSON of the attribute schema"),
        _true("unknown_attributes", "_told", p.unknown_attributes, "attributes", "at most half unknown"),
        _true("pose", "_pose", p.pose, "pose", "a JSON object"),
        _true("actions", "_actions", p.actions, "actions", "a JSON list of known actions"),
    ]
    return Suite({"all": table, "kept": kept}, checks, [_relative(path, workspace), manifest])


def latents_suite(params: GateLatentsParams, workspace: Workspace) -> Suite:
    """The index of encode: every annotated clip is there, finite, in its own split, with all of its sound.

    `frames` counts latents (one of frame 0, one for each four frames after it); `audio_frames` counts the
    video frames that the sound was encoded for, 0 for a clip without sound.
    """
    path = workspace.artifacts("encode", "index.parquet")
    table = read_parquet(path)
    notes_path = workspace.artifacts("annotate", "annotations.parquet")
    notes = read_parquet(notes_path)
    if not _has(notes, "clip_id", "split"):
        raise InputError(f"{notes_path} has no column clip_id or split")
    notes = notes[["clip_id", "split"]].copy()
    notes["_encoded"] = notes["clip_id"].isin(table["clip_id"]) if "clip_id" in table else False
    if _has(table, "frames", "audio_frames"):
        table["_audio"] = table["audio_frames"].isin([0]) | (
            table["audio_frames"] == 4 * (table["frames"] - 1) + 1
        )
        table["_sound"] = table["audio_frames"] > 0
    if _has(table, "clip_id", "split"):
        home = notes.drop_duplicates("clip_id").set_index("clip_id")["split"]
        same = table["split"].astype("string") == table["clip_id"].map(home).astype("string")
        table["_split"] = same.fillna(False).astype(bool)
    if _has(table, "split", "identity"):
        table["_one_side"] = ~_spans(table, "identity", table["split"] == "test")
    p = params
    checks = [
        _schema(LATENTS),
        Check("rows", "rows", minimum=1),
        _true("encoded", "_encoded", p.encoded, "clip_id", "was encoded", "annotated"),
        of_rate("unique", "unique", "clip_id", p.unique),
        of_rate("finite", "in_set", "finite", p.finite, values=(True,), told="all numbers finite"),
        of_rate("frames", "between", "frames", p.frames),
        _true("audio_frames", "_audio", p.audio_frames, "audio_frames", "4·(frames-1)+1, or 0 if silent"),
        _true("silent", "_sound", p.silent, "audio_frames", "has sound"),
        of_rate("std", "between", "latent_std", p.std),
        of_rate("std_measured", "not_null", "latent_std", p.finite),
        of_rate("mean", "between", "latent_mean", p.mean),
        _true("split", "_split", p.split, "split", "the split of the annotations"),
        _true("identity_leakage", "_one_side", p.identity_leakage, "identity", ONE_SIDE),
    ]
    tables = {"all": table, "annotated": notes}
    _minimum_rows(tables, checks, table, p.minimum_encoded, "encoded")
    return Suite(tables, checks, [_relative(path, workspace), _relative(notes_path, workspace)])


def _object(path: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        InputError: the file is missing or holds something else.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected an object of name → number")
    return content


def _figures(
    figures: dict[str, Any], bounds: dict[str, Threshold], path: Path, workspace: Workspace
) -> Suite:
    """One row of numbers, one column a metric; a metric that is not a number is null."""
    import pandas as pd

    numbers = {
        name: float(value)
        for name, value in figures.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    }
    row = {name: numbers.get(name, float("nan")) for name in sorted(bounds)}
    row_table = pd.DataFrame([{**row, "file": _relative(path, workspace)}])
    checks = [of_threshold(name, name, bound) for name, bound in sorted(bounds.items())]
    return Suite({"metrics": row_table}, checks, [_relative(path, workspace)])


def checkpoint_suite(params: GateCheckpointParams, workspace: Workspace) -> Suite:
    """The generator's training figures.

    `validation_loss_ratio` is the held-out loss at the end over that of the untrained generator (of stage 2's
    own start, if no stage 1 came before).
    """
    path = workspace.artifacts("train_stage2", "metrics.json")
    figures = _object(path)
    end = figures.get("validation_loss_end")
    begin = figures.get("validation_loss_untrained") or figures.get("validation_loss_start")
    if "validation_loss_ratio" not in figures and begin and end is not None:
        figures["validation_loss_ratio"] = end / begin
    return _figures(figures, params.metrics, path, workspace)


def enhancer_suite(params: GateEnhancerParams, workspace: Workspace) -> Suite:
    """The enhancer's figures on held-out combinations after GRPO."""
    path = workspace.artifacts("enhancer_grpo", "metrics.json")
    return _figures(_object(path), params.metrics, path, workspace)


def evaluation_suite(params: GateEvaluationParams, workspace: Workspace) -> Suite:
    """The held-out figures of the pair: each within its bounds and resting on enough cases.

    Raises:
        InputError: metrics.json is not `{"schema": …, "metrics": [{"name", "value", "n", …}]}`.
    """
    path = workspace.artifacts("evaluation", "metrics.json")
    content = read_json(path)
    rows = content.get("metrics") if isinstance(content, dict) else None
    if not isinstance(rows, list) or not all(isinstance(r, dict) and "name" in r for r in rows):
        raise InputError(f'{path}: expected {{"schema": 1, "metrics": [{{"name": …, "value": …}}]}}')
    figures = {row["name"]: row.get("value") for row in rows}
    suite = _figures(figures, params.metrics, path, workspace)
    wanted = [row for row in rows if row["name"] in params.metrics]
    least = min((int(row.get("n") or 0) for row in wanted), default=0)
    suite.tables["metrics"]["n"] = least
    suite.checks.append(
        Check("cases", "value", "n", "metrics", minimum=params.minimum_n, told=f"n ≥ {params.minimum_n}")
    )
    return suite
