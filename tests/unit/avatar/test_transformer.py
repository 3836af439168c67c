"""The transformer: unchanged backbone at step 0, shapes, branches, round trips."""

from __future__ import annotations

import pytest
import torch
from diffusers import WanTransformer3DModel

from components.avatar import SyncDreamerTransformer3DModel, VisualAdapter

WAN = {
    "patch_size": (1, 2, 2), "num_attention_heads": 2, "attention_head_dim": 24, "in_channels": 6,
    "out_channels": 6, "text_dim": 10, "freq_dim": 16, "ffn_dim": 40, "num_layers": 3, "rope_max_seq_len": 32,
}  # fmt: skip
ADDED = {"reference_channels": 6, "identity_dim": 12, "audio_dim": 7}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("wan")
    WanTransformer3DModel(**WAN).save_pretrained(path)
    return path


def inputs(frames=3, height=4, width=6, batch=2, margin=5):
    generator = torch.Generator().manual_seed(3)

    def draw(*shape):
        return torch.randn(*shape, generator=generator)

    conditions = {
        "reference": draw(batch, 6, 1, height, width),
        "identity": draw(batch, 4, 12),
        "audio": draw(batch, 4 * frames + 2 * margin, 7),
    }
    times = torch.tensor([900.0, 40.0])[:batch]
    return draw(batch, 6, frames, height, width), times, draw(batch, 5, 10), conditions


@pytest.mark.parametrize("shape", [(1, 2, 2), (3, 4, 6), (5, 6, 2)])
def test_zero_gates_reproduce_the_backbone_exactly(folder, shape):
    backbone = WanTransformer3DModel.from_pretrained(folder)
    model, new = SyncDreamerTransformer3DModel.from_backbone(folder, **ADDED)
    assert new and all(name.startswith("conditioning.") for name in new)
    assert set(new) == {name for name in model.state_dict() if name.startswith("conditioning.")}
    latents, t, text, conditions = inputs(*shape)
    with torch.no_grad():
        expected = backbone(latents, t, text).sample
        assert torch.equal(model(latents, t, text).sample, expected)
        assert torch.equal(model(latents, t, text, **conditions).sample, expected)


def test_times_per_frame_and_per_token_agree_with_the_backbone(folder):
    backbone = WanTransformer3DModel.from_pretrained(folder)
    model, _ = SyncDreamerTransformer3DModel.from_backbone(folder, **ADDED)
    latents, _, text, conditions = inputs()
    frames = torch.tensor([[10.0, 500.0, 900.0], [1.0, 2.0, 3.0]])
    tokens = frames.repeat_interleave(6, 1)
    with torch.no_grad():
        expected = backbone(latents, tokens, text).sample
        assert torch.equal(model(latents, tokens, text, **conditions).sample, expected)
        torch.testing.assert_close(model(latents, frames, text, **conditions).sample, expected)


def opened(model):
    """The model with gates and modulations that are not zero."""
    torch.manual_seed(5)
    for name, tensor in model.named_parameters():
        if "gate" in name or "modulation" in name or "reference" in name:
            torch.nn.init.normal_(tensor, std=0.5)
    return model.eval()


def test_every_branch_matters_and_can_be_left_out_per_sample(folder):
    model = opened(SyncDreamerTransformer3DModel.from_backbone(folder, **ADDED)[0])
    latents, t, text, conditions = inputs()
    with torch.no_grad():
        full = model(latents, t, text, **conditions).sample
        for name in conditions:
            changed = {**conditions, name: conditions[name] + 1}
            assert not torch.equal(model(latents, t, text, **changed).sample, full), name
        present = torch.tensor([1.0, 0.0])
        mixed = model(latents, t, text, **conditions, audio_present=present, identity_present=present).sample
        torch.testing.assert_close(mixed[0], full[0])
        torch.testing.assert_close(mixed[1], model(latents, t, text).sample[1])


