"""The enhancer at work: picture + instruction -> motion-aware prompt, from one self-contained folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.core.errors import InputError
from components.core.files import write_bytes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from components.enhancer.model import Enhancer
    from components.perception.attributes import AttributeModel

ATTRIBUTES = "attributes"
"""Subfolder with the attribute model whose reading goes into the request."""


def pack(folder: Path, attributes: Path) -> None:
    """Copies the attribute model into the enhancer's folder, so that the folder works on its own."""
    for path in sorted(attributes.iterdir()):
        if path.is_file():
            write_bytes(folder / ATTRIBUTES / path.name, path.read_bytes())


@dataclass
class PromptEnhancer:
    """The trained model with the attribute model that reads the picture for it."""

    model: Enhancer
    attributes: AttributeModel

    def read(self, image: NDArray[np.uint8]) -> dict[str, Any]:
        """Attributes of a picture (H,W,3) uint8 as perception sees them."""
        return self.attributes.predict(image[None])[0]

    def enhance(self, image: NDArray[np.uint8], instruction: str, seed: int = 0) -> str:
        """A motion-aware prompt for a reference picture (H,W,3) uint8 RGB; decoding is greedy.

        `seed` is there for sampling models; greedy decoding gives the same text for every seed.

        Raises:
            InputError: the instruction is empty or the picture has no three channels.
        """
        from components.enhancer.pairs import request

        if not instruction.strip():
            raise InputError("the instruction is empty: say what the person should do, e.g. 'nod slowly'")
        if image.ndim != 3 or image.shape[2] != 3:
            raise InputError(f"a picture must be (H,W,3), got {image.shape}")
        asked = request(instruction, self.read(image))
        text = self.model.complete(image[None], [asked], seed=seed)[0]
        return sentences(text)


def sentences(text: str) -> str:
    """The model writes lower case; sentences get their capitals back."""
    parts = [part[0].upper() + part[1:] for part in text.split(". ") if part]
    return ". ".join(parts)


def load(folder: Path) -> PromptEnhancer:
    """Reads an enhancer that a stage saved: artifacts/enhancer_sft/model or artifacts/enhancer_grpo/model.

    Raises:
        InputError: a file is missing or does not fit.
    """
    from components.enhancer.model import Enhancer
    from components.perception.attributes import AttributeModel

    folder = Path(folder)
    return PromptEnhancer(Enhancer.load(folder), AttributeModel.load(folder / ATTRIBUTES))
