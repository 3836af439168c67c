"""`syncdreamer generate`: the champion pair at work."""

from __future__ import annotations

from pathlib import Path

from components.core.errors import InputError
from components.core.media import read_audio, read_image, write_video
from components.core.paths import Workspace
from components.core.progress import say


def generate_file(
    workspace: Workspace,
    image: Path,
    audio: Path,
    text: str,
    out: Path,
    *,
    seed: int,
    steps: int,
    enhance: bool = True,
) -> None:
    """Writes a talking video with the given sound; prints the enhanced prompt first.

    Raises:
        InputError: an input cannot be read, the text is empty, `out` is no .mp4, or no pair was promoted yet.
    """
    if out.suffix.lower() != ".mp4":
        raise InputError(f"--out {out} must end in .mp4")
    if not text.strip():
        raise InputError("--text is empty: say what the person should do, e.g. 'nod slowly'")
    picture = read_image(image)
    samples = read_audio(audio)
    from components.core.seeds import seed_everything, single_thread
    from components.tracking.registry import champion_paths

    single_thread()
    seed_everything(seed)
    champions = champion_paths(workspace)
    prompt = text
    if enhance:
        from components.enhancer import enhance as enhancer

        prompt = enhancer.load(champions["enhancer"]).enhance(picture, text, seed=seed)
        say(f"prompt: {prompt}")
    from components.avatar.generate import generate
    from components.avatar.pipeline import SyncDreamerPipeline

    pipeline = SyncDreamerPipeline.from_pretrained(champions["avatar"])
    frames = generate(pipeline, picture, samples, prompt, seed=seed, steps=steps)
    write_video(out, frames, samples)
    say(f"wrote {out}: {len(frames)} frames at 25 fps, {frames.shape[2]}×{frames.shape[1]} px")
