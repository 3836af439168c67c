"""Near-duplicates among 650,000 clips: time (CPU) and memory of the search, every planted copy found.

Scenes have some hundred takes each, as the recordings of a collection do; takes of a scene look alike and say
other things, so that picture and sound must both be compared.
"""

from __future__ import annotations

import resource
import time

import numpy as np

from components.curation.duplicates import Print, find
from components.curation.params import CurateParams

ROWS, SCENES, HOPS, COPIES = 650_000, 20_000, 120, 2_000
LIMIT_S, LIMIT_GB = 900.0, 3.0


def clips(rng: np.random.Generator) -> tuple[list[Print], dict[str, str]]:
    """The clips, and the original of each planted copy."""
    scenes = rng.integers(0, 256, (SCENES, 64), np.uint8)
    own = rng.integers(0, SCENES, ROWS)
    noise = np.packbits(rng.random((4096, 512)) < 0.08, axis=1)
    pictures = scenes[own] ^ noise[rng.integers(0, len(noise), ROWS)]
    sounds = rng.integers(0, 65536, (ROWS, HOPS), np.uint16)
    chosen = rng.choice(ROWS, 2 * COPIES, replace=False)
    first, second = np.sort(chosen.reshape(COPIES, 2), axis=1).T
    pictures[second] = pictures[first] ^ np.packbits(rng.random((COPIES, 512)) < 0.02, axis=1)
    sounds[second, 5:] = sounds[first, :-5]  # 100 ms later
    made = [Print(str(row), str(row), pictures[row].tobytes(), sounds[row].tobytes()) for row in range(ROWS)]
    return made, dict(zip(map(str, second), map(str, first), strict=True))


def test_search_over_650k_clips() -> None:
    made, planted = clips(np.random.default_rng(0))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    begin = time.process_time()
    found = find(made, CurateParams())
    seconds = time.process_time() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"\nnear-duplicates among {ROWS:,} clips of {SCENES:,} scenes: {seconds:.0f} s (CPU), "
        f"peak {peak:.1f} GB, of which the prints are {before:.1f}; "
        f"{len(found):,} found of {len(planted):,} planted"
    )
    assert found == planted
    assert seconds <= LIMIT_S and peak <= LIMIT_GB
