"""The scores a measurement gives a clip: one list that the ledger, the decision and the manifest share."""

from __future__ import annotations

from typing import Any

SCORES: dict[str, str] = {
    # of the file
    "problem": "TEXT",  # "corrupt: …", "truncated: …" or null
    "fps": "REAL",  # measured mean of the raw file, 1/s
    "jitter": "REAL",  # spread of the frame times over their mean; above 0.1 the rate is variable
    "decoded_seconds": "REAL",  # length of the decoded picture
    "decoded_rate": "REAL",  # decoded seconds over claimed seconds
    "error_rate": "REAL",  # packets that failed to decode over packets
    "shots": "INTEGER",  # shots in the file
    "segments": "INTEGER",  # segments it was cut into
    "width": "INTEGER",  # of the raw picture, pixels
    "height": "INTEGER",
    # of the segment
    "start": "REAL",  # seconds in the raw file
    "end": "REAL",
    "duration": "REAL",
    "n_frames": "INTEGER",  # at 25 fps
    "n_faces_max": "INTEGER",  # most people seen at once (in a tenth of the looks or more)
    "second_face_rate": "REAL",  # share of looks with a second person
    "person_share": "REAL",  # median share of the picture that a person takes, seen from any side
    "face_rate": "REAL",  # share of looks with a face
    "face_score": "REAL",  # median detector score
    "face_size": "REAL",  # median height of the face, raw pixels
    "face_ratio": "REAL",  # the same over the frame's height
    "blur": "REAL",  # median variance of the face's Laplacian at 96 px; higher is sharper
    "frame_blur": "REAL",  # median variance of the whole frame's Laplacian, at 128 px
    "exposure": "REAL",  # median luminance of the face, 0–255
    "yaw": "REAL",  # median turn of the head, degrees without sign
    "has_sound": "INTEGER",
    "voice_rate": "REAL",  # share of the time with a voice
    "voice_change": "REAL",  # how much another voice takes over; see steps.sound
    "clipping": "REAL",  # share of samples at full scale
    "loudness": "REAL",  # dBFS
    "sync_offset": "INTEGER",  # frames the sound must be moved by; see components.perception.sync
    "sync_confidence": "REAL",
    "sync_distance": "REAL",
    "delivery": "TEXT",
    "delivery_confidence": "REAL",
}
DIGITS = 6


def tidy(scores: dict[str, Any]) -> dict[str, Any]:
    """All of `SCORES` in order, missing ones null, numbers plain and rounded to 6 digits, NaN null."""
    import math

    row: dict[str, Any] = {}
    for name, kind in SCORES.items():
        value = scores.get(name)
        if value is None or (isinstance(value, float) and math.isnan(value)):
            row[name] = None
        elif kind == "REAL":
            row[name] = round(float(value), DIGITS)
        elif kind == "INTEGER":
            row[name] = int(value)
        else:
            row[name] = str(value)
    unknown = set(scores) - set(SCORES)
    if unknown:
        raise KeyError(f"scores without a column: {sorted(unknown)}")
    return row
