"""Makes talking clips of other people and trains the small sync model on their mouths."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from components.core.errors import InputError
from components.core.files import write_bytes
from components.core.media import FPS, SAMPLE_RATE
from components.core.seeds import derive
from components.perception.audio import log_mel
from components.perception.people import FIRST_SEED, NATIVE
from components.perception.sync import INPUT, LENGTH, MOUTH, NAME, SyncModel, mouth_track, small_network
from components.perception.syncnet import VSHIFT, WINDOW_FRAMES
from components.perception.weights import LOG_EVERY, History, save_model

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from components.perception.faces import FaceDetector
    from components.perception.params import SyncParams

SAMPLES_PER_FRAME = SAMPLE_RATE // FPS
MARGIN = VSHIFT
"""Frames of sound kept before and after the pictures, so that shifted sound is real sound."""
SHARPNESS = 4.0


def talking_clip(
    index: int, frames: int, seed: int, detector: FaceDetector
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Mouths (T,48,48,3) of a rendered, compressed clip, and its sound with `MARGIN` frames on each side."""
    from components.corpus.motion import ActionInterval, pose_track
    from components.corpus.people import sample_person
    from components.corpus.render import render
    from components.corpus.speech import sentence, synthesise

    for attempt in range(5):
        rng = np.random.default_rng(derive(seed, "talk", index, attempt))
        number = FIRST_SEED + derive(seed, "talker", index, attempt) % 1_000_000_000
        person = sample_person(number)
        delivery = str(rng.choice(("speech", "emotional", "singing"), p=(0.66, 0.2, 0.14)))
        speech = synthesise(sentence(number, "other"), number, delivery, person.feminine)
        if rng.random() < 0.12:  # as in clips of recordings: the mouth follows the loudness alone
            speech = replace(speech, phonemes=None)
        framing = str(rng.choice(("close-up", "upper body", "full body"), p=(0.6, 0.24, 0.16)))
        size = int(rng.choice((64, 128, 128))) if framing == "close-up" else NATIVE[framing]
        total = max(frames, int(speech.seconds * FPS))
        begin = int(rng.integers(0, total - frames + 1))
        actions = []
        if rng.random() < 0.5:
            start = float(rng.uniform(begin, begin + frames * 0.6)) / FPS
            name = str(
                rng.choice(
                    ("nod", "shake_head", "smile", "look_left", "tilt_head", "lean_in", "raise_eyebrows")
                )
            )
            actions = [ActionInterval(name, start, start + 1.2)]
        poses = pose_track(person, speech, total, actions, number, calm=float(rng.uniform(0.8, 1.8)))
        pictures = np.stack([render(person, pose, size, framing) for pose in poses[begin : begin + frames]])
        mouths = mouth_track(recompressed(pictures, int(rng.integers(18, 29))), detector)
        if mouths is None:
            continue
        sound = np.zeros((frames + 2 * MARGIN) * SAMPLES_PER_FRAME, np.float32)
        first = (begin - MARGIN) * SAMPLES_PER_FRAME
        source = speech.samples[max(0, first) : max(0, first + len(sound))]
        sound[max(0, -first) : max(0, -first) + len(source)] = source
        return mouths, sound
    raise InputError(f"no face could be followed in talking clip {index}")


def recompressed(frames: NDArray[np.uint8], crf: int) -> NDArray[np.uint8]:
    """Frames after h264 at a constant rate factor."""
    import av

    from components.core.media import encode_video

    with av.open(io.BytesIO(encode_video(frames, crf=crf)), "r") as container:
        container.streams.video[0].thread_type = "NONE"
        decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return np.stack(decoded).astype(np.uint8, copy=False)


def render_clips(path: Path, indices: range, frames: int, seed: int) -> Path:
    """Renders some clips into one .npz (work in progress; made whole or not at all)."""
    from components.core.seeds import single_thread
    from components.perception.faces import FaceDetector

    if path.exists():
        return path
    single_thread()
    with FaceDetector() as detector:
        made = [talking_clip(index, frames, seed, detector) for index in indices]
    buffer = io.BytesIO()
    np.savez(buffer, mouths=np.stack([m for m, _ in made]), sound=np.stack([s for _, s in made]))
    return write_bytes(path, buffer.getvalue())


