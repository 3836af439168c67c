"""Runs a peer on a case: inputs written, program started, video found and looked at, all of it on record.

A run lives in a folder keyed by everything that determines it, so a comparison that was stopped goes on
where it was, and a run that failed is told again instead of repeated (unless asked to).
"""

from __future__ import annotations

import csv
import fnmatch
import hashlib
import io
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from components.core.errors import EXIT_TIMEOUT, InputError
from components.core.files import read_json, to_json, write_bytes, write_json, write_text
from components.core.media import FPS, read_video
from components.evaluation.peers.declaration import (
    PATHS,
    InputFile,
    Installation,
    Output,
    Peer,
    filled,
    read_yaml,
)
from components.evaluation.peers.process import peer_environment, run_logged
from components.evaluation.suites.case import Case

PARTIAL = 0.9
"""A video with a smaller share of the frames that were to be expected is partial."""
LOG_TAIL = 400


@dataclass(frozen=True)
class Made:
    """A system's video of a case, or why there is none.

    video: None where `reason` says why. coverage: share of the sound's length that the video covers.
    output: how the result is cut out of the file.
    """

    system: str
    case: str
    seed: int
    video: Path | None
    reason: str
    coverage: float | None
    seconds: float | None
    output: Output | None = None


def run_peer(
    peer: Peer, installation: Installation | None, case: Case, seed: int, state: Path, *, retry: bool = False
) -> Made:
    """The peer's video of a case; `state` keeps runs. `retry` repeats one that failed before.

    Every failure (not installed, input missing, limits, status, time, partial or no video) is a missing value
    with its reason, never an exception.
    """

    def missing(reason: str, seconds: float | None = None) -> Made:
        return Made(peer.name, case.id, seed, None, reason, None, seconds, peer.output)

    if installation is None:
        return missing("not installed (no section in the installations file)")
    if reason := _unsuited(peer, installation, case):
        return missing(reason)
    repository = Path(installation.repository)
    folder = state / peer.name / run_key(peer, installation, case, seed)
    told = folder / "result.json"
    if told.exists() and not (retry and read_json(told)["reason"]):
        kept = read_json(told)
        video = folder / kept["video"] if kept["video"] else None
        return Made(
            peer.name, case.id, seed, video, kept["reason"], kept["coverage"], kept["seconds"], peer.output
        )
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "out").mkdir(parents=True)
    try:
        made = _run(peer, installation, case, seed, folder, repository)
    except InputError as error:
        made = missing(str(error))
    name = made.video.name if made.video else None
    write_json(
        told,
        {"video": name, "reason": made.reason, "coverage": made.coverage, "seconds": made.seconds}
        | {"case": case.id, "seed": seed, "peer": peer.name, "revision": revision(repository)},
    )
    return made


def run_key(peer: Peer, installation: Installation, case: Case, seed: int) -> str:
    """16 hex digits over declaration, installation, the peer's revision, inputs and seed."""
    content = {
        "peer": peer.model_dump(mode="json", exclude={"title", "note", "source"}),
        "installation": installation.model_dump(mode="json", exclude={"limit_minutes"}),
        "revision": revision(Path(installation.repository)),
        "inputs": case.digest("image", "audio", "truth", "pose"),
        "case": [case.id, case.prompt if "prompt" in peer.reads else None, case.frames],
        "seed": seed if peer.seed.ours else None,
    }
    return hashlib.sha256(to_json(content).encode()).hexdigest()[:16]


