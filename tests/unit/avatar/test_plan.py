"""Presets and plans: official shapes on the meta device, arithmetic by hand."""

from __future__ import annotations

import pytest
import yaml
from torch.utils.flop_counter import FlopCounterMode

from components.avatar.params import TrainStage2Params
from components.avatar.plan import (
    GIB,
    PEAK_TFLOPS,
    Assumptions,
    forward_flops,
    meta_model,
    plan,
    sections,
    sizes,
)
from components.avatar.presets import preset_names, read_preset
from components.core.errors import InputError
from flows.params import default_text, load_params, write_preset

OFFICIAL = {"wan-1.3b": 1_418_996_800, "wan-14b": 14_288_491_584, "cogvideox-5b": 5_570_283_072}


def wan_count(dim, ffn, layers, text=4096, freq=256, channels=16, patch=4):
    attention = 4 * (dim * dim + dim) + 2 * dim
    block = 2 * attention + 2 * dim + (dim * ffn + ffn) + (ffn * dim + dim) + 6 * dim
    time = (freq * dim + dim) + (dim * dim + dim) + (6 * dim * dim + 6 * dim)
    told = (text * dim + dim) + (dim * dim + dim)
    ends = (channels * patch * dim + dim) + 2 * dim + (dim * channels * patch + channels * patch)
    return layers * block + time + told + ends


def cogvideox_count(dim, head, layers, time=512, text=4096, channels=16, patch=4):
    attention = 4 * (dim * dim + dim) + 2 * 2 * head
    norm = (time * 6 * dim + 6 * dim) + 2 * dim
    block = attention + 2 * norm + (dim * 4 * dim + 4 * dim) + (4 * dim * dim + dim)
    embed = (channels * patch * dim + dim) + (text * dim + dim) + (dim * time + time) + (time * time + time)
    ends = 2 * dim + (time * 2 * dim + 2 * dim) + 2 * dim + (dim * channels * patch + channels * patch)
    return layers * block + embed + ends


@pytest.mark.parametrize(
    ("name", "by_hand"),
    [
        ("wan-1.3b", wan_count(1536, 8960, 30)),
        ("wan-14b", wan_count(5120, 13824, 40)),
        ("cogvideox-5b", cogvideox_count(3072, 64, 42)),
    ],
)
def test_official_shapes_have_their_official_sizes(name, by_hand):
    params = sections(read_preset(name)["params"])
    model, adapter = meta_model(params["vae"], params["encode"], params["train_stage1"])
    assert all(tensor.is_meta for tensor in model.parameters())
    count = sizes(model, adapter)
    assert count.backbone == OFFICIAL[name] == by_hand
    assert count.trained == count.backbone + count.added and count.added > 0


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_is_a_valid_params_file(name, tmp_path):
    path = tmp_path / "params.yaml"
    values = read_preset(name)["params"]
    assert write_preset(path, values).startswith("wrote")
    load_params(path)
    written = yaml.safe_load(path.read_text())
    for section, content in values.items():
        for key, value in content.items():
            if not isinstance(value, dict):
                assert written[section][key] == value, f"{section}.{key}"
    plan(sections(values), 1000, values.get("train_stage2", {}).get("ranks", 2))


def test_tiny_is_the_default_and_an_edited_file_is_kept(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("seed: 3  # mine\n")
    assert "params.yaml.old" in write_preset(path, read_preset("tiny")["params"])
    assert path.read_text() == default_text()
    assert (tmp_path / "params.yaml.old").read_text() == "seed: 3  # mine\n"
    (tmp_path / "params.yaml.old").unlink()
    write_preset(path, {})
    assert not (tmp_path / "params.yaml.old").exists()
    with pytest.raises(InputError, match="tiny"):
        read_preset("huge")
    with pytest.raises(InputError, match="did you mean 'encode'"):
        write_preset(path, {"encod": {}})


def test_a_plan_by_hand():
    params = sections(read_preset("wan-1.3b")["params"])
    lines, figures = plan(params, 10_000, 8, Assumptions(utilisation=0.5, price=2.0))
    count, added = figures["backbone_parameters"], figures["added_parameters"]
    whole = count + added
    # bf16 weights 2 B and fp32 average 4 B whole, gradients 2 B and AdamW with fp32 copy 12 B over 8 GPUs
    assert figures["state_bytes"] == pytest.approx(whole * (2 + 4) + whole * (2 + 12) / 8)
    tokens = 21 * 30 * 30
    activations = 4 * (30 * 2 * tokens * 1536 + 34 * tokens * 1536)
    assert figures["activation_bytes"] == activations
    assert figures["memory_bytes"] == figures["state_bytes"] + activations
    windows = 2 * 30_000 * 32
    assert figures["steps"] == 60_000
    seconds = windows * figures["flops_per_window"] * 4 / (8 * PEAK_TFLOPS["h100"] * 1e12 * 0.5)
    assert figures["seconds"] == pytest.approx(seconds)
    assert figures["cost"] == pytest.approx(seconds / 3600 * 8 * 2.0)
    assert figures["video_bytes"] == 10_000 * 8 * 4e6 / 8
    said = {line.what: line for line in lines}
    assert said["memory per GPU"].value == f"{figures['memory_bytes'] / GIB:.2f} GiB"
    assert "÷ G" in said["model state per GPU"].formula and "60000" not in said["steps"].value


@pytest.mark.parametrize("architecture", ["wan", "cogvideox"])
def test_flops_are_those_that_torch_counts(architecture):
    import torch

    shape = {"architecture": architecture, "heads": 2, "head_dim": 48, "ffn_dim": 384, "layers": 2}
    raw = {"train_stage1": {"model": shape}, "vae": {"size": 64}, "encode": {"text_tokens": 8}}
    params = sections(raw)
    model, _ = meta_model(params["vae"], params["encode"], params["train_stage1"])
    frames, side = 3, 8
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        model(
            torch.zeros(1, 128, frames, side, side),
            torch.zeros(1),
            torch.zeros(1, 8, 64),
            identity=torch.zeros(1, 8, 160),
            audio=torch.zeros(1, 4 * frames + 2 * model.audio_margin, 37),
        )
    counted = counter.get_total_flops()
    formula = forward_flops(model, frames * (side // 2) ** 2, frames, 8, 8)
    # Beyond the formula: embeddings, modulation and the audio summary, which do not grow with the blocks.
    assert 0.6 * counted < formula <= counted


def test_a_batch_that_does_not_divide_is_told():
    with pytest.raises(InputError, match="no multiple of 5"):
        plan(sections({}), 100, 5)
    with pytest.raises(InputError, match=r"train_stage2\.steps"):
        sections({"train_stage2": {"steps": -1}})


@pytest.mark.parametrize(
    ("values", "told"),
    [({"anchor_stride": 6}, "less than window"), ({"guidance_focus": 0.0}, "hold needs to know"),
     ({"guidance_audio": 1.0}, "hold needs to know")],
)  # fmt: skip
def test_sampling_that_cannot_do_what_it_says_is_refused(values, told):
    with pytest.raises(ValueError, match=told):
        TrainStage2Params.model_validate(values)
    TrainStage2Params.model_validate({"guidance_focus": 0.0, "guidance_audio": 1.0, "hold": 0.0})
