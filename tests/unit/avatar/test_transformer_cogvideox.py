"""CogVideoX as the backbone: unchanged at step 0, branches, round trip."""

from __future__ import annotations

import pytest
import torch
from diffusers import CogVideoXTransformer3DModel
from diffusers.pipelines.cogvideo.pipeline_cogvideox import get_resize_crop_region_for_grid

from components.avatar.transformer_cogvideox import (
    SyncDreamerCogVideoXTransformer3DModel,
    get_3d_rotary_pos_embed,
)

COG = {
    "num_attention_heads": 2, "attention_head_dim": 16, "in_channels": 6, "out_channels": 6,
    "time_embed_dim": 16, "text_embed_dim": 10, "num_layers": 3, "sample_width": 12, "sample_height": 8,
    "max_text_seq_length": 5, "use_rotary_positional_embeddings": True,
}  # fmt: skip
ADDED = {"reference_channels": 6, "identity_dim": 12, "audio_dim": 7}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("cog")
    CogVideoXTransformer3DModel(**COG).save_pretrained(path)
    return path


def inputs(frames=3, height=4, width=6, batch=2):
    generator = torch.Generator().manual_seed(3)

    def draw(*shape):
        return torch.randn(*shape, generator=generator)

    conditions = {
        "reference": draw(batch, 6, 1, height, width),
        "identity": draw(batch, 4, 12),
        "audio": draw(batch, 4 * frames + 10, 7),
    }
    return draw(batch, 6, frames, height, width), torch.tensor([900.0, 40.0]), draw(batch, 5, 10), conditions


def rotary(frames, height, width):
    """As diffusers' own CogVideoX pipeline makes it."""
    region = get_resize_crop_region_for_grid((height // 2, width // 2), 6, 4)
    return get_3d_rotary_pos_embed(16, region, (height // 2, width // 2), frames)


@pytest.mark.parametrize("shape", [(1, 2, 2), (3, 4, 6), (5, 6, 2)])
def test_zero_gates_reproduce_the_backbone_exactly(folder, shape):
    backbone = CogVideoXTransformer3DModel.from_pretrained(folder)
    model, new = SyncDreamerCogVideoXTransformer3DModel.from_backbone(folder, **ADDED)
    assert set(new) == {name for name in model.state_dict() if name.startswith("conditioning.")}
    latents, t, text, conditions = inputs(*shape)
    with torch.no_grad():
        expected = backbone(latents.transpose(1, 2), text, t, image_rotary_emb=rotary(*shape)).sample
        got = model(latents, t, text, **conditions).sample
        assert torch.equal(got.transpose(1, 2), expected)
        per_frame = model(latents, t[:, None].expand(-1, shape[0]), text, **conditions).sample
        torch.testing.assert_close(per_frame.transpose(1, 2), expected)


def opened(model):
    torch.manual_seed(5)
    for name, tensor in model.named_parameters():
        if "gate" in name or "modulation" in name or "reference" in name:
            torch.nn.init.normal_(tensor, std=0.5)
    return model.eval()


def test_branches_matter_can_be_left_out_and_survive_a_round_trip(folder, tmp_path):
    model = opened(SyncDreamerCogVideoXTransformer3DModel.from_backbone(folder, **ADDED)[0])
    latents, t, text, conditions = inputs()
    mask = torch.ones(2, 18, 4)
    mask[..., 1:] = 0
    with torch.no_grad():
        full = model(latents, t, text, **conditions).sample
        for name in conditions:
            changed = {**conditions, name: conditions[name] + 1}
            assert not torch.equal(model(latents, t, text, **changed).sample, full), name
        present = torch.tensor([1.0, 0.0])
        mixed = model(latents, t, text, **conditions, audio_present=present, identity_present=present).sample
        torch.testing.assert_close(mixed[0], full[0])
        torch.testing.assert_close(mixed[1], model(latents, t, text).sample[1])
        assert 0 < float(model(latents, t, text, **conditions, localization_mask=mask).localization) < 1
        model.save_pretrained(tmp_path / "model")
        again = SyncDreamerCogVideoXTransformer3DModel.from_pretrained(tmp_path / "model")
        assert torch.equal(again(latents, t, text, **conditions).sample, full)


def test_gradient_checkpointing_changes_nothing(folder):
    model = opened(SyncDreamerCogVideoXTransformer3DModel.from_backbone(folder, **ADDED)[0])
    latents, t, text, conditions = inputs()
    plain = model(latents, t, text, **conditions).sample
    model.enable_gradient_checkpointing()
    torch.testing.assert_close(model(latents, t, text, **conditions).sample, plain)


def test_what_is_not_supported_is_told(folder):
    with pytest.raises(ValueError, match=r"1\.5"):
        SyncDreamerCogVideoXTransformer3DModel(**COG, patch_size_t=2)
    model, _ = SyncDreamerCogVideoXTransformer3DModel.from_backbone(folder)
    latents, t, text, conditions = inputs()
    with pytest.raises(ValueError, match="without audio"):
        model(latents, t, text, audio=conditions["audio"])
    with pytest.raises(ValueError, match="neither one a sample nor one a latent frame"):
        model(latents, t[:, None].expand(-1, 2), text)


def test_what_is_given_is_carried_on(folder):
    model, _ = SyncDreamerCogVideoXTransformer3DModel.from_backbone(folder, **ADDED, continues=True)
    latents, t, text, _ = inputs()
    given = torch.tensor([2, 0])
    with torch.no_grad():
        plain = model(latents, t, text).sample
        assert torch.equal(model(latents, t, text, given=given).sample, plain)
        opened(model)
        torch.nn.init.normal_(model.conditioning["continuation"].embed.weight)
        plain = model(latents, t, text).sample
        shown = model(latents, t, text, given=given).sample
    assert not torch.equal(shown[0], plain[0])
    torch.testing.assert_close(shown[1], plain[1])
