"""What can be seen in a frame: the small attribute model (in the place of Qwen2-VL-7B-Instruct).

Head, body and scene are looked at apart; head, gaze and expression are told from the face mesh. Attire is a
colour and a garment, hair a style and a colour, each with a head of its own, so that a combination never seen
in training can still be told. A value whose probability stays below the threshold is "unknown": only what is
observed is reported.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.nn import functional

from components.core import vocabulary as words
from components.core.files import read_json, write_bytes, write_json
from components.core.paths import require
from components.core.seeds import derive, seed_everything
from components.perception.trunk import MESH_FEATURES, Eyes, Viewer, Views, augment, views

if TYPE_CHECKING:
    from components.perception.people import People

NAME = "small-attributes"
MADE_BY = "syncdreamer stage perception"
THRESHOLD = 0.5
NOTHING = "nothing"
HEADS: dict[str, tuple[str, ...]] = {
    "colour": words.GARMENT_COLOURS,
    "garment": words.GARMENTS,
    "hair_style": words.HAIR_STYLES,
    "hair_colour": words.HAIR_COLOURS,
    "background": words.BACKGROUNDS,
    "posture": words.POSTURES,
    "head": words.HEADS,
    "gaze": words.GAZES,
    "hands": words.HANDS,
    "expression": words.EXPRESSIONS,
    "object": (NOTHING, *words.OBJECTS),
}
MIRRORED = {
    "turned left": "turned right",
    "turned right": "turned left",
    "to the left": "to the right",
    "to the right": "to the left",
}
IGNORED = -100
FACE_SCALARS = ("hair", "head", "gaze", "expression")
"""Unknown where no face is found."""


MESH_HEADS = ("head", "gaze", "expression")
SCENE_HEADS = ("background",)


class MeshNet(nn.Module):
    """Mesh features (B,M) -> logits of head, gaze and expression; `mean` and `scale` standardise."""

    def __init__(self, hidden: int = 64) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(MESH_FEATURES))
        self.register_buffer("scale", torch.ones(MESH_FEATURES))
        self.body = nn.Sequential(nn.Linear(MESH_FEATURES, hidden), nn.ReLU(), nn.Dropout(0.3))
        self.heads = nn.ModuleDict({name: nn.Linear(hidden, len(HEADS[name])) for name in MESH_HEADS})

    def forward(self, mesh: Tensor) -> dict[str, Tensor]:
        features = self.body(((mesh - self.mean) / self.scale).clamp(-4, 4))
        return {name: head(features) for name, head in self.heads.items()}


class AttributeNet(nn.Module):
    """The views -> logits per head, (B,classes), and of each accessory (B,5)."""

    def __init__(self, width: int, dim: int) -> None:
        super().__init__()
        self.eyes = Eyes(width, dim)
        self.heads = nn.ModuleDict(
            {
                name: nn.Linear(dim // 2 if name in SCENE_HEADS else 2 * dim, len(values))
                for name, values in HEADS.items()
                if name not in MESH_HEADS
            }
        )
        self.accessories = nn.Linear(2 * dim, len(words.ACCESSORIES))
        self.mesh = MeshNet()

    def pictured(self, head: Tensor, body: Tensor, scene: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """What the pictures tell: all heads but the mesh's, and the accessories."""
        near, wide, around = self.eyes(head, body, scene)
        both = torch.cat([near, wide], 1)
        logits = {name: head(around if name in SCENE_HEADS else both) for name, head in self.heads.items()}
        return logits, self.accessories(both)

    def forward(
        self, head: Tensor, body: Tensor, scene: Tensor, mesh: Tensor
    ) -> tuple[dict[str, Tensor], Tensor]:
        logits, worn = self.pictured(head, body, scene)
        return {**logits, **self.mesh(mesh)}, worn


def _classes(attributes: dict[str, Any]) -> dict[str, int]:
    """Class of each head; IGNORED where the attribute is unknown."""

    def index(name: str, value: str) -> int:
        return HEADS[name].index(value) if value in HEADS[name] else IGNORED

    colour, _, garment = attributes.get("attire", words.UNKNOWN).partition(" ")
    style, _, hair_colour = attributes.get("hair", words.UNKNOWN).partition(" ")
    held = attributes.get("objects") or [NOTHING]
    plain = ("background", "posture", "head", "gaze", "hands", "expression")
    return {
        "colour": index("colour", colour),
        "garment": index("garment", garment),
        "hair_style": index("hair_style", style),
        "hair_colour": index("hair_colour", hair_colour),
        "object": index("object", held[0]),
        **{name: index(name, attributes.get(name, words.UNKNOWN)) for name in plain},
    }


