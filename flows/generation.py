"""`syncdreamer generate`: the champion pair at work, on one video or a list of them."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.core.errors import InputError
from components.core.files import digest_file
from components.core.media import FPS, encode_video, read_audio, read_image
from components.core.paths import Workspace
from components.core.progress import say

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from components.avatar.requests import Request

REPORT = "requests.jsonl"
"""Beside the videos of a list: what became of each request."""


class Studio:
    """The champion pair, loaded once; makes signed videos one after another.

    Raises:
        InputError: no pair was promoted yet.
    """

    def __init__(self, workspace: Workspace, seed: int, enhance: bool, mark: bool = False) -> None:
        """mark: also put the letters AI on every frame."""
        from components.core.seeds import seed_everything, single_thread
        from components.tracking import registry
        from components.tracking.runs import Tracker

        single_thread()
        seed_everything(seed)
        self.workspace, self.mark = workspace, mark
        tracker = Tracker(workspace)
        self.pair = registry.champion_pair(tracker)
        if self.pair.marked:
            say(
                f"warning: the champion learnt from withdrawn material ({self.pair.marked}); roll back or"
                f" retrain"
            )
        champions = registry.pair_paths(tracker, self.pair)
        self.used = {name: self.pair.versions[name] for name in registry.MODELS[: 1 + enhance]}
        self.enhancer: Any = None
        if enhance:
            from components.enhancer import enhance as enhancer

            self.enhancer = enhancer.load(champions["enhancer"])
        from components.avatar.pipeline import SyncDreamerPipeline
        from components.core.device import best_device

        self.pipeline = SyncDreamerPipeline.from_pretrained(champions["avatar"]).to(best_device())

    def make(
        self, image: Path, audio: Path, text: str, out: Path, *, seed: int, steps: int | None, fps: int = FPS
    ) -> dict[str, Any]:
        """Writes one video with the given sound and signed content credentials; warnings are printed.

        Returns:
            prompt (as the generator read it), frames, and warnings.

        Raises:
            InputError: an input cannot be used.
        """
        from components.avatar.generate import generate
        from components.tracking import credentials

        picture, samples = read_image(image), read_audio(audio)
        prompt = text
        if self.enhancer is not None:
            prompt = self.enhancer.enhance(picture, text, seed=seed)
            say(f"prompt: {prompt}")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            frames = generate(self.pipeline, picture, samples, prompt, seed=seed, steps=steps)
        told = [str(each.message) for each in caught if each.category.__name__ == "InputWarning"]
        for message in told:
            say(f"warning: {message}")
        frames = retimed(frames, fps)
        if self.mark:
            from components.core.visible_mark import mark_frames

            frames = mark_frames(frames)
        facts = credentials.of_pair(
            self.used,
            self.pair.digests,
            {
                "image": digest_file(image),
                "audio": digest_file(audio),
                "text": credentials.text_digest(text),
            },
            pair=self.pair.id,
            prompt=credentials.text_digest(prompt),
            seed=seed,
            steps=self.pipeline.settings["steps"] if steps is None else steps,
            visible_mark=self.mark,
        )
        holder = credentials.write_signed(out, encode_video(frames, samples, fps=fps), facts, self.workspace)
        say(f"credentials in {holder.name}; `syncdreamer verify {out}` checks them")
        say(f"wrote {out}: {len(frames)} frames at {fps} fps, {frames.shape[2]}×{frames.shape[1]} px")
        return {"prompt": prompt, "frames": len(frames), "warnings": told}


def retimed(frames: NDArray[np.uint8], fps: int) -> NDArray[np.uint8]:
    """Frames at 25 fps (T,…) shown at another rate: each moment shows the frame that is there at 25 fps."""
    import numpy as np

    if fps == FPS:
        return frames
    count = max(1, round(len(frames) * fps / FPS))
    return frames[np.minimum(np.arange(count) * FPS // fps, len(frames) - 1)]


def generate_file(
    workspace: Workspace,
    image: Path,
    audio: Path,
    text: str,
    out: Path,
    *,
    seed: int,
    steps: int | None,
    enhance: bool = True,
    mark: bool = False,
) -> None:
    """Writes a talking video with the given sound and signed content credentials; prints the prompt first.

    mark: also put the letters AI on every frame.

    Raises:
        InputError: an input cannot be read, the text is empty, `out` is no .mp4, or no pair was promoted yet.
    """
    if out.suffix.lower() != ".mp4":
        raise InputError(f"--out {out} must end in .mp4")
    if not text.strip():
        raise InputError("--text is empty: say what the person should do, e.g. 'nod slowly'")
    read_image(image)  # before minutes of loading
    read_audio(audio)
    Studio(workspace, seed, enhance, mark).make(image, audio, text, out, seed=seed, steps=steps)


def generate_list(
    workspace: Workspace,
    listed: Path,
    out: Path,
    *,
    seed: int,
    steps: int | None,
    enhance: bool = True,
    mark: bool = False,
    studio: Any = None,
) -> None:
    """Writes `out/NAME.mp4` for every request of a list, and what became of each to `out/requests.jsonl`.

    A request that fails does not stop the others. Each has its own seed: `seed` plus the request's.

    Raises:
        InputError: the list has a fault (nothing is made then), or requests failed (the others were made).
    """
    from components.avatar.requests import read_requests
    from components.core.files import append_jsonl

    requests: list[Request] = read_requests(listed)
    out.mkdir(parents=True, exist_ok=True)
    (out / REPORT).unlink(missing_ok=True)
    studio = studio or Studio(workspace, seed, enhance, mark)
    failed = []
    for request in requests:
        target = out / f"{request.name}.mp4"
        try:
            made = studio.make(
                request.image, request.audio, request.text, target, seed=seed + request.seed, steps=steps,
                fps=request.fps,
            )  # fmt: skip
        except InputError as error:
            failed.append(request.name)
            made = {"error": str(error)}
            say(f"{request.name} failed: {error}")
        append_jsonl(out / REPORT, {"name": request.name, "text": request.text, **made})
    if failed:
        raise InputError(
            f"{len(failed)} of {len(requests)} requests failed ({', '.join(failed[:5])}); the others are in"
            f" {out}, the reasons in {out / REPORT}"
        )
