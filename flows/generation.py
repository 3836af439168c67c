"""`syncdreamer generate`: the champion pair at work."""

from __future__ import annotations

from pathlib import Path

from components.core.errors import InputError
from components.core.files import digest_file
from components.core.media import encode_video, read_audio, read_image
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
    picture = read_image(image)
    samples = read_audio(audio)
    from components.core.seeds import seed_everything, single_thread
    from components.tracking import credentials, registry
    from components.tracking.runs import Tracker

    single_thread()
    seed_everything(seed)
    tracker = Tracker(workspace)
    pair = registry.champion_pair(tracker)
    if pair.marked:
        say(f"warning: the champion learnt from withdrawn material ({pair.marked}); roll back or retrain")
    champions = registry.pair_paths(tracker, pair)
    prompt = text
    if enhance:
        from components.enhancer import enhance as enhancer

        prompt = enhancer.load(champions["enhancer"]).enhance(picture, text, seed=seed)
        say(f"prompt: {prompt}")
    from components.avatar.generate import generate
    from components.avatar.pipeline import SyncDreamerPipeline

    pipeline = SyncDreamerPipeline.from_pretrained(champions["avatar"])
    frames = generate(pipeline, picture, samples, prompt, seed=seed, steps=steps)
    if mark:
        from components.core.visible_mark import mark_frames

        frames = mark_frames(frames)
    used = {name: pair.versions[name] for name in registry.MODELS[: 1 + enhance]}
    facts = credentials.of_pair(
        used,
        pair.digests,
        {"image": digest_file(image), "audio": digest_file(audio), "text": credentials.text_digest(text)},
        pair=pair.id,
        prompt=credentials.text_digest(prompt),
        seed=seed,
        steps=steps,
        visible_mark=mark,
    )
    holder = credentials.write_signed(out, encode_video(frames, samples), facts, workspace)
    say(f"credentials in {holder.name}; `syncdreamer verify {out}` checks them")
    say(f"wrote {out}: {len(frames)} frames at 25 fps, {frames.shape[2]}×{frames.shape[1]} px")