def test_audio_reaches_only_the_latents_that_hear_it(folder):
    config = WAN | {"num_layers": 1}
    torch.manual_seed(0)
    model = opened(SyncDreamerTransformer3DModel(**config, **ADDED))
    model.blocks[0].attn1 = _Silent()
    latents, t, text, conditions = inputs(frames=4)
    changed = conditions["audio"].clone()
    changed[:, 5 + 4 * 3 + 3] += 2  # the last own frame of the last latent; its weights reach 3 frames back
    with torch.no_grad():
        difference = model(latents, t, text, **conditions).sample
        difference = (difference - model(latents, t, text, **{**conditions, "audio": changed}).sample).abs()
    reached = difference.amax((0, 1, 3, 4)) > 0
    assert reached.tolist() == [False, False, True, True]


class _Silent(torch.nn.Module):
    def forward(self, hidden, *_):
        return torch.zeros_like(hidden)


def test_localization_only_on_middle_blocks_and_only_when_asked(folder):
    model, _ = SyncDreamerTransformer3DModel.from_backbone(folder, **ADDED)
    assert model.localized == {1}
    latents, t, text, conditions = inputs()
    mask = torch.ones(2, 18, 4)
    assert model(latents, t, text, **conditions).localization is None
    assert float(model(latents, t, text, **conditions, localization_mask=mask).localization.detach()) == 0
    mask[..., 1:] = 0
    loss = model(latents, t, text, **conditions, localization_mask=mask).localization
    assert 0 < float(loss) < 1
    loss.backward()
    assert model.conditioning["blocks"][1].visual.to_q.weight.grad is not None
    # The first block is reached through the second block's queries, but its own gate is zero.
    early = model.conditioning["blocks"][0].visual.to_kv.weight.grad
    assert early is None or not early.any()


def test_gradient_checkpointing_changes_nothing(folder):
    model = opened(SyncDreamerTransformer3DModel.from_backbone(folder, **ADDED)[0])
    latents, t, text, conditions = inputs()
    plain = model(latents, t, text, **conditions).sample
    model.enable_gradient_checkpointing()
    again = model(latents, t, text, **conditions).sample
    torch.testing.assert_close(plain, again)


def test_what_is_given_is_carried_on_and_nothing_is_where_nothing_is_given(folder):
    model, new = SyncDreamerTransformer3DModel.from_backbone(folder, continues=True)
    assert "conditioning.continuation.gate" in new
    latents, t, text, _ = inputs(frames=4)
    some = torch.tensor([2, 0])
    with torch.no_grad():
        plain = model(latents, t, text).sample
        assert torch.equal(model(latents, t, text, given=some).sample, plain), "unchanged before training"
        gate = model.conditioning["continuation"].gate
        gate[0], gate[1] = (
            0.25,
            0.125,
        )  # times 4: all of the last given latent one later, half of it two later
        carried = model(latents, t, text, given=some).sample - plain
    assert not carried[0, :, :2].any(), "what is given is not predicted"
    torch.testing.assert_close(carried[0, :, 2], latents[0, :, 1])
    torch.testing.assert_close(carried[0, :, 3], latents[0, :, 1] / 2)
    assert not carried[1].any()
    torch.nn.init.normal_(model.conditioning["continuation"].embed.weight)
    with torch.no_grad():
        shown = model(latents, t, text, given=some).sample - plain - carried
    assert shown[0].any() and not shown[1].any()
    with pytest.raises(ValueError, match="without given latents"):
        SyncDreamerTransformer3DModel(**WAN)(latents, t, text, given=some)


def test_round_trip(folder, tmp_path):
    added = ADDED | {"localization_blocks": (0, 2)}
    model = opened(SyncDreamerTransformer3DModel.from_backbone(folder, **added)[0])
    model.save_pretrained(tmp_path / "model")
    loaded = SyncDreamerTransformer3DModel.from_pretrained(tmp_path / "model")
    assert loaded.localized == {0, 2} and loaded.audio_margin == 5
    assert model.state_dict().keys() == loaded.state_dict().keys()
    latents, t, text, conditions = inputs()
    with torch.no_grad():
        before, after = (each(latents, t, text, **conditions).sample for each in (model, loaded))
    assert torch.equal(before, after)


