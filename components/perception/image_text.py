"""The small image-text judge: how well a text fits a picture, by four criteria (in the place of Gemini).

Two towers meet in one space a criterion: a picture enters as what the frozen attribute model makes of it (the
probabilities of every value), a text as the pooled embedding of the frozen text encoder. Both are trained
together on statements of which each part is right, wrong or left out, and on how visible what is said is; a
grade is 1 for what is said rightly, 0 for what is said wrongly, half for what is left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
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
from components.perception import text as texts
from components.perception import wording
from components.perception.attributes import AttributeModel
from components.perception.text import TextEncoder

if TYPE_CHECKING:
    from components.perception.people import People

NAME = "small-image-text"
MADE_BY = "syncdreamer stage perception"
CRITERIA = ("identity", "pose", "scene", "motion")
LEFT_OUT = 0.5
"""Grade of what is not said: worse than saying it, better than saying it wrongly."""
GRADED: dict[str, tuple[str, ...]] = {
    "identity": ("hair", "attire", "accessories"),
    "pose": ("posture", "head", "gaze", "hands"),
    "scene": ("background", "objects"),
}
WRONG = 0.3
"""Chance that a statement of the training texts is exchanged for a wrong one."""


def picture_features(reading: Mapping[str, Any]) -> NDArray[np.float32]:
    """A reading of `AttributeModel` (or plain attributes) as numbers in [0,1], (F,): per value
    how sure perception is that it shows."""
    sure = reading.get("probabilities", {})
    values: list[float] = []
    for name, options in words.SCALARS.items():
        chance = float(sure.get(name, 1.0))
        values += [chance if reading.get(name) == option else 0.0 for option in options]
    for name, options in words.LISTS.items():
        given = sure.get(name, {})
        values += [float(given.get(o, o in (reading.get(name) or ()))) for o in options]
    return np.asarray(values, np.float32)


def _overlap(seen: Sequence[str], said: Sequence[str]) -> float | None:
    union = set(seen) | set(said)
    return len(set(seen) & set(said)) / len(union) if union else None


def grade(attributes: Mapping[str, Any], said: Mapping[str, Any], action: str | None) -> list[float]:
    """What the judge should answer for each criterion, in [0,1], about a statement on a known picture."""
    grades = []
    for names in GRADED.values():
        parts = []
        for name in names:
            seen = attributes.get(name)
            if name in words.LISTS:
                told = _overlap(seen or (), said.get(name) or ())
                if told is not None:
                    parts.append(told)
            elif seen not in (None, words.UNKNOWN):
                value = said.get(name, words.UNKNOWN)
                parts.append(LEFT_OUT if value == words.UNKNOWN else float(value == seen))
        grades.append(sum(parts) / len(parts) if parts else LEFT_OUT)
    if action is None:
        plausible = LEFT_OUT
    else:
        plausible = float(not (action in words.HAND_ACTIONS and attributes.get("hands") == "not visible"))
    return [*grades, plausible]


class JudgeNet(nn.Module):
    """Picture features (B,F) and text features (B,T) -> logits (B,4), one a criterion."""

    def __init__(self, picture: int, text: int, dim: int) -> None:
        super().__init__()
        count = len(CRITERIA)
        self.dim = dim
        self.picture = nn.Sequential(nn.Linear(picture, 2 * dim), nn.ReLU(), nn.Linear(2 * dim, count * dim))
        self.text = nn.Sequential(nn.Linear(text, 2 * dim), nn.ReLU(), nn.Linear(2 * dim, count * dim))
        self.bias = nn.Parameter(torch.zeros(count))

    def forward(self, picture: Tensor, text: Tensor) -> Tensor:
        shape = (-1, len(CRITERIA), self.dim)
        seen, said = self.picture(picture).view(shape), self.text(text).view(shape)
        return (seen * said).sum(2) / self.dim**0.5 + self.bias


class ImageTextModel:
    """Frozen; `load(folder, attributes)` reads what `train` wrote. The text tower is `TextEncoder`."""

    def __init__(
        self, net: JudgeNet, encoder: TextEncoder, attributes: AttributeModel | None, config: dict[str, Any]
    ) -> None:
        self.net = net.eval().requires_grad_(False)
        self.encoder = encoder
        self.attributes = attributes
        self.config = config
        self._sister: Path | None = None

    @classmethod
    def load(cls, folder: Path, attributes: AttributeModel | None = None) -> ImageTextModel:
        """Reads config.json, model.safetensors and the text encoder beside them.

        Without `attributes`, `score` reads the attribute model of the sister folder `attributes`.

        Raises:
            InputError: a file is missing.
        """
        config = read_json(require(folder / "config.json", MADE_BY))
        net = JudgeNet(config["picture"], config["text"], config["dim"])
        net.load_state_dict(load_file(require(folder / "model.safetensors", MADE_BY)))
        made = cls(net, TextEncoder.load(folder), attributes, config)
        made._sister = folder.parent / "attributes"
        return made

    def save(self, folder: Path) -> None:
        """Writes the files that `load` reads; the same model gives the same bytes."""
        self.encoder.save(folder)
        write_bytes(folder / "model.safetensors", save(self.net.state_dict()))
        write_json(folder / "config.json", self.config)

    @torch.no_grad()
    def criteria(self, readings: Sequence[Mapping[str, Any]], prompts: Sequence[str]) -> NDArray[np.float32]:
        """Scores (N,4) in [0,1] in the order of `CRITERIA`, of N readings of pictures and N texts."""
        if not len(prompts):
            return np.zeros((0, len(CRITERIA)), np.float32)
        pictures = torch.from_numpy(np.stack([picture_features(reading) for reading in readings]))
        return self.net(pictures, self.encoder.pooled(list(prompts))).sigmoid().numpy()

    def score(self, image: NDArray[np.uint8], text: str) -> float:
        """Global fit of a text to a picture (H,W,3) uint8, in [0,1]: the mean of the four criteria.

        Raises:
            ValueError: the model was made without an attribute model to see with.
        """
        if self.attributes is None and self._sister is not None and self._sister.is_dir():
            self.attributes = AttributeModel.load(self._sister)
        if self.attributes is None:
            raise ValueError("this image-text model has no attribute model to see with")
        return float(self.criteria(self.attributes.predict(image[None]), [text]).mean())


def _corrupted(attributes: Mapping[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """The attributes with each, by chance, exchanged for a random one."""
    other = wording.any_attributes(rng)
    wrong = float(rng.choice((0.0, WRONG, 0.7)))
    return {n: (other[n] if rng.random() < wrong else v) for n, v in attributes.items() if n in other}


MISREAD = 0.06
"""Chance that an imperfect perception misreads a value."""


def _misread(attributes: Mapping[str, Any], rng: np.random.Generator) -> NDArray[np.float32]:
    """Picture features as an imperfect perception would give them: some values wrong, none quite sure."""
    other = wording.any_attributes(rng)
    read = {name: other[name] if rng.random() < MISREAD else attributes.get(name) for name in other}
    features = picture_features(read)
    return (features * rng.uniform(0.55, 1.0, len(features))).astype(np.float32)


def _examples(
    pool: Sequence[Mapping[str, Any]], count: int, rng: np.random.Generator
) -> tuple[NDArray[np.float32], list[str], NDArray[np.float32]]:
    """`count` pictures (features), statements and grades; half about people of `pool`, half invented."""
    pictures, statements, grades = [], [], []
    for _ in range(count):
        real = len(pool) > 0 and rng.random() < 0.5
        attributes = pool[int(rng.integers(len(pool)))] if real else wording.any_attributes(rng)
        pictures.append(_misread(attributes, rng))
        statement = wording.any_statement(rng, _corrupted(attributes, rng))
        statements.append(statement.text)
        grades.append(grade(attributes, statement.attributes, statement.action))
    return np.stack(pictures), statements, np.asarray(grades, np.float32)


def _auc(positive: NDArray[np.float32], negative: NDArray[np.float32]) -> float:
    """Chance that a positive scores above a negative, ties half."""
    difference = positive[:, None] - negative[None, :]
    return float((difference > 0).mean() + 0.5 * (difference == 0).mean())


def train(
    people: People,
    attributes: AttributeModel,
    out_dir: Path,
    seed: int,
    *,
    text_steps: int = 400,
    examples: int = 6000,
    epochs: int = 20,
    dim: int = 48,
) -> dict[str, float]:
    """Trains the text encoder and the judge and saves both below `out_dir`.

    Returns:
        `text_accuracy`; `image_text_auc`: right captions of held-out people against other people's captions;
        `image_text_error`: mean distance to the grade on held-out statements.
    """

    told = texts.train(out_dir, seed, steps=text_steps)
    encoder = TextEncoder.load(out_dir)
    held_out = people.table["held_out"].to_numpy(dtype=bool)
    truth = [json.loads(row) for row in people.table["attributes"]]
    known = [row for row, out in zip(truth, held_out, strict=True) if not out]
    rng = np.random.default_rng(derive(seed, NAME, "examples"))
    pictures, statements, grades = _examples(known, examples, rng)
    spoken = torch.cat([encoder.pooled(statements[b : b + 128]) for b in range(0, examples, 128)])
    seed_everything(derive(seed, NAME))
    net = JudgeNet(pictures.shape[1], spoken.shape[1], dim)
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=1e-3)
    batch = 128
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 4e-3, total_steps=epochs * (examples // batch), pct_start=0.1
    )
    seen, wanted = torch.from_numpy(pictures), torch.from_numpy(grades)
    for _ in range(epochs):
        order = torch.from_numpy(rng.permutation(examples))
        for begin in range(0, examples - batch + 1, batch):
            rows = order[begin : begin + batch]
            loss = functional.binary_cross_entropy_with_logits(net(seen[rows], spoken[rows]), wanted[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    config = {
        "name": NAME, "dim": dim, "picture": int(pictures.shape[1]), "text": int(spoken.shape[1]),
        "criteria": list(CRITERIA),
    }  # fmt: skip
    model = ImageTextModel(net, encoder, attributes, config)
    model.save(out_dir)
    strangers = np.flatnonzero(held_out)
    readings = attributes.predict(people.pictures[strangers])
    return {**told, **_measure(model, readings, [truth[row] for row in strangers], derive(seed, NAME))}


def _measure(
    model: ImageTextModel,
    readings: Sequence[Mapping[str, Any]],
    truth: Sequence[Mapping[str, Any]],
    seed: int,
) -> dict[str, float]:
    rng = np.random.default_rng(seed)
    own = [wording.prompt(row, None) for row in truth]
    other = np.roll(np.arange(len(own)), max(1, len(own) // 3))
    right = model.criteria(readings, own)[:, :3].mean(1)
    wrong = model.criteria(readings, [own[index] for index in other])[:, :3].mean(1)
    statements = [wording.any_statement(rng, _corrupted(row, rng)) for row in truth]
    grades = np.asarray(
        [grade(row, s.attributes, s.action) for row, s in zip(truth, statements, strict=True)]
    )
    error = np.abs(model.criteria(readings, [s.text for s in statements]) - grades).mean()
    return {"image_text_auc": round(_auc(right, wrong), 6), "image_text_error": round(float(error), 6)}
