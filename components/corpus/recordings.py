"""Real speech in the public domain: short LibriVox recordings, joined where they are too short.

They come from the source distribution of pocketsphinx 5.1.1 (`test/data/librivox`); see data/README.md.
"""

from __future__ import annotations

from pathlib import Path

from components.core.errors import InputError
from components.core.media import read_audio
from components.corpus.clips import join, trim
from components.corpus.speech import Speech

FOLDER = Path(__file__).parent / "data"
RECORDINGS = (("0870",), ("0890",), ("0920",), ("0930", "0880"))
WORDS = {
    "0870": "and mister john dashwood had then leisure to consider how much there might be prudently in his "
    "power to do for them",
    "0880": "he was not an ill disposed young man",
    "0890": "unless to be rather cold hearted and rather selfish is to be ill disposed",
    "0920": "had he married a more amiable woman he might have been made still more respectable than he was",
    "0930": "he might even have been made amiable himself",
}


def recording(number: int) -> Speech:
    """One of `RECORDINGS`, 5–8 s; its phoneme times are not known.

    Raises:
        InputError: there is no such recording, or its file is missing.
    """
    if not 0 <= number < len(RECORDINGS):
        raise InputError(f"recording {number}: there are {len(RECORDINGS)}")
    parts = [
        Speech(read_audio(FOLDER / f"austen_{name}.flac"), None, WORDS[name]) for name in RECORDINGS[number]
    ]
    speech = join(parts)
    return trim(speech, min(max(speech.seconds, 5.0), 8.0))
