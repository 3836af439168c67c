"""Suites: what may be declared, what is mixed in, and that cases are written once."""

from __future__ import annotations

import numpy as np
import pytest

from components.core.errors import InputError
from components.core.media import Video, read_audio, read_image, read_video, write_video, write_wav
from components.core.paths import Workspace
from components.evaluation.suites.declaration import KINDS, Suite, load_suite
from components.evaluation.suites.footage import at_25, fitted
from components.evaluation.suites.freeze import freeze, with_noise, with_voice


def test_shipped_suites_cover_every_kind():
    shipped = [load_suite(name) for name in ("demo", "public", "ablation")]
    assert {group.kind for suite in shipped for group in suite.groups} == set(KINDS)
    assert not load_suite("demo").uses_data and load_suite("public").uses_data


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"groups": [{"kind": "portrait"}]}, "one of curated, folder, clips"),
        ({"groups": [{"kind": "portrait", "clips": [{"image": "a.png"}]}]}, "image and an audio"),
        ({"groups": [{"kind": "portrait", "curated": {"count": 0}}]}, "groups.0.curated.count"),
        ({"seeds": []}, "seeds"),
        ({"groups": [{"kind": "portrai", "curated": {}}]}, "groups.0.kind"),
    ],
)
def test_mistakes_name_file_and_key(tmp_path, change, message):
    import yaml

    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({"title": "t", "groups": [{"kind": "portrait", "curated": {}}]} | change))
    with pytest.raises(InputError, match=r"mine\.yaml") as told:
        load_suite(str(path))
    assert message in str(told.value)


def test_an_unknown_suite_lists_the_shipped_ones():
    with pytest.raises(InputError, match="ablation, demo, public"):
        load_suite("dmeo")


@pytest.mark.parametrize("level", [20.0, 0.0, -6.0])
def test_noise_has_the_declared_level(level):
    speech = np.sin(np.arange(32_000) / 9).astype(np.float32) * 0.2
    mixed = with_noise(speech, level, 1)
    scale = float(mixed @ speech / (speech @ speech))  # where it would clip, both are scaled
    noise = mixed / scale - speech
    assert 10 * np.log10(np.mean(speech**2) / np.mean(noise**2)) == pytest.approx(level, abs=0.1)
    assert np.array_equal(mixed, with_noise(speech, level, 1)) and np.abs(mixed).max() <= 1


def test_another_voice_has_the_declared_level_and_silence_is_refused():
    speech = np.sin(np.arange(32_000) / 9).astype(np.float32) * 0.1
    other = np.sin(np.arange(32_000) / 31).astype(np.float32) * 0.4
    added = with_voice(speech, other, -6) - speech
    assert 10 * np.log10(np.mean(added**2) / np.mean(speech**2)) == pytest.approx(-6, abs=0.01)
    with pytest.raises(InputError, match="silent"):
        with_noise(np.zeros(640, np.float32), 0, 1)


def test_any_frame_rate_becomes_25():
    frames = np.arange(20, dtype=np.uint8)[:, None, None, None] * np.ones((1, 5, 4, 3), np.uint8)
    fast = at_25(Video(frames, np.arange(20) / 50, 50, None))
    assert fast[:, 0, 0, 0].tolist() == list(range(0, 20, 2)) and fast.shape == (10, 4, 4, 3)
    slow = at_25(Video(frames[:4], np.arange(4) / 12.5, 12.5, None))
    assert slow[:, 0, 0, 0].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert len(fitted(np.ones(100, np.float32), 2)) == 1280


def write_clip(path, seconds, shade):
    count = int(25 * seconds)
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(shade)
    sound = (0.2 * rng.standard_normal(640 * count)).astype(np.float32)
    write_video(path, np.full((count, 32, 24, 3), shade, np.uint8), sound)