def mirrored(attributes: dict[str, Any]) -> dict[str, Any]:
    """The attributes of the picture's mirror image."""
    return {
        name: MIRRORED.get(value, value) if name in ("head", "gaze") else value
        for name, value in attributes.items()
    }


class AttributeModel:
    """Frozen; `load(folder)` reads what `train` wrote."""

    def __init__(self, net: AttributeNet, config: dict[str, Any]) -> None:
        self.net = net.eval().requires_grad_(False)
        self.config = config
        self._viewer: Viewer | None = None

    @classmethod
    def load(cls, folder: Path) -> AttributeModel:
        """Reads config.json and model.safetensors.

        Raises:
            InputError: a file is missing.
        """
        config = read_json(require(folder / "config.json", MADE_BY))
        net = AttributeNet(config["width"], config["dim"])
        net.load_state_dict(load_file(require(folder / "model.safetensors", MADE_BY)))
        return cls(net, config)

    def save(self, folder: Path) -> None:
        """Writes the files that `load` reads; the same model gives the same bytes."""
        write_bytes(folder / "model.safetensors", save(self.net.state_dict()))
        write_json(folder / "config.json", self.config)

    def predict(self, frames: NDArray[np.uint8], threshold: float = THRESHOLD) -> list[dict[str, Any]]:
        """Attributes of frames (N,H,W,3) uint8 RGB of any framing; the largest centred square is looked at.

        Returns:
            per frame the schema of `core.vocabulary` (scalars: value or "unknown"; lists: values), and under
            `probabilities` how sure each is, in [0,1] (lists: of each value). Where no face is found, what
            the face tells is unknown.
        """
        if self._viewer is None:
            self._viewer = Viewer()
        return self.read(self._viewer.look(frames), threshold)

    @torch.no_grad()
    def read(self, looked: Views, threshold: float = THRESHOLD, batch: int = 64) -> list[dict[str, Any]]:
        """As `predict`, from views cut before."""
        found = []
        for begin in range(0, len(looked), batch):
            part = looked.take(slice(begin, begin + batch))
            logits, worn = self.net(*part.tensors(), torch.from_numpy(part.mesh))
            chances = {name: values.softmax(1).numpy() for name, values in logits.items()}
            carried = worn.sigmoid().numpy()
            for row, seen in enumerate(part.seen):
                told = _read({name: values[row] for name, values in chances.items()}, carried[row], threshold)
                found.append(told if seen else told | dict.fromkeys(FACE_SCALARS, words.UNKNOWN))
        return found


def _read(
    chances: dict[str, NDArray[np.float32]], worn: NDArray[np.float32], threshold: float
) -> dict[str, Any]:
    best = {name: (HEADS[name][int(p.argmax())], float(p.max())) for name, p in chances.items()}
    style, sure_style = best["hair_style"]
    colour, sure_colour = best["hair_colour"]
    joined = {
        "attire": (f"{best['colour'][0]} {best['garment'][0]}", min(best["colour"][1], best["garment"][1])),
        "hair": (style, sure_style)
        if style == "bald"
        else (f"{style} {colour}", min(sure_style, sure_colour)),
    }
    scalars = {name: joined.get(name) or best[name] for name in words.SCALARS}
    held, sure_held = best["object"]
    known = {name: value if sure >= threshold else words.UNKNOWN for name, (value, sure) in scalars.items()}
    probabilities: dict[str, Any] = {name: round(sure, 4) for name, (_, sure) in scalars.items()}
    probabilities["accessories"] = {
        name: round(float(sure), 4) for name, sure in zip(words.ACCESSORIES, worn, strict=True)
    }
    probabilities["objects"] = {
        name: round(float(sure), 4) for name, sure in zip(HEADS["object"], chances["object"], strict=True)
    }
    return {
        **known,
        "accessories": [n for n, sure in zip(words.ACCESSORIES, worn, strict=True) if sure >= 0.5],
        "objects": [held] if held != NOTHING and sure_held >= threshold else [],
        "probabilities": probabilities,
    }


def accuracy(found: list[dict[str, Any]], truth: list[dict[str, Any]]) -> dict[str, float]:
    """Share of pictures told right, per attribute (lists: the whole list), in [0,1]."""
    return {
        name: sum(row[name] == wanted[name] for row, wanted in zip(found, truth, strict=True)) / len(truth)
        for name in (*words.SCALARS, *words.LISTS)
    }