def read_clips(chunks: list[Path]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Mouths (C,T,48,48,3) and sound (C,N) of rendered chunks, in their order."""
    mouths, sound = [], []
    for chunk in chunks:
        with np.load(chunk) as data:
            mouths.append(data["mouths"])
            sound.append(data["sound"])
    return np.concatenate(mouths), np.concatenate(sound)


def augmented(mouths: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """One clip's mouths (T,48,48,3) as another camera or a generator shows them, at 32 px.

    The same crop error, mirror, light and blur over the clip; jitter of the crop and noise by frame.
    """
    import cv2

    frames = len(mouths)
    scale = INPUT / MOUTH * rng.uniform(0.82, 1.2)
    angle = rng.normal(0, 0.06)
    flip = -1.0 if rng.random() < 0.5 else 1.0
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    linear = np.array([[c * flip, -s], [s * flip, c]])
    base = rng.normal(0, 1.3, 2)
    wander = np.cumsum(rng.normal(0, 0.12, (frames, 2)), 0) + rng.normal(0, rng.uniform(0, 0.35), (frames, 2))
    gain = rng.uniform(0.75, 1.25) * rng.uniform(0.88, 1.12, 3)
    bias, noise = rng.uniform(-20, 20), rng.uniform(0, 6)
    kind = rng.random()
    small = int(rng.integers(10, 24)) if kind < 0.5 else 0
    blur = float(rng.uniform(0.3, 1.3)) if kind < 0.25 or kind > 0.8 else 0.0
    made = np.empty((frames, INPUT, INPUT, 3), np.uint8)
    for index, mouth in enumerate(mouths):
        matrix = np.column_stack([linear, INPUT / 2 + base + wander[index] - linear @ (MOUTH / 2, MOUTH / 2)])
        image = cv2.warpAffine(
            mouth, matrix, (INPUT, INPUT), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        if small:
            image = cv2.resize(image, (small, small), interpolation=cv2.INTER_AREA)
            image = cv2.resize(image, (INPUT, INPUT), interpolation=cv2.INTER_LINEAR)
        if blur:
            image = cv2.GaussianBlur(image, (0, 0), blur)
        made[index] = image
    grain = rng.standard_normal((INPUT * INPUT * 3 * 7,), dtype=np.float32) * np.float32(noise)
    places = rng.integers(0, len(grain) - INPUT * INPUT * 3, frames)
    noisy = made * gain.astype(np.float32) + np.float32(bias)
    for index, place in enumerate(places):  # windows into one sheet of noise: drawing it all anew is slow
        noisy[index] += grain[place : place + INPUT * INPUT * 3].reshape(INPUT, INPUT, 3)
    return np.clip(noisy, 0, 255).astype(np.uint8)


def augmented_mel(mel: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """A mel (N,40) as another voice and microphone give it: bands moved, tilted, noise floor raised."""
    bands = mel.shape[1]
    warped = np.clip(np.arange(bands) * rng.uniform(0.88, 1.12) + rng.uniform(-1.5, 1.5), 0, bands - 1)
    low = np.floor(warped).astype(int)
    high, share = np.minimum(low + 1, bands - 1), (warped - low).astype(np.float32)
    moved = mel[:, low] * (1 - share) + mel[:, high] * share
    moved = moved + np.linspace(-1, 1, bands, dtype=np.float32) * np.float32(rng.normal(0, 0.15))
    if rng.random() < 0.4:
        moved = np.maximum(moved, np.float32(rng.uniform(0, 1.2)) + rng.normal(0, 0.08, mel.shape))
    return (moved + rng.normal(0, 0.05, mel.shape)).astype(np.float32)


def _loss(video: Any, audio: Any) -> Any:
    """Contrast over shifts of whole clips, and over windows within and between clips; (B,W,64) each."""
    import torch
    from torch.nn import functional as F

    batch, windows = video.shape[:2]
    place = torch.arange(windows)
    gap = place[None, :] - place[:, None]
    similar = torch.einsum("bid,cjd->bicj", video, audio)
    own = similar[torch.arange(batch), :, torch.arange(batch)]  # (B,W,W)
    distance = (2 - 2 * own).clamp_min(1e-6).sqrt()
    shifts = []
    for shift in range(-VSHIFT, VSHIFT + 1):
        shifts.append(torch.diagonal(distance, shift, 1, 2).mean(1))
    target = torch.full((batch,), VSHIFT)
    by_clip = F.cross_entropy(-torch.stack(shifts, 1) * LENGTH * SHARPNESS, target)
    logits = (similar / 0.1).reshape(batch * windows, batch * windows)
    beside = (gap.abs() == 1)[None, :, None, :] & torch.eye(batch, dtype=torch.bool)[:, None, :, None]
    logits = logits.masked_fill(beside.reshape(logits.shape), -1e4)
    truth = torch.arange(batch * windows)
    by_window = F.cross_entropy(logits, truth) + F.cross_entropy(logits.T, truth)
    return by_clip + 0.25 * by_window


def train(
    params: SyncParams,
    chunks: list[Path],
    folder: Path,
    seed: int,
    history: History | None = None,
    *,
    name: str = NAME,
    data: str = "rendered talking people, seeds disjoint from the corpus",
) -> dict[str, float]:
    """Trains on the first clips, measures on the held-out last ones, writes the model to `folder`.

    `name` and `data` (what it learnt from) go into its config.json.
    """
    import torch

    from components.core.seeds import seed_everything

    mouths, sound = read_clips(chunks)
    count = len(mouths) - params.held_out
    if count < 2:
        raise InputError(f"{len(mouths)} clips leave none to train on beside {params.held_out} held out")
    seed_everything(derive(seed, "sync"))
    rng = np.random.default_rng(derive(seed, "sync", "data"))
    edge = MARGIN * SAMPLES_PER_FRAME
    mels = np.stack([log_mel(track[edge:-edge]) for track in sound[:count]])
    network = small_network().train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=params.learning_rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, params.learning_rate, total_steps=params.steps + 1, pct_start=0.15
    )
    loss = torch.zeros(())
    for step in range(1, params.steps + 1):
        chosen = rng.choice(count, min(params.batch, count), replace=False)
        pictures = np.stack([augmented(mouths[i], rng) for i in chosen])
        heard = np.stack([augmented_mel(mels[i], rng) for i in chosen])
        video = network.video(torch.from_numpy(pictures).permute(0, 1, 4, 2, 3).float() / 127.5 - 1)
        loss = _loss(video, network.audio(torch.from_numpy(heard)))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if history is not None and (step % LOG_EVERY == 0 or step == params.steps):
            history.append((step, round(loss.item(), 5)))
    model = SyncModel(network, {"name": name}, "")
    figures = measure(model, mouths[count:], sound[count:], derive(seed, "sync", "measure"))
    facts = {
        "name": name, "embedding_length": LENGTH, "padding": "valid", "vshift": VSHIFT,
        "window_frames": WINDOW_FRAMES,
        "training": {
            "data": data, "clips": count,
            "frames": int(mouths.shape[1]), "steps": params.steps, "final_loss": round(loss.item(), 5),
        },
        "held_out": figures,
    }  # fmt: skip
    save_model(folder, network, facts)
    return {f"sync_{key}": value for key, value in figures.items()}


def measure(
    model: SyncModel, mouths: NDArray[np.uint8], sound: NDArray[np.float32], seed: int
) -> dict[str, float]:
    """Held-out people and sentences, each clip with its own sound and with sound moved by 3 to 15 frames.

    auc: in sync against moved, by `agreement`; offset_exact and offset_within_1: planted shifts of −15…15
    that are found; confidence in sync and against another clip's sound (means).
    """
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(seed)
    edge, length = MARGIN * SAMPLES_PER_FRAME, mouths.shape[1] * SAMPLES_PER_FRAME
    agreements, labels, errors = [], [], []
    own, other = [], []
    for index, clip in enumerate(mouths):
        moves = [0, *rng.choice(range(3, VSHIFT + 1), 2), *-rng.choice(range(3, VSHIFT + 1), 2)]
        for move in moves:
            begin = edge + int(move) * SAMPLES_PER_FRAME
            scores = model.score(clip, sound[index][begin : begin + length])
            agreements.append(scores.agreement)
            labels.append(move == 0)
            errors.append(abs(scores.offset - int(move)))
            if move == 0:
                own.append(scores.confidence)
        stranger = sound[(index + 1) % len(sound)][edge : edge + length]
        other.append(model.score(clip, stranger).confidence)
    missed = np.array(errors)
    return {
        "auc": round(float(roc_auc_score(labels, agreements)), 5),
        "offset_exact": round(float((missed == 0).mean()), 5),
        "offset_within_1": round(float((missed <= 1).mean()), 5),
        "confidence": round(float(np.mean(own)), 4),
        "confidence_other_sound": round(float(np.mean(other)), 4),
    }