def suite(**more) -> Suite:
    group = {"kind": "noisy_audio", "folder": {"pattern": "wild/*.mp4"}, "noise_snr_db": [10, 0],
             "instructions": ["nod", "smile"]}  # fmt: skip
    return Suite.model_validate({"title": "t", "name": "mine", "seconds": 2, "groups": [group]} | more)


def test_cases_are_written_once_with_everything_a_system_needs(tmp_path):
    data, workspace = tmp_path / "data", Workspace(tmp_path / "work")
    for name, seconds, shade in (("b", 3.0, 200), ("a", 1.6, 60), ("c", 0.4, 90)):
        write_clip(data / "wild" / f"{name}.mp4", seconds, shade)
    asked = []

    def enhance(picture, instruction):
        asked.append((picture.shape, instruction))
        return f"Person {picture[0, 0, 0]} will {instruction}."

    cases = freeze(suite(), workspace, data, enhance)
    assert [case.id for case in cases] == ["noisy-00", "noisy-01", "noisy-02", "noisy-03"]
    assert [case.snr_db for case in cases] == [10, 0, 10, 0]  # each clip at each level, by name: a, b
    assert [case.person for case in cases] == ["a", "a", "b", "b"]
    assert [case.frames for case in cases] == [40, 40, 50, 50]  # 1.6 s; 3 s cut to 2 s; 0.4 s is left out
    assert [case.instruction for case in cases] == ["nod", "nod", "smile", "smile"]
    assert len(asked) == 2 and asked[0][0] == (32, 24, 3)  # one prompt for a portrait and an instruction
    first = cases[0]
    assert first.prompt.endswith("will nod.")
    assert read_image(first.path("image")).shape == (32, 24, 3)
    clean, given, other = (read_audio(first.path(name)) for name in ("clean", "audio", "other"))
    assert len(clean) == len(given) == len(other) == 40 * 640
    noise = given - clean
    assert 10 * np.log10(np.mean(clean**2) / np.mean(noise**2)) == pytest.approx(10, abs=0.3)
    assert len(read_video(first.path("truth")).frames) == len(read_video(first.path("copy")).frames) == 40
    assert abs(np.corrcoef(clean, other)[0, 1]) < 0.1

    again = freeze(suite(), workspace, data, enhance)
    assert again == cases and len(asked) == 2
    changed = freeze(suite(seconds=1), workspace, data, enhance)
    assert changed[0].folder != first.folder and changed[0].frames == 25
    write_clip(data / "wild" / "a.mp4", 1.6, 61)
    assert freeze(suite(), workspace, data, enhance)[0].folder != first.folder


def test_named_files_keep_their_own_prompt_and_stay_inside_the_data(tmp_path):
    data, workspace = tmp_path / "data", Workspace(tmp_path / "work")
    write_clip(data / "x.mp4", 1.2, 90)
    write_wav(data / "sound.wav", np.random.default_rng(1).uniform(-0.3, 0.3, 19_200).astype(np.float32))
    clip = {"video": "x.mp4", "audio": "sound.wav", "prompt": "As it stands.", "person": "p"}
    groups = [{"kind": "portrait", "clips": [clip], "language": "zh"}]
    (case,) = freeze(suite(groups=groups), workspace, data)
    assert case.prompt == "As it stands." and case.language == "zh" and case.frames == 30
    other, clean = read_audio(case.path("other")), read_audio(case.path("clean"))
    assert np.allclose(other, np.roll(clean, len(clean) // 2), atol=1e-4)  # a suite of one: its own, later
    with pytest.raises(InputError, match="say where they lie"):
        freeze(suite(groups=groups), workspace, None)
    outside = [{"kind": "portrait", "clips": [clip | {"video": "../x.mp4"}]}]
    with pytest.raises(InputError, match="leaves its folder"):
        freeze(suite(groups=outside), workspace, data)
    nothing = [{"kind": "portrait", "folder": {"pattern": "none/*.mp4"}}]
    with pytest.raises(InputError, match="no clip"):
        freeze(suite(groups=nothing), workspace, data)
