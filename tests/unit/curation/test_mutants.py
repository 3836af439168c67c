"""Three hundred damaged and odd files: probing and decoding end, raise nothing and say what is wrong."""

from __future__ import annotations

import numpy as np
import pytest

from components.core.media import SAMPLE_RATE
from components.curation.probe import Probe, probe
from components.curation.steps.decode import LEAST_SIDE, Decoder
from tests.mutations import MAKERS, mutants

COUNT = 300
FRAMES = 40
LIMIT_S = 20.0


@pytest.fixture(scope="module")
def looked_at(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, Probe, Decoder | None, int]]:
    """(kind, claims, decoder, frames) of every mutant."""
    import time

    folder = tmp_path_factory.mktemp("mutants")
    rows, columns = np.mgrid[0:64, 0:64]
    frames = np.stack([np.stack([rows + n, columns * 2 - n, rows ^ columns], -1) for n in range(FRAMES)])
    rng = np.random.default_rng(3)
    sound = rng.normal(0, 0.1, FRAMES * SAMPLE_RATE // 25).astype(np.float32)
    found = []
    for number, mutant in enumerate(mutants(COUNT, 11, (frames % 256).astype(np.uint8), sound)):
        path = folder / f"{number}{mutant.ending}"
        path.write_bytes(mutant.data)
        begin = time.process_time()
        claims, decoder, length = probe(path), None, 0
        if claims.problem is None:
            decoder = Decoder(path, 512, 30.0, claimed=claims.duration)
            length = sum(len(stretch.frames) for stretch in decoder.stretches())
        assert time.process_time() - begin < LIMIT_S, f"{mutant.kind} {number}"
        found.append((mutant.kind, claims, decoder, length))
    return found


def test_every_file_is_read_to_its_end_or_has_a_problem(looked_at) -> None:
    """Files without a picture that could be decoded get their reason from the measurement (see the slow
    test of the stage)."""
    assert len(looked_at) == COUNT and {row[0] for row in looked_at} == set(MAKERS)
    problems = [c.problem or d.problem for _, c, d, _ in looked_at if c.problem or d.problem]
    assert len(problems) > COUNT / 4
    assert all(problem.startswith(("corrupt: ", "truncated: ")) for problem in problems)
    assert max(length for *_, length in looked_at) <= 25 * 31


def test_damage_does_not_pass_for_a_sound_file(looked_at) -> None:
    for kind, claims, decoder, length in looked_at:
        if kind in ("truncated", "empty") and claims.problem is None:
            told = decoder.problem or decoder.errors
            assert told or length == FRAMES, f"{kind}: {length} frames pass for the whole"


def test_hours_that_are_only_claimed_cost_nothing(looked_at) -> None:
    lengths = [length for kind, _, _, length in looked_at if kind == "hours claimed"]
    assert lengths and max(lengths) <= FRAMES


def test_pictures_too_small_to_look_at_are_told(looked_at) -> None:
    small = [
        decoder.problem
        for kind, claims, decoder, _ in looked_at
        if kind == "odd sizes" and min(claims.width, claims.height) < LEAST_SIDE
    ]
    assert small and all(problem.startswith("corrupt: its pictures have ") for problem in small)
