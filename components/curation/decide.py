"""What becomes of each clip: a pure query over scores and thresholds, fast enough for a whole ledger.

A consequence is not a second reason: a clip without sound is not also out of sync, a face too small to be
judged is not also blurred, and neither is a dark one. A person whose face the detector cannot find is blurred
where everything is smeared, else turned away, unless the face is frontal where it is found: then it shows in
too few frames, which is having no face. A soft background without a person has none either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from components.core.media import FPS
from components.curation.params import Limits

if TYPE_CHECKING:
    import pandas as pd

REASONS = (
    "corrupt", "truncated", "too_short", "no_face", "two_people", "tiny_face", "profile", "blur", "exposure",
    "no_audio", "silence", "clipped_audio", "second_voice", "sync", "duplicate",
)  # fmt: skip
"""In the order in which they are written."""
FPS_TOLERANCE = 0.05
JITTER_TOLERANCE = 0.1
GLIMPSED = 0.5
"""Share of looks with a face from which on its pose says how the person sits."""


def decide(scores: pd.DataFrame, limits: Limits, readmitted: pd.Series | None = None) -> pd.DataFrame:
    """Decides every row of `scores` (columns of `SCORES`, and `audio`: "required" or "none").

    Rows where `readmitted` holds are kept whatever their scores; their repairs begin with `readmitted`.

    Returns:
        With the same index: outcome (keep | repair | cut | reject), decision (keep | reject), reasons and
        repairs (";"-joined), shift (frames the sound is moved by), speakers (0, 1, or 2 for more;
        null without sound).
    """
    import numpy as np
    import pandas as pd

    def number(name: str) -> pd.Series:
        return pd.to_numeric(scores[name], errors="coerce").astype("float64")

    problem = scores["problem"].fillna("").astype(str)
    corrupt = problem.str.startswith("corrupt") | (number("error_rate") > limits.decode_errors)
    truncated = ~corrupt & (
        problem.str.startswith("truncated") | (number("decoded_rate") < limits.truncated_rate)
    )
    broken = corrupt | truncated
    seen = ~broken
    too_short = seen & (number("duration") < limits.min_seconds)
    unseen = seen & (number("face_rate").fillna(0) < limits.min_face_rate) & ~too_short
    faceless = unseen & (number("person_share") >= limits.min_person_share)
    smeared = faceless & (number("frame_blur") < limits.min_frame_sharpness)
    frontal = (number("face_rate") >= GLIMPSED) & (number("yaw") <= limits.max_yaw)
    turned = faceless & ~smeared & ~frontal
    no_face = unseen & ~smeared & ~turned
    face = seen & ~unseen & number("face_rate").notna()
    tiny_face = face & (number("face_size") < limits.min_face_px)
    two_people = face & ~tiny_face & (number("second_face_rate") > limits.max_second_face_rate)
    profile = turned | (face & ~tiny_face & (number("yaw") > limits.max_yaw))
    light = number("exposure")
    exposure = face & ((light < limits.min_exposure) | (light > limits.max_exposure))
    blur = face & ~tiny_face & ~profile & ~exposure & (number("blur") < limits.min_sharpness)
    blur |= smeared

    silent_source = (scores["audio"] == "none") & limits.allow_silent_sources
    sound = number("has_sound").fillna(0) > 0
    no_audio = seen & ~sound & ~silent_source & ~too_short
    audible = seen & sound & ~too_short
    silence = audible & (number("voice_rate").fillna(0) < limits.min_voice_rate)
    voice = audible & ~silence
    clipped_audio = voice & (number("clipping") > limits.max_clipping)
    second_voice = voice & (number("voice_change") > limits.max_voice_change)

    speakers = pd.Series(np.where(silence, 0, 1 + second_voice), index=scores.index).where(audible)

    found = {
        "corrupt": corrupt, "truncated": truncated, "too_short": too_short, "no_face": no_face,
        "two_people": two_people, "tiny_face": tiny_face, "profile": profile, "blur": blur,
        "exposure": exposure, "no_audio": no_audio, "silence": silence, "clipped_audio": clipped_audio,
        "second_voice": second_voice,
    }  # fmt: skip
    spared = pd.Series(False, index=scores.index) if readmitted is None else readmitted
    found = {name: mask & ~spared for name, mask in found.items()}
    sound_so_far = ~np.logical_or.reduce([mask.to_numpy() for mask in found.values()])
    offset = number("sync_offset")
    judged = voice & sound_so_far & ~spared
    unsure = number("sync_confidence").fillna(-np.inf) < limits.min_sync
    found["sync"] = judged & (unsure | offset.isna() | (offset.abs() > limits.max_offset))

    kept = sound_so_far & ~found["sync"]
    moved = kept & voice & offset.abs().between(limits.offset_tolerance, limits.max_offset, "right")
    rate = kept & (
        ((number("fps") - FPS).abs() > FPS_TOLERANCE) | (number("jitter").fillna(0) > JITTER_TOLERANCE)
    )
    cut = kept & (number("segments") > 1)
    outcome = np.select([~kept, cut, moved | rate], ["reject", "cut", "repair"], "keep")
    return pd.DataFrame(
        {
            "outcome": outcome,
            "decision": np.where(kept, "keep", "reject"),
            "reasons": joined(found, len(scores)),
            "repairs": joined({"readmitted": spared, "offset": moved, "frame_rate": rate}, len(scores)),
            "speakers": speakers.astype("Int64"),
            "shift": np.where(moved, offset.fillna(0), 0).astype("int64"),
        },
        index=scores.index,
    )


def joined(masks: dict[str, pd.Series], length: int) -> list[str]:
    """For each row, the names whose mask holds, in order, joined by ";"."""
    texts = [""] * length
    for name, mask in masks.items():
        for row in mask.to_numpy().nonzero()[0]:
            texts[row] = f"{texts[row]};{name}" if texts[row] else name
    return texts


def add_reason(table: pd.DataFrame, rows: pd.Series, reason: str) -> None:
    """Rejects `rows` of a decided table for one more reason, in place."""
    before = table.loc[rows, "reasons"]
    table.loc[rows, "reasons"] = before.where(before == "", before + ";") + reason
    table.loc[rows, ["outcome", "decision", "repairs"]] = ["reject", "reject", ""]
    table.loc[rows, "shift"] = 0