def people_views(people: People) -> Views:
    """Views of the shared set of rendered people."""
    boxes = list(people.table[["x0", "y0", "x1", "y1"]].itertuples(index=False, name=None))
    return views(people.pictures, people.faces, boxes)


def train(
    people: People,
    out_dir: Path,
    seed: int,
    *,
    looked: Views | None = None,
    epochs: int = 10,
    batch: int = 32,
    width: int = 16,
    learning_rate: float = 4e-3,
) -> dict[str, float]:
    """Trains on the people that are not held out and saves the model below `out_dir`.

    `looked`: their views, if they were cut before.

    Returns:
        `accuracy_<attribute>` on the held-out people, in [0,1].
    """
    seed_everything(derive(seed, NAME))
    held_out = people.table["held_out"].to_numpy(dtype=bool)
    truth = [json.loads(text) for text in people.table["attributes"]]
    config: dict[str, Any] = {
        "name": NAME, "width": width, "dim": 96, "epochs": epochs, "threshold": THRESHOLD
    }  # fmt: skip
    net = AttributeNet(width, config["dim"]).to(memory_format=torch.channels_last)
    looked = people_views(people) if looked is None else looked
    rows = np.flatnonzero(~held_out)
    classes = [[_classes(view(row)) for row in truth] for view in (dict, mirrored)]
    labels = {name: torch.tensor([[row[name] for row in side] for side in classes]) for name in HEADS}
    worn = torch.tensor([[float(v in row["accessories"]) for v in words.ACCESSORIES] for row in truth])
    rng = np.random.default_rng(derive(seed, NAME, "order"))
    net.train()
    _train_mesh(net.mesh, looked, {name: labels[name][0] for name in MESH_HEADS}, rows, rng)
    steps = epochs * (len(rows) // batch)
    weights = [*net.eyes.parameters(), *net.heads.parameters(), *net.accessories.parameters()]
    optimizer, schedule = _optimizer(weights, learning_rate, steps)
    for _ in range(epochs):
        order = rng.permutation(rows)
        for begin in range(0, len(order) - batch + 1, batch):
            chosen = order[begin : begin + batch]
            flip = torch.from_numpy(rng.random(batch) < 0.5)
            logits, carried = net.pictured(*augment(looked.take(chosen).tensors(), flip, rng))
            index = torch.from_numpy(chosen)
            loss = functional.binary_cross_entropy_with_logits(carried, worn[index]) * 3
            for name, values in logits.items():
                loss = loss + _told(values, labels[name][flip.long(), index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    model = AttributeModel(net.to(memory_format=torch.contiguous_format), config)
    model.save(out_dir)
    kept = np.flatnonzero(held_out)
    scores = accuracy(model.read(looked.take(kept), threshold=0.0), [truth[row] for row in kept])
    return {f"accuracy_{name}": round(value, 6) for name, value in scores.items()}


def _told(logits: Tensor, wanted: Tensor) -> Tensor:
    """Cross-entropy over what is known; 0 where nothing is."""
    if not bool((wanted != IGNORED).any()):
        return logits.sum() * 0
    return functional.cross_entropy(logits, wanted, ignore_index=IGNORED)


def _optimizer(weights: list[nn.Parameter], rate: float, steps: int) -> tuple[Any, Any]:
    optimizer = torch.optim.AdamW(weights, lr=rate, weight_decay=0.03)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.15)
    return optimizer, schedule


def _train_mesh(
    net: MeshNet,
    looked: Views,
    labels: dict[str, Tensor],
    rows: NDArray[np.int64],
    rng: np.random.Generator,
    steps: int = 2400,
    batch: int = 64,
) -> None:
    """Fits head, gaze and expression to the mesh; pictures without a mesh are left out."""
    mesh = torch.from_numpy(looked.mesh)
    usable = rows[np.abs(looked.mesh[rows]).sum(1) > 0]
    if len(usable) < 2:
        return
    known = mesh[torch.from_numpy(usable)]
    net.mean.copy_(known.mean(0))
    net.scale.copy_(known.std(0).clamp(min=1e-3))
    optimizer, schedule = _optimizer(list(net.parameters()), 4e-3, steps)
    for _ in range(steps):
        chosen = torch.from_numpy(rng.choice(usable, batch))
        noise = (
            0.05
            * net.scale
            * torch.from_numpy(rng.standard_normal((batch, MESH_FEATURES)).astype(np.float32))
        )
        logits = net(mesh[chosen] + noise)
        loss = sum((_told(values, labels[name][chosen]) for name, values in logits.items()), torch.zeros(()))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
