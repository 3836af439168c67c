"""Who a face is: a small embedding network trained on rendered people, and its training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from components.core.errors import InputError
from components.perception.weights import LOG_EVERY, History, load_model, save_model

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from components.perception.params import IdentityParams
    from components.perception.people import People

NAME = "small-identity"
INPUT = 64
EMBEDDING = 64
TEMPERATURE = 0.07


def _network(width: int) -> Any:
    """Four stages of residual 3×3 convolutions on 64×64, weights shared over the whole crop, to 64-D."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    class Block(nn.Module):
        def __init__(self, inputs: int, outputs: int) -> None:
            super().__init__()
            self.down = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False)
            self.norm = nn.BatchNorm2d(outputs)
            self.conv = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
            self.norm2 = nn.BatchNorm2d(outputs)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = F.relu(self.norm(self.down(x)))
            return F.relu(x + self.norm2(self.conv(x)))

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            sizes = (width, 2 * width, 4 * width, 6 * width)
            self.stages = nn.Sequential(*(Block(a, b) for a, b in zip((3, *sizes), sizes, strict=False)))
            self.head = nn.Linear(sizes[-1] * 16, EMBEDDING)

        def forward(
            self, pixels: torch.Tensor
        ) -> torch.Tensor:  # (N,3,64,64) in [-1,1] → (N,64), unit length
            return F.normalize(self.head(self.stages(pixels).flatten(1)), dim=1)

    return Network()


def _pixels(crops: NDArray[np.uint8]) -> Any:
    """(N,h,w,3) uint8 → (N,3,64,64) in [-1,1], area-averaged."""
    import cv2
    import torch

    small = np.stack([cv2.resize(crop, (INPUT, INPUT), interpolation=cv2.INTER_AREA) for crop in crops])
    return torch.from_numpy(small).permute(0, 3, 1, 2).float() / 127.5 - 1


class IdentityModel:
    """Embeds face crops so that the cosine of two tells whether they show the same person."""

    def __init__(self, network: Any, config: dict[str, Any], digest: str) -> None:
        self.network = network.eval()
        self.config = config
        self.digest = digest
        self.name: str = config["name"]

    @property
    def threshold(self) -> float:
        """Cosine at which held-out people are told apart best."""
        return float(self.config["threshold"])

    @classmethod
    def load(cls, folder: Path) -> IdentityModel:
        """Reads config.json and model.safetensors.

        Raises:
            InputError: a file is missing or does not fit.
        """
        return cls(*load_model(folder, lambda config: _network(config["width"])))

    def save(self, folder: Path) -> None:
        """Writes config.json and model.safetensors."""
        save_model(folder, self.network, self.config)

    def embed(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(N,64) float32 of unit length for crops (N,112,112,3) uint8 as `faces.crop_face` makes them.

        The mean over a crop and its mirror image: faces are judged alike from both sides.

        Raises:
            InputError: not (N,h,w,3) uint8.
        """
        import torch

        crops = np.asarray(crops)
        if crops.ndim != 4 or crops.shape[3] != 3 or crops.dtype != np.uint8:
            raise InputError(f"crops must be (N,h,w,3) uint8, got {crops.dtype} {crops.shape}")
        if not len(crops):
            return np.zeros((0, EMBEDDING), np.float32)
        parts = []
        with torch.inference_mode():
            for begin in range(0, len(crops), 128):
                pixels = _pixels(crops[begin : begin + 128])
                both = self.network(pixels) + self.network(pixels.flip(3))
                parts.append(torch.nn.functional.normalize(both, dim=1))
        return torch.cat(parts).numpy()


def augmented(crops: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Crops as other cameras see them: moved, rescaled, mirrored, relit, blurred to 64 px frames, noisy."""
    import cv2

    made = np.empty((len(crops), INPUT, INPUT, 3), np.uint8)
    for index, crop in enumerate(crops):
        side = crop.shape[0]
        scale = INPUT / side * rng.uniform(0.9, 1.12)
        angle, shift = rng.normal(0, 0.05), rng.normal(0, 0.03, 2) * INPUT
        c, s = scale * np.cos(angle), scale * np.sin(angle)
        flip = -1.0 if rng.random() < 0.5 else 1.0
        matrix = np.array([[c * flip, -s, 0.0], [s * flip, c, 0.0]])
        matrix[:, 2] = INPUT / 2 + shift - matrix[:, :2] @ (side / 2, side / 2)
        image = cv2.warpAffine(
            crop, matrix, (INPUT, INPUT), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        kind = rng.random()
        if kind < 0.45:  # as from a 64 px frame: about 30 to 44 px across a face
            small = int(rng.integers(28, 48))
            image = cv2.resize(image, (small, small), interpolation=cv2.INTER_AREA)
            if rng.random() < 0.5:
                image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 0.9))
            image = cv2.resize(image, (INPUT, INPUT), interpolation=cv2.INTER_LINEAR)
        elif kind < 0.6:
            image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.2))
        gain, bias = rng.uniform(0.85, 1.15, 3) * rng.uniform(0.85, 1.15), rng.uniform(-12, 12)
        noisy = image * gain + bias + rng.normal(0, rng.uniform(0, 5), image.shape)
        made[index] = np.clip(noisy, 0, 255).astype(np.uint8)
    return made


