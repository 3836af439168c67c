"""Why a clip was kept, repaired or rejected, in words: each reason with its score and its limit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MEANING: dict[str, tuple[str, str]] = {
    "too_short": ("duration", "≥ {min_seconds} s"),
    "truncated": ("decoded_rate", "≥ {truncated_rate}"),
    "corrupt": ("error_rate", "≤ {decode_errors}"),
    "no_face": ("face_rate", "≥ {min_face_rate}"),
    "two_people": ("second_face_rate", "≤ {max_second_face_rate}"),
    "tiny_face": ("face_size", "≥ {min_face_px} px"),
    "profile": ("yaw", "≤ {max_yaw}°"),
    "blur": ("blur", "≥ {min_sharpness}"),
    "exposure": ("exposure", "{min_exposure} … {max_exposure}"),
    "no_audio": ("has_sound", "1"),
    "silence": ("voice_rate", "≥ {min_voice_rate}"),
    "clipped_audio": ("clipping", "≤ {max_clipping}"),
    "second_voice": ("voice_change", "≤ {max_voice_change}"),
    "sync": ("sync_confidence", "≥ {min_sync}, with an offset of ≤ {max_offset} frames"),
}
"""Reason → the score it is judged by and the limit, from the limits' names."""


UNSEEN: dict[str, tuple[str, str]] = {
    "profile": (
        "face_rate",
        "≥ {min_face_rate} (there is a person, and the picture is not smeared: the head is turned away)",
    ),
    "blur": (
        "frame_blur",
        "≥ {min_frame_sharpness} (there is a person, and no face can be made out in the whole picture)",
    ),
}
"""The same where the person's face was not found often enough to be judged."""


def meaning(reason: str, row: Mapping[str, Any], limits: Mapping[str, Any]) -> tuple[str, str]:
    """(score, what is wanted of it) for a reason of a manifest row."""
    unseen = reason in UNSEEN and not row["face_rate"] >= limits["min_face_rate"]
    return (UNSEEN if unseen else MEANING)[reason]


def explanation(
    row: Mapping[str, Any], limits: Mapping[str, Any], readmitted: Mapping[str, str] | None = None
) -> list[str]:
    """Lines about one manifest row: the decision, each reason with its score and limit, all scores."""
    from components.curation.scores import SCORES

    lines = [
        f"{row['clip_id']}  {row['outcome']}  ({row['file']}, {row['source']}, licence {row['licence']})",
    ]
    for reason in filter(None, row["reasons"].split(";")):
        if reason == "duplicate":
            lines.append(f"  rejected: duplicate of {row['duplicate_of']}")
            continue
        score, wanted = meaning(reason, row, limits)
        problem = f"; {row['problem']}" if isinstance(row["problem"], str) else ""
        lines.append(
            f"  rejected: {reason}: {score} is {_shown(row[score])}, "
            f"wanted {wanted.format(**limits)}{problem}"
        )
    for repair in filter(None, row["repairs"].split(";")):
        if repair == "readmitted":
            lines.append(f"  readmitted: {(readmitted or {}).get(row['clip_id'], 'by hand')}")
            continue
        detail = (
            f"sound moved by {row['shift']} frames"
            if repair == "offset"
            else f"{_shown(row['fps'])} → 25 fps"
        )
        lines.append(f"  repaired: {repair}: {detail}")
    if row["decision"] == "keep":
        lines.append(f"  kept: {row['split']}, {row['framing']}, {row['delivery']}, person {row['identity']}")
    scores = [f"{name} {_shown(row[name])}" for name in SCORES if name in row and _shown(row[name]) != "-"]
    lines += [f"  {', '.join(scores[at : at + 6])}" for at in range(0, len(scores), 6)]
    return lines


def _shown(value: Any) -> str:
    import pandas as pd

    if pd.isna(value):
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