def test_what_does_not_fit_is_told(folder):
    model = SyncDreamerTransformer3DModel(**WAN)
    latents, t, text, conditions = inputs()
    with pytest.raises(ValueError, match="without audio"):
        model(latents, t, text, audio=conditions["audio"])
    with pytest.raises(ValueError, match="multiple of patch"):
        model(latents[..., :5], t, text)
    full, _ = SyncDreamerTransformer3DModel.from_backbone(folder, **ADDED)
    with pytest.raises(ValueError, match="2 latent frames"):
        full(latents, t, text, audio=conditions["audio"][:, :-4])


def test_wan_1_3b_has_its_official_size_on_the_meta_device():
    with torch.device("meta"):
        model = SyncDreamerTransformer3DModel(
            num_attention_heads=12, attention_head_dim=128, ffn_dim=8960, num_layers=30, text_dim=4096
        )
    backbone = sum(t.numel() for n, t in model.named_parameters() if not n.startswith("conditioning."))
    assert backbone == 1_418_996_800


def test_adapter_round_trip_and_owners(tmp_path):
    torch.manual_seed(0)
    adapter = VisualAdapter(9, 12, ("mouth", "global"), heads=2)
    tokens = torch.randn(3, 17, 9)
    assert adapter(tokens).shape == (3, 2, 12) and adapter.owners == ("mouth", "global")
    adapter.save_pretrained(tmp_path)
    with torch.no_grad():
        assert torch.equal(VisualAdapter.from_pretrained(tmp_path)(tokens), adapter.eval()(tokens))


def test_a_plain_backbone_folder_is_built_upon_not_left_half_empty(folder, tmp_path):
    """diffusers alone would leave the new tensors on the meta device."""
    model = SyncDreamerTransformer3DModel.from_pretrained(folder, **ADDED)
    assert model.new_tensors == tuple(sorted(n for n in model.state_dict() if n.startswith("conditioning.")))
    assert not any(tensor.is_meta for tensor in [*model.parameters(), *model.buffers()])
    model.save_pretrained(tmp_path)
    assert SyncDreamerTransformer3DModel.from_pretrained(tmp_path).new_tensors == ()


def test_a_folder_of_another_backbone_is_refused(folder, tmp_path):
    from safetensors.torch import load_file, save_file

    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    tensors = load_file(folder / "diffusion_pytorch_model.safetensors")
    del tensors["blocks.1.ffn.net.2.bias"]
    save_file(tensors, tmp_path / "diffusion_pytorch_model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=r"blocks\.1\.ffn\.net\.2\.bias"):
        SyncDreamerTransformer3DModel.from_backbone(tmp_path, **ADDED)


def test_without_audio_dynamics_every_moment_weighs_one():
    """audio_window None is the branch with w_t = 1: no encoder, a smaller margin, the same tokens."""
    from components.avatar.conditioning import AudioConditioning

    torch.manual_seed(0)
    with_weights, plain = AudioConditioning(7, 24, 0, 2), AudioConditioning(7, 24, None, 2)
    plain.load_state_dict(with_weights.state_dict(), strict=False)
    assert plain.dynamics is None and plain.margin == 2
    with_weights.dynamics.forward = lambda features: (features, torch.ones(features.shape[:2]))
    audio = torch.randn(2, 4 * 3 + 4, 7)
    for mine, theirs in zip(plain(audio), with_weights(audio), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_without_visual_adapter_no_identity_is_asked_for():
    from components.avatar.generator import Generator
    from components.avatar.visual_adapter import VisualAdapter

    adapter = VisualAdapter(10, 8, ("mouth", "global"))
    image = torch.randn(2, 17, 10)
    for width, wanted in ((None, None), (8, (2, 2, 8))):
        transformer = SyncDreamerTransformer3DModel(
            patch_size=(1, 2, 2), num_attention_heads=2, attention_head_dim=12, in_channels=4, out_channels=4,
            text_dim=5, freq_dim=24, ffn_dim=32, num_layers=1, identity_dim=width,
        )  # fmt: skip
        identity = Generator(transformer, adapter).identity(image)
        assert identity is None if wanted is None else tuple(identity.shape) == wanted
