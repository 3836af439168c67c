"""What the parts do, as pictures: where identity tokens look, which moments weigh, motion on beats."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from components.core.errors import InputError
from components.core.media import FPS, read_audio, read_image, read_video
from components.evaluation.ablations.variants import FULL
from components.evaluation.comparison.measures import motion_energy, peaks, smoothed, standard
from components.evaluation.comparison.scoring import Scored
from components.evaluation.suites.footage import fitted

if TYPE_CHECKING:
    from numpy.typing import NDArray

DPI = 110
MADE, TRUTH, WITHOUT, SOUND = "#5446d8", "#0b8a7c", "#c2410c", "#b9c0d4"


TIMES = 8
"""Frames of a video in the strip of examples."""


def draw(
    pipelines: Mapping[str, Path],
    groups: Mapping[str, Sequence[Scored]],
    seed: int,
    titles: Mapping[str, str],
    folder: Path,
) -> list[tuple[str, str, Path]]:
    """Writes the pictures of one case; returns (title, explanation, file) of each.

    A generator without the part that a picture shows has no such picture.

    Args:
        pipelines: variant → its trained pipeline; "full" is the whole system.
        groups: variant or reference row → its measured videos.
        titles: variant → name for people.

    Raises:
        InputError: no video of the whole system could be made and measured.
    """
    from components.avatar.pipeline import SyncDreamerPipeline

    def of(variant: str, case: str) -> Scored | None:
        seeds = (seed, 0)  # reference rows have no seed
        here = (one for one in groups.get(variant, ()) if one.case.id == case and one.made.seed in seeds)
        return next((one for one in here if one.arrays and one.made.video), None)

    example = next((one for one in groups[FULL] if one.made.seed == seed and one.arrays), None)
    if example is None:
        raise InputError("no case of the whole system could be made and measured; see the messages above")
    folder.mkdir(parents=True, exist_ok=True)
    case = example.case
    picture, samples = read_image(case.path("image")), read_audio(case.path("audio"))[: case.frames * 640]
    strip = {"ground truth": of("ground_truth", case.id)}
    strip |= {titles[name]: of(name, case.id) for name in pipelines}
    made = [(
        "The same clip from every variant",
        "One case of a person that no model saw, at even times; the mouth is what to look at.",
        _draw_strip({name: one for name, one in strip.items() if one}, folder / "examples.png"),
    )]  # fmt: skip
    weights = None
    for variant in (FULL, "localization"):
        if variant not in pipelines:
            continue
        loaded = SyncDreamerPipeline.from_pretrained(pipelines[variant])
        if variant == FULL:
            weights = audio_weights(loaded, samples, case.frames)
        if loaded.transformer.config.identity_dim:
            maps = attention_maps(loaded, picture, samples, case.prompt, seed)
            made.append((
                f"Where identity tokens look: {titles[variant]}",
                "Top: attention of each identity token over the 4×4 places of the reference. Bottom: "
                "attention of the generated picture's places on that token (mean over frames, heads and "
                "localized blocks). Regions are what the localization loss asks for.",
                _draw_attention(maps, folder / f"attention_{variant}.png"),
            ))  # fmt: skip
    if weights is not None:
        made.append((
            "Which moments of the sound weigh",
            "The Audio Dynamics Encoder's w_t over the waveform of the same case.",
            _draw_weights(samples, weights, folder / "audio_weights.png"),
        ))  # fmt: skip
    lines = {"whole system": example, "ground truth": of("ground_truth", case.id)}
    if "audio_dynamics" in pipelines:
        lines[titles["audio_dynamics"]] = of("audio_dynamics", case.id)
    energies = {name: one.arrays["energy"] for name, one in lines.items() if one}
    made.append((
        "Motion against the sound's onsets",
        "Motion energy (mean change of luminance); dots are its peaks, dashed lines the onsets of loudness.",
        _draw_rhythm(energies, example.arrays["sound"], folder / "rhythm.png"),
    ))  # fmt: skip
    return made


def draw_run(
    pipeline: Path, made: Path, real: Path, portrait: Path, prompt: str, seed: int, folder: Path
) -> None:
    """Writes attention.png, audio_weights.png and rhythm.png of one generated video and its real clip.

    A generator without the part that a picture shows has no such picture.

    Raises:
        InputError: a file cannot be read, or the video has no sound.
    """
    from components.avatar.pipeline import SyncDreamerPipeline
    from components.perception.voice import envelope

    folder.mkdir(parents=True, exist_ok=True)
    seen, truth = read_video(made), read_video(real, audio=False)
    if seen.samples is None:
        raise InputError(f"{made} has no sound")
    frames = len(seen.frames)
    samples = fitted(seen.samples, frames)
    loaded = SyncDreamerPipeline.from_pretrained(pipeline)
    if loaded.transformer.config.identity_dim:
        maps = attention_maps(loaded, read_image(portrait), samples, prompt, seed)
        _draw_attention(maps, folder / "attention.png")
    weights = audio_weights(loaded, samples, frames)
    if weights is not None:
        _draw_weights(samples, weights, folder / "audio_weights.png")
    energies = {"generated": motion_energy(seen.frames), "real clip": motion_energy(truth.frames)}
    _draw_rhythm(energies, envelope(samples, frames), folder / "rhythm.png")


@contextmanager
def _listening(modules: Sequence[Any], keep: list[tuple[Any, tuple[Any, ...]]]) -> Iterator[None]:
    """Records the inputs of modules while the block runs."""
    hooks = [
        module.register_forward_pre_hook(lambda m, inputs: keep.append((m, inputs))) for module in modules
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def attention_maps(
    pipeline: Any, picture: NDArray[np.uint8], samples: NDArray[np.float32], prompt: str, seed: int
) -> dict[str, Any]:
    """owners: K regions; reference (S,S,3); on_reference (K,4,4), rows sum to at most 1 (the rest lies on the
    embedding token); frame (S,S,3) generated; on_frame (K,h,w): mean attention of places on each token, which
    sums to 1 over K at every place."""
    import torch

    from components.avatar.portrait import frame_portrait
    from components.core.pictures import resized

    transformer, adapter = pipeline.transformer, pipeline.adapter
    layer = adapter.blocks[-1]
    visual = [transformer.conditioning["blocks"][index].visual for index in sorted(transformer.localized)]
    heard: list[tuple[Any, tuple[Any, ...]]] = []
    read: list[tuple[Any, tuple[Any, ...]]] = []
    with torch.inference_mode(), _listening(visual, heard), _listening([layer.attend_image], read):
        frames = pipeline(picture, samples, prompt, seed)[0]
        query, key, value = read[0][1][:3]
        _, weights = layer.attend_image(query, key, value, need_weights=True)
        places = weights[0, :, :-1].reshape(len(adapter.owners), 4, 4)
        grids = []
        for module, (hidden, context, _, _, where) in heard:
            hidden, context = hidden[:1], context[:1]  # the first clip, everything present
            q = module.query(hidden, where)
            k = module.to_kv(context).unflatten(-1, (2 * module.heads, -1)).transpose(1, 2).chunk(2, 1)[0]
            attention = (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).softmax(-1).mean(1)[0]
            grids.append(_on_grid(attention, pipeline.settings["window"]))
    share = pipeline.encoders.settings.face_share
    return {
        "owners": list(adapter.owners),
        "reference": resized(frame_portrait(picture, share).square[None], pipeline.size)[0],
        "on_reference": places.numpy(),
        "frame": frames[len(frames) // 2],
        "on_frame": np.mean(grids, 0),
    }


def _on_grid(attention: Any, frames: int) -> NDArray[np.float32]:
    """(N,K) of all places of `frames` square frames → (K,h,w), mean over frames."""
    side = round((attention.shape[0] / frames) ** 0.5)
    return attention.reshape(frames, side, side, -1).mean(0).permute(2, 0, 1).numpy()


def audio_weights(pipeline: Any, samples: NDArray[np.float32], frames: int) -> NDArray[np.float32] | None:
    """w_t (frames,) of the Audio Dynamics Encoder, None for a generator without it."""
    import torch

    conditioning = pipeline.transformer.conditioning
    dynamics = conditioning["audio"].dynamics if "audio" in conditioning else None
    if dynamics is None:
        return None
    features = torch.from_numpy(pipeline.encoders.audio_features(samples, frames))
    with torch.inference_mode():
        return dynamics(features[None])[1][0].numpy()


def _draw_attention(maps: dict[str, Any], path: Path) -> Path:
    plot = _pyplot()
    owners = maps["owners"]
    figure, axes = plot.subplots(2, len(owners), figsize=(1.35 * len(owners), 3.1), squeeze=False)
    for row, (picture, planes) in enumerate(
        ((maps["reference"], maps["on_reference"]), (maps["frame"], maps["on_frame"]))
    ):
        for column, plane in enumerate(planes):
            axis = axes[row][column]
            axis.imshow(picture, extent=(0, 1, 0, 1))
            axis.imshow(plane, extent=(0, 1, 0, 1), cmap="magma", alpha=0.55, interpolation="bilinear")
            axis.set_xticks([])
            axis.set_yticks([])
            if row == 0:
                axis.set_title(f"{column} {owners[column]}", fontsize=8)
            axis.set_xlabel(f"mean {float(np.mean(plane)):.2f}", fontsize=7)  # colours are each plane's own
    return _saved(figure, path)


def _draw_weights(samples: NDArray[np.float32], weights: NDArray[np.float32], path: Path) -> Path:
    plot = _pyplot()
    figure, axis = plot.subplots(figsize=(10, 2.2))
    axis.plot(np.arange(len(samples)) / 16_000, samples, color=SOUND, linewidth=0.4)
    axis.set_ylabel("waveform", fontsize=8)
    other = axis.twinx()
    other.plot((np.arange(len(weights)) + 0.5) / FPS, weights, color=MADE, linewidth=1.6)
    other.set_ylim(0, 1)
    other.set_ylabel("w_t", fontsize=8)
    axis.set_xlabel("s", fontsize=8)
    return _saved(figure, path)


def _draw_rhythm(lines: Mapping[str, NDArray[np.float64]], sound: NDArray[np.float32], path: Path) -> Path:
    """lines: name → motion energy (T,); sound: loudness (T,)."""
    plot = _pyplot()
    figure, axis = plot.subplots(figsize=(10, 2.6))
    for onset in peaks(np.maximum(np.diff(sound, prepend=sound[:1]), 0)):
        axis.axvline(onset, color=SOUND, linestyle="--", linewidth=0.8)
    for (name, energy), colour in zip(lines.items(), (MADE, TRUTH, WITHOUT), strict=False):
        moments, energy = peaks(energy), smoothed(energy)
        times = np.arange(len(energy)) / FPS
        axis.plot(times, energy, color=colour, linewidth=1.2, label=name)
        axis.plot(moments, np.interp(moments, times, energy), "o", color=colour, markersize=3)
    axis.set_xlabel("s", fontsize=8)
    axis.set_ylabel("motion energy", fontsize=8)
    axis.legend(fontsize=8, frameon=False, loc="upper right")
    return _saved(figure, path)


def _draw_strip(videos: Mapping[str, Scored], path: Path) -> Path:
    plot = _pyplot()
    figure, axes = plot.subplots(len(videos), TIMES, figsize=(10, 1.28 * len(videos)), squeeze=False)
    for row, (name, one) in zip(axes, videos.items(), strict=True):
        assert one.made.video is not None
        frames = standard(one.made.video, one.made.output, one.case.frames)
        for axis, index in zip(row, np.linspace(0, len(frames) - 1, TIMES).round().astype(int), strict=True):
            axis.imshow(frames[index])
            axis.set_axis_off()
            axis.set_title(f"{index / FPS:.1f} s" if row is axes[0] else "", fontsize=7)
        row[0].text(
            -0.06, 0.5, "\n".join(textwrap.wrap(name, 14)), transform=row[0].transAxes, fontsize=8,
            ha="right", va="center",
        )  # fmt: skip
    return _saved(figure, path)


def _pyplot() -> Any:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plot

    return plot


def _saved(figure: Any, path: Path) -> Path:
    figure.tight_layout()
    figure.savefig(path, dpi=DPI, metadata={"Software": None}, bbox_inches="tight")
    _pyplot().close(figure)
    return path
