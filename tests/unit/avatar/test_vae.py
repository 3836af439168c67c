"""The patch VAE: the 4k+1 rule, causality, the linear path, round trips."""

from __future__ import annotations

import pytest
import torch

from components.avatar.vae import (
    PatchVAE,
    check_frames,
    leading_components,
    patchify,
    smooth_seams,
    unpatchify,
)


def opened(channels=8, smoothing=0.05):
    """A small VAE whose residuals are not zero."""
    torch.manual_seed(0)
    vae = PatchVAE(channels, 8, 1, 2, smoothing).eval()
    for stack in (vae.encoder, vae.decoder):
        torch.nn.init.normal_(stack.leave.weight, std=0.1)
    return vae


@pytest.mark.parametrize("frames", [1, 5, 17])
@pytest.mark.parametrize("side", [(16, 16), (8, 24)])
def test_patches_go_there_and_back(frames, side):
    video = torch.randn(2, 3, frames, *side)
    patches = patchify(video)
    assert patches.shape == (2, 768, (frames + 3) // 4, side[0] // 8, side[1] // 8)
    assert torch.equal(unpatchify(patches), video)


@pytest.mark.parametrize("frames", [0, 2, 4, 16])
def test_other_frame_counts_are_refused(frames):
    with pytest.raises(ValueError, match="4k"):
        check_frames(frames)
    with pytest.raises(ValueError, match="4k"):
        opened().encode(torch.zeros(1, 3, max(frames, 2), 16, 16))


def test_odd_sides_are_refused():
    with pytest.raises(ValueError, match="multiples of 8"):
        opened().encode(torch.zeros(1, 3, 1, 12, 16))


def test_a_latent_does_not_know_the_future():
    vae = opened(smoothing=0.0)
    video = torch.randn(1, 3, 13, 16, 16)
    changed = video.clone()
    changed[:, :, 9:] += 1
    with torch.no_grad():
        a, b = (vae.encode(each).latent_dist.mode() for each in (video, changed))
        assert torch.equal(a[:, :, :3], b[:, :, :3]) and not torch.equal(a[:, :, 3], b[:, :, 3])
        later = a.clone()
        later[:, :, 3] += 1
        before, after = vae.decode(a).sample, vae.decode(later).sample
    torch.testing.assert_close(before[:, :, :9], after[:, :, :9])
    assert not torch.equal(before[:, :, 9:], after[:, :, 9:])


def test_all_components_reconstruct_and_the_linear_path_is_frozen():
    torch.manual_seed(0)
    patches = torch.randn(3000, 768, dtype=torch.float64) * torch.linspace(2, 0.1, 768, dtype=torch.float64)
    basis = leading_components(patches.T @ patches / len(patches), 768)
    torch.testing.assert_close(basis @ basis.T, torch.eye(768), atol=1e-4, rtol=0)
    vae = PatchVAE(768, 8, 0, 0, smoothing=0.0)
    vae.set_linear_path(torch.full((768,), 0.1), basis, torch.ones(768))
    video = torch.rand(1, 3, 5, 16, 16) * 2 - 1
    with torch.no_grad():
        made = vae.decode(vae.encode(video).latent_dist.mode()).sample
    torch.testing.assert_close(made, video, atol=1e-3, rtol=0)
    assert not any(t.requires_grad for t in (*vae.analysis.parameters(), *vae.synthesis.parameters()))


def track(values):
    """A video (1,1,T,1,1) of these brightnesses."""
    return torch.tensor(values, dtype=torch.float64).view(1, 1, -1, 1, 1)


def test_a_seam_s_jump_is_shared_out_between_the_fours():
    # One step of 0.3 where the latent changes; against a limit of 1000 all of it counts as coding noise:
    # half is taken from each side and fades over its four frames.
    video = track([0.0] * 5 + [0.3] * 4)
    made = smooth_seams(video, 1000.0).flatten().tolist()
    assert made == pytest.approx([0, 0, 0.05, 0.1, 0.15, 0.15, 0.2, 0.25, 0.3], abs=1e-6)


def test_a_large_change_at_a_seam_is_motion_and_stays():
    video = track([0.0] * 5 + [1.0] * 4)
    # a / (1 + (a/limit)²) of a = 1 and limit 0.05 is 1/401.
    made = smooth_seams(video, 0.05)
    assert (made - video).abs().max() == pytest.approx(0.5 / 401, rel=1e-6)


def test_even_motion_and_pictures_are_left_alone():
    moving = track([0.02 * i for i in range(13)])
    torch.testing.assert_close(smooth_seams(moving, 0.05), moving)
    assert torch.equal(smooth_seams(track([0.4]), 0.05), track([0.4]))


def test_smoothing_reaches_one_latent_back():
    vae = opened()
    latents = torch.randn(1, 8, 4, 2, 2)
    later = latents.clone()
    later[:, :, 3] += 1
    with torch.no_grad():
        before, after = vae.decode(latents).sample, vae.decode(later).sample
    assert torch.equal(before[:, :, :5], after[:, :, :5])
    assert not torch.equal(before[:, :, 5:9], after[:, :, 5:9])


def test_leading_components_of_a_known_covariance():
    covariance = torch.diag(torch.cat([torch.tensor([1.0, 9.0, 4.0]), torch.zeros(5)]))
    basis = leading_components(covariance, 2)
    assert basis[0].tolist() == [0, 1, 0, 0, 0, 0, 0, 0] and basis[1].tolist() == [0, 0, 1, 0, 0, 0, 0, 0]


def test_round_trip(tmp_path):
    vae = opened()
    vae.save_pretrained(tmp_path)
    loaded = PatchVAE.from_pretrained(tmp_path).eval()
    video = torch.randn(1, 3, 5, 16, 16)
    with torch.no_grad():
        assert torch.equal(loaded.encode(video).latent_dist.mode(), vae.encode(video).latent_dist.mode())
