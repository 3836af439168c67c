"""A case: one portrait, one sound, one prompt, and what is known of the real clip."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from components.core.files import digest_file


@dataclass(frozen=True)
class Case:
    """Files lie in `folder` as {id}.png (portrait), {id}.wav (sound that is given), {id}_clean.wav (the
    speech without what was mixed in), {id}_other.wav (another sentence: control), and where they exist
    {id}_truth.mp4 (the real clip), {id}_copy.mp4 (other footage of the person), {id}_pose.mp4.

    frames: at 25 fps. snr_db: level of the speech over the noise mixed in, None without.
    """

    id: str
    kind: str
    person: str
    language: str
    framing: str
    delivery: str
    instruction: str
    prompt: str
    frames: int
    folder: Path
    snr_db: float | None = None

    def path(self, name: str) -> Path:
        """Of image, audio, clean, other, truth, copy, pose, still, driving, square; it need not exist."""
        if name == "image":
            return self.folder / f"{self.id}.png"
        if name == "audio":
            return self.folder / f"{self.id}.wav"
        if name == "driving":
            name = "truth"
        ending = {"square": "png", "clean": "wav", "other": "wav"}.get(name, "mp4")
        return self.folder / f"{self.id}_{name}.{ending}"

    def facts(self) -> dict[str, Any]:
        """Everything but the folder, for JSON."""
        return {name: value for name, value in asdict(self).items() if name != "folder"}

    def digest(self, *names: str) -> dict[str, str]:
        """SHA-256 of the named files that exist."""
        return {name: digest_file(self.path(name)) for name in names if self.path(name).exists()}
