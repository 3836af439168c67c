"""`syncdreamer look`: what the eyes and ears make of one video; `syncdreamer weights check`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from components.core.media import Video


def register(target: typer.Typer) -> None:
    """Adds the room's commands to the main one."""
    target.command()(look)
    weights = typer.Typer(help="Official weights on this machine.", no_args_is_help=True)
    weights.callback()(_weights)
    weights.command()(check)
    target.add_typer(weights, name="weights")


def _weights() -> None:
    """Official weights on this machine: none ships with the project, none is ever downloaded by it."""


def check(
    as_json: Annotated[bool, typer.Option("--json", help="print a JSON list")] = False,
) -> None:
    """Say which official weights are there, their hashes, licences and what each enables."""
    from components.core.errors import InputError
    from components.core.files import to_json
    from components.core.paths import find_workspace
    from components.perception.official import check_all

    found = check_all(find_workspace())
    rows: list[dict[str, Any]] = [
        {
            "name": each.official.name,
            "state": each.state,
            "path": None if each.path is None else str(each.path),
            "sha256": each.digest,
            "expected_sha256": each.official.sha256,
            "file": each.official.file,
            "licence": each.official.licence,
            "source": each.official.source,
            "enables": list(each.official.enables),
            "without": each.official.stand_in,
        }
        for each in found
    ]
    if as_json:
        typer.echo(to_json(rows))
    else:
        for row in rows:
            typer.echo(f"{row['name']:11}{row['state']:12}{row['path'] or row['file']}")
            typer.echo(f"{'':11}expected SHA-256 {row['expected_sha256'] or 'not published'}")
            if row["sha256"] and row["sha256"] != row["expected_sha256"]:
                typer.echo(f"{'':11}found SHA-256    {row['sha256']}")
            typer.echo(f"{'':11}licence {row['licence']}; from {row['source']}")
            typer.echo(f"{'':11}enables {', '.join(row['enables'])}; without it: {row['without']}")
    bad = [each for each in found if each.state in ("wrong", "missing")]
    if bad:
        names = ", ".join(f"{each.official.name} ({each.state}: {each.path})" for each in bad)
        raise InputError(f"not usable: {names}")


def look(
    video: Annotated[Path, typer.Argument(help="a video at 25 fps of one talking person")],
    syncnet: Annotated[
        Path | None, typer.Option(help="official SyncNet weights; default: the trained stand-in")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON object")] = False,
) -> None:
    """Say what perception sees and hears in a video: faces, cuts, voices, lip sync and by which network."""
    from components.core.files import to_json
    from components.core.media import read_video
    from components.core.paths import find_workspace, require
    from components.core.seeds import single_thread

    single_thread()
    models = None
    if syncnet is None:
        models = require(find_workspace().artifacts("perception", "sync"), "syncdreamer stage perception")
    seen = observe(read_video(video), models, syncnet)
    if as_json:
        typer.echo(to_json(seen))
        return
    for name, value in seen.items():
        typer.echo(f"{name:18}{value}")


def observe(video: Video, models: Path | None, syncnet: Path | None = None) -> dict[str, Any]:
    """Findings by name, plain values; what needs a face or sound is None without one.

    Args:
        models: folder of the small sync model; ignored when `syncnet` (official weights) is given.
    """
    import numpy as np

    from components.perception import shots, voice
    from components.perception.faces import FaceDetector, mouth_crop, track_face
    from components.perception.sync import OfficialSync, SyncModel, silent, syncnet_crops

    frames, samples = video.frames, video.samples
    with FaceDetector() as detector:
        track = track_face(frames, detector, stride=3)
        found: dict[str, Any] = {
            "frames": len(frames),
            "fps": round(video.fps, 3),
            "size": f"{frames.shape[2]}x{frames.shape[1]}",
            "face_px": None if track is None else round(float(sum(f.size for f in track) / len(track)), 1),
            "cuts": shots.cuts(frames),
            "speech_seconds": None,
            "speakers": None,
            "clipping": None,
        }
        scores, measured_by = None, None
        if samples is not None:
            spans = voice.speech_segments(samples)
            found["speech_seconds"] = round(sum(end - begin for begin, end in spans), 2)
            found["speakers"] = voice.speaker_change(samples, spans)
            found["clipping"] = round(voice.clipping_rate(samples), 5)
        if samples is not None and track is not None:
            if syncnet is not None:
                official = OfficialSync(syncnet)
                measured_by = f"{official.name}@{official.digest}"
                if not silent(samples):
                    scores = official.score(syncnet_crops(frames, track), samples)
            elif models is not None:
                small = SyncModel.load(models)
                measured_by = f"{small.name}@{small.digest}"
                mouths = np.stack(
                    [mouth_crop(frame, face) for frame, face in zip(frames, track, strict=True)]
                )
                scores = small.score(mouths, samples)
    found["sync_offset"] = None if scores is None else scores.offset
    found["sync_confidence"] = None if scores is None else round(scores.confidence, 3)
    found["sync_distance"] = None if scores is None else round(scores.distance, 3)
    found["sync_network"] = measured_by
    return found
