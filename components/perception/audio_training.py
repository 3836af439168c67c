"""Trains the small audio encoder on synthesised sentences: visemes, opening and loudness of each instant."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from components.core.seeds import derive
from components.perception.audio import FEATURES, MEL_PER_FRAME, AudioEncoder, _network, log_mel
from components.perception.people import FIRST_SEED
from components.perception.weights import LOG_EVERY, History, save_model

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from components.perception.params import AudioParams

NAME = "small-audio"
WINDOW = 240
"""Mel frames of a training window (2.4 s)."""


@dataclass(frozen=True)
class Utterance:
    """mel (N,40), visemes (N,) index, targets (N,2): opening and loudness in [0,1]; all at 100 Hz."""

    mel: NDArray[np.float32]
    visemes: NDArray[np.int64]
    targets: NDArray[np.float32]


def utterance(index: int, seed: int) -> Utterance:
    """One sentence of the pool that the corpus does not use, in a voice of its own."""
    from components.corpus.speech import envelope, opening_track, sentence, synthesise, viseme_track

    number = FIRST_SEED + derive(seed, "speaker", index) % 1_000_000_000
    rng = np.random.default_rng(derive(number, "delivery"))
    delivery = str(rng.choice(("speech", "emotional", "singing"), p=(0.64, 0.2, 0.16)))
    speech = synthesise(sentence(number, "other"), number, delivery)
    mel, visemes = log_mel(speech.samples), viseme_track(speech, 100)
    count = min(len(mel), len(visemes))
    loud = envelope(speech.samples, 100)
    opening = opening_track(speech, count, 100)
    count = min(count, len(loud))
    targets = np.stack([opening[:count], loud[:count]], 1).astype(np.float32)
    return Utterance(mel[:count], visemes[:count], targets)


def train(params: AudioParams, folder: Path, seed: int, history: History | None = None) -> dict[str, float]:
    """Trains, measures on held-out sentences and voices, writes the model to `folder`."""
    import torch
    from torch.nn import functional as F

    from components.core.seeds import seed_everything
    from components.corpus.speech import VISEMES
    from components.perception.sync_training import augmented_mel

    said = [utterance(index, seed) for index in range(params.sentences)]
    held = max(2, params.sentences // 8)
    training, checking = said[:-held], said[-held:]
    seed_everything(derive(seed, "audio"))
    rng = np.random.default_rng(derive(seed, "audio", "data"))
    network = _network(len(VISEMES)).train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=params.learning_rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, params.learning_rate, total_steps=params.steps + 1, pct_start=0.15
    )
    loss = torch.zeros(())
    for step in range(1, params.steps + 1):
        mels, visemes, targets = [], [], []
        for index in rng.integers(0, len(training), params.batch):
            one = training[int(index)]
            begin = int(rng.integers(0, max(1, len(one.mel) - WINDOW)))
            short = max(0, WINDOW - len(one.mel))
            part = slice(begin, begin + WINDOW)
            mel = augmented_mel(one.mel[part], rng) if rng.random() < 0.6 else one.mel[part]
            mels.append(np.pad(mel, ((0, short), (0, 0))))
            visemes.append(np.pad(one.visemes[part], (0, short)))
            targets.append(np.pad(one.targets[part], ((0, short), (0, 0))))
        features = network(torch.from_numpy(np.stack(mels)).transpose(1, 2))
        told = F.cross_entropy(network.visemes(features), torch.from_numpy(np.stack(visemes)))
        opened = network.opening(features).transpose(1, 2)
        loss = told + 4 * F.mse_loss(opened, torch.from_numpy(np.stack(targets)))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if history is not None and (step % LOG_EVERY == 0 or step == params.steps):
            history.append((step, round(loss.item(), 5)))
    network.eval()
    mean, spread = _statistics(network, training)
    figures = measure(network, checking)
    facts = {
        "name": NAME, "visemes": list(VISEMES), "features": FEATURES, "mean": mean, "spread": spread,
        "training": {
            "data": "synthesised sentences and voices that the corpus does not use",
            "sentences": len(training),
            "steps": params.steps, "final_loss": round(loss.item(), 5),
        },
        "held_out": figures,
    }  # fmt: skip
    save_model(folder, network, facts)
    AudioEncoder.load(folder)
    return figures


def _statistics(network, utterances: list[Utterance]) -> tuple[list[float], list[float]]:  # type: ignore[no-untyped-def]
    """Mean and spread of each feature at 25 Hz over some sentences, rounded for the config."""
    import torch

    parts = []
    with torch.inference_mode():
        for one in utterances[:48]:
            count = len(one.mel) // MEL_PER_FRAME
            seen = network(torch.from_numpy(one.mel[: count * MEL_PER_FRAME]).T[None])[0]
            parts.append(seen.reshape(FEATURES, count, MEL_PER_FRAME).mean(2).T)
    values = torch.cat(parts).double()
    mean, spread = values.mean(0).tolist(), values.std(0).clamp_min(1e-3).tolist()
    return [round(v, 5) for v in mean], [round(v, 5) for v in spread]


def measure(network, utterances: list[Utterance]) -> dict[str, float]:  # type: ignore[no-untyped-def]
    """viseme_accuracy of single 10 ms frames, and the correlation of the told opening with the true one."""
    import torch

    right, total = 0, 0
    told, true = [], []
    with torch.inference_mode():
        for one in utterances:
            features = network(torch.from_numpy(one.mel).T[None])
            guess = network.visemes(features)[0].argmax(0).numpy()
            right += int((guess == one.visemes).sum())
            total += len(guess)
            told.append(network.opening(features)[0, 0].numpy())
            true.append(one.targets[:, 0])
    correlation = np.corrcoef(np.concatenate(told), np.concatenate(true))[0, 1]
    return {
        "viseme_accuracy": round(right / max(total, 1), 5),
        "opening_correlation": round(float(correlation), 5),
    }