def revision(repository: Path) -> str:
    """The checkout's commit, "unknown" where git does not tell."""
    asked = ["git", "-C", str(repository), "rev-parse", "HEAD"]
    try:
        told = subprocess.run(asked, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return told.stdout.strip() if told.returncode == 0 else "unknown"


def _unsuited(peer: Peer, installation: Installation, case: Case) -> str:
    if not Path(installation.repository).is_dir():
        return f"not installed: {installation.repository} is no folder"
    if peer.limits.languages and case.language not in peer.limits.languages:
        return f"speaks {', '.join(peer.limits.languages)} only, the case is {case.language}"
    for name in peer.reads:
        if name in ("driving", "pose") and not case.path(name).exists():
            return f"needs a {name} video, which the case does not have"
    return ""


def _run(
    peer: Peer, installation: Installation, case: Case, seed: int, folder: Path, repository: Path
) -> Made:
    places = prepare(peer, case, seed, folder, repository)
    pattern = filled(peer.output.pattern, places)
    before = _found(pattern, peer.output.exclude)
    command = [_program(peer.command[0], installation.python), *filled(peer.command[1:], places)]
    ended = run_logged(
        [*command, *installation.arguments],
        repository,
        peer_environment(installation.python, filled(peer.environment, places), installation.environment),
        folder / "log.txt",
        installation.limit_minutes * 60,
    )
    new = {
        path: stamp
        for path, stamp in _found(pattern, peer.output.exclude).items()
        if before.get(path) != stamp
    }
    found = max(new, key=lambda path: (new[path], path)) if new else None
    reason = ""
    if ended.status == EXIT_TIMEOUT:
        reason = f"out of time after {installation.limit_minutes:g} min"
    elif ended.status:
        reason = f"ended with status {ended.status}: {_last_line(folder / 'log.txt')}"
    coverage = None
    if found is not None:
        shutil.copy(found, folder / ("video.mp4" if not reason else "partial.mp4"))
        if not reason:
            reason, coverage = _looked_at(folder / "video.mp4", peer, case)
    elif not reason:
        reason = f"wrote no video at {peer.output.pattern}"
    video = None if reason else folder / "video.mp4"
    return Made(peer.name, case.id, seed, video, reason, coverage, round(ended.seconds, 1), peer.output)


def prepare(peer: Peer, case: Case, seed: int, folder: Path, repository: Path) -> dict[str, str]:
    """Writes the files that the peer wants below `folder`; returns what every placeholder stands for.

    Raises:
        InputError: the prompt cannot be put into the peer's format, or a base file is missing.
    """
    if "@@" in case.prompt:
        raise InputError(f"case {case.id}: a prompt with @@ cannot be put into an input file")
    paths = {name: case.path(name).resolve() for name in PATHS}
    if peer.limits.aspect == "square" and "image" in peer.reads:
        paths["image"] = squared(case, peer.limits.face_share, folder / "work").resolve()
    places = {name: str(path) for name, path in paths.items()}
    places |= {f"{name}_stem": path.stem for name, path in paths.items()}
    places |= {
        "prompt": " ".join(case.prompt.split()), "id": case.id, "seed": str(seed), "frames": str(case.frames),
        "work": str(folder / "work"), "out": str(folder / "out"), "repository": str(repository),
    }  # fmt: skip
    if "still" in peer.reads:
        still_video(case)
    for each in peer.files:
        places[f"files.{each.name}"] = filled(each.file, places)
    for each in peer.files:
        _write(each, places, repository)
    return places


def squared(case: Case, face_share: float, folder: Path) -> Path:
    """A square portrait of the case, the face `face_share` of its height, under the case's own file name."""
    from components.avatar.portrait import frame_portrait
    from components.core.media import read_image, write_image

    path = folder / "square" / f"{case.id}.png"
    return write_image(path, frame_portrait(read_image(case.path("image")), face_share).square)


def still_video(case: Case) -> Path:
    """The portrait as a video of the case's length, written once."""
    import numpy as np

    from components.core.media import read_image, write_video

    path = case.path("still")
    if not path.exists():
        picture = read_image(case.path("image"))
        height, width = (side // 2 * 2 for side in picture.shape[:2])
        write_video(path, np.broadcast_to(picture[:height, :width], (case.frames, height, width, 3)), crf=8)
    return path


def _write(wanted: InputFile, places: Mapping[str, str], repository: Path) -> None:
    path, content = Path(places[f"files.{wanted.name}"]), filled(wanted.content, places)
    if wanted.format == "copy":
        write_bytes(path, Path(content).read_bytes())
    elif wanted.format == "text":
        write_text(path, content)
    elif wanted.format == "csv":
        buffer = io.StringIO()
        rows = csv.writer(buffer, lineterminator="\r\n")
        rows.writerow(content.keys())
        rows.writerow(content.values())
        write_bytes(path, b"\xef\xbb\xbf" + buffer.getvalue().encode())
    else:
        import yaml

        base = read_yaml(repository / wanted.base) if wanted.base else {}
        write_text(path, yaml.safe_dump(base | content, allow_unicode=True, sort_keys=False))


def _program(name: str, python: str) -> str:
    """`python` is the installation's interpreter; other programs are looked for beside it, then on PATH."""
    if name == "python":
        return python
    beside = Path(python).parent / name
    return str(beside) if beside.exists() else name


def _found(pattern: str, exclude: str | None) -> dict[Path, int]:
    """Files that match, with the time of their last change, ns."""
    import glob

    paths = [Path(each) for each in glob.glob(_literal_brackets(pattern))]  # noqa: PTH207 - absolute patterns
    return {
        path: path.stat().st_mtime_ns
        for path in paths
        if path.is_file() and not (exclude and fnmatch.fnmatch(path.name, exclude))
    }


def _literal_brackets(pattern: str) -> str:
    """Declarations use * only; a [ in a folder's name is meant as it stands."""
    return pattern.replace("[", "[[]")


def _looked_at(video: Path, peer: Peer, case: Case) -> tuple[str, float | None]:
    """Why the video cannot be used ("" if it can), and the share of the sound that it covers."""
    try:
        seen = read_video(video, audio=False)
    except InputError as error:
        return f"wrote a video that cannot be read: {error}", None
    wanted = case.frames / FPS
    possible = min(wanted, peer.limits.frames / peer.limits.fps) if peer.limits.frames else wanted
    seconds = len(seen.frames) / max(seen.fps, 1e-6) - peer.output.lead_s
    if seconds < PARTIAL * possible:
        return f"partial: {seconds:.2f} s of {possible:.2f} s", None
    return "", min(1.0, seconds / wanted)


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1][-LOG_TAIL:] if lines else "its log is empty"


def videos_of_folder(system: str, folder: Path, cases: list[Case], seeds: list[int]) -> list[Made]:
    """Videos made elsewhere: {id}-s{seed}.mp4, or {id}.mp4 for the first seed.

    Raises:
        InputError: the folder is missing.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; --videos takes NAME=FOLDER with {{case}}.mp4 inside")
    made = []
    for case in cases:
        for place, seed in enumerate(seeds):
            names = [f"{case.id}-s{seed}.mp4", *([f"{case.id}.mp4"] if place == 0 else [])]
            video = next((folder / name for name in names if (folder / name).exists()), None)
            reason, coverage = "no file " + " or ".join(names), None
            if video is not None:
                anyone = Peer(name="given", title=system, source="", command=("-",), reads=(),
                              output=Output(pattern="-"), seed={"how": "none"})  # type: ignore[arg-type]  # fmt: skip
                reason, coverage = _looked_at(video, anyone, case)
            made.append(
                Made(
                    system,
                    case.id,
                    seed,
                    None if reason else video,
                    reason,
                    coverage,
                    None,
                    Output(pattern="-"),
                )
            )
    return made