def _pairs(
    people: NDArray[np.int64], batch: int, steps: int, rng: np.random.Generator
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Per step: rows of two different pictures of each of `batch` people."""
    rows = {int(p): np.flatnonzero(people == p) for p in np.unique(people)}
    usable = np.array([p for p, r in rows.items() if len(r) > 1])
    if len(usable) < 2:
        raise InputError("identity training needs at least two people with two pictures each")
    size = min(batch, len(usable))
    for _ in range(steps):
        chosen = rng.choice(usable, size, replace=False)
        picked = np.array([rng.choice(rows[int(p)], 2, replace=False) for p in chosen])
        yield picked[:, 0], picked[:, 1]


def train(
    params: IdentityParams, people: People, folder: Path, seed: int, history: History | None = None
) -> dict[str, float]:
    """Trains on people that are not held out, writes the model to `folder`, returns held-out figures.

    Supervised contrast: among the batch, a picture must find the other picture of the same person.
    """
    import torch
    from torch.nn import functional as F

    from components.core.seeds import derive, seed_everything

    seed_everything(derive(seed, "identity"))
    rng = np.random.default_rng(derive(seed, "identity", "data"))
    table = people.table
    training = ~table["held_out"].to_numpy()
    crops, owners = people.faces[training], table["person"].to_numpy()[training]
    network = _network(params.width).to(memory_format=torch.channels_last).train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=params.learning_rate, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, params.learning_rate, total_steps=params.steps + 1, pct_start=0.2
    )
    loss = torch.zeros(())
    for step, (first, second) in enumerate(_pairs(owners, params.batch, params.steps, rng), 1):
        images = augmented(crops[np.concatenate([first, second])], rng)
        vectors = network(torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1)  # channels last
        a, b = vectors.chunk(2)
        everything = torch.cat([a, b])
        logits = everything @ everything.T / TEMPERATURE
        count = len(a)
        logits.fill_diagonal_(-1e4)
        target = torch.cat([torch.arange(count) + count, torch.arange(count)])
        loss = F.cross_entropy(logits, target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if history is not None and (step % LOG_EVERY == 0 or step == params.steps):
            history.append((step, round(loss.item(), 5)))
    network = network.to(memory_format=torch.contiguous_format)
    model = IdentityModel(network, {"name": NAME, "width": params.width, "threshold": 0.5}, "")
    figures, threshold = measure(model, people, derive(seed, "identity", "measure"))
    facts = {
        "name": NAME, "width": params.width, "embedding": EMBEDDING, "input": INPUT,
        "threshold": round(threshold, 4),
        "training": {
            "data": "rendered people, seeds disjoint from the corpus", "persons": int(len(np.unique(owners))),
            "pictures": int(training.sum()), "steps": params.steps, "final_loss": round(loss.item(), 5),
        },
        "held_out": figures,
    }  # fmt: skip
    IdentityModel(network, facts, "").save(folder)
    return {f"identity_{key}": value for key, value in figures.items()}


def measure(model: IdentityModel, people: People, seed: int) -> tuple[dict[str, float], float]:
    """Held-out people: AUC of same against different person, top-1 of 16; and the best cosine threshold."""
    from sklearn.metrics import roc_auc_score, roc_curve

    chosen = people.table["held_out"].to_numpy()
    owners = people.table["person"].to_numpy()[chosen]
    vectors = model.embed(people.faces[chosen])
    rng = np.random.default_rng(seed)
    small = model.embed(low_resolution(people.faces[chosen]))
    upper = np.triu_indices(len(owners), 1)
    same = (owners[:, None] == owners[None, :])[upper]
    figures = {"auc": round(float(roc_auc_score(same, (vectors @ vectors.T)[upper])), 5)}
    crossed = (small @ vectors.T)[upper]
    figures["auc_low_resolution"] = round(float(roc_auc_score(same, crossed)), 5)
    false, true, cut = roc_curve(same, (vectors @ vectors.T)[upper])
    best = int(np.argmax(true - false))
    figures["balanced_accuracy"] = round(float((true[best] + 1 - false[best]) / 2), 5)
    hits = []
    names = np.unique(owners)
    for _ in range(60):
        group = rng.choice(names, min(16, len(names)), replace=False)
        pairs = [rng.permutation(np.flatnonzero(owners == p))[:2] for p in group]
        pairs = [p for p in pairs if len(p) == 2]
        gallery, probes = vectors[[p[0] for p in pairs]], vectors[[p[1] for p in pairs]]
        hits.append(float(((probes @ gallery.T).argmax(1) == np.arange(len(pairs))).mean()))
    figures["nearest_of_16"] = round(float(np.mean(hits)), 5)
    return figures, float(cut[best])


def low_resolution(crops: NDArray[np.uint8], size: int = 40) -> NDArray[np.uint8]:
    """Crops as they come out of a 64 px frame: averaged down to `size` and enlarged again."""
    import cv2

    shape = (crops.shape[2], crops.shape[1])
    return np.stack(
        [cv2.resize(cv2.resize(c, (size, size), interpolation=cv2.INTER_AREA), shape) for c in crops]
    )
