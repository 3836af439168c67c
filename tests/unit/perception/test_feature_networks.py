"""The official networks: published names load key by key, numbers follow the reference, wrong files fail."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from components.core.errors import InputError
from components.perception import dino, flow, inception, perceptual
from components.perception.arcface import MESH_POINTS, TEMPLATE, ArcFace, aligned
from components.perception.official import OFFICIAL, Status
from components.perception.qalign import QAlign
from components.perception.video_features import VideoFeatures
from tests.onnx_files import mean_colour


def status(name: str, path: Path, state: str = "official") -> Status:
    return Status(OFFICIAL[name], state, path, hashlib.sha256(path.read_bytes()).hexdigest())


def uint8(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def lively(network: nn.Module, seed: int = 0) -> nn.Module:
    """Batch norms as a trained network has them: statistics and scales that are not 0 and 1."""
    torch.manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)  # type: ignore[operator,union-attr]
            module.running_var.uniform_(0.5, 2)  # type: ignore[operator,union-attr]
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.1)
    return network.eval()


def test_inception_has_the_published_layout() -> None:
    """94 convolutions with their norms and 1,008 classes: 23,850,960 parameters in 566 tensors."""
    state = inception.FidInception().state_dict()
    assert len(state) == 94 * 6 + 2
    assert sum(v.numel() for k, v in state.items() if "running" not in k and "num_b" not in k) == 23_850_960
    for key, shape in {
        "Conv2d_1a_3x3.conv.weight": (32, 3, 3, 3),
        "Mixed_5b.branch5x5_2.conv.weight": (64, 48, 5, 5),
        "Mixed_5b.branch_pool.conv.weight": (32, 192, 1, 1),
        "Mixed_6a.branch3x3dbl_3.conv.weight": (96, 96, 3, 3),
        "Mixed_6c.branch7x7dbl_5.conv.weight": (192, 160, 1, 7),
        "Mixed_7a.branch7x7x3_4.conv.weight": (192, 192, 3, 3),
        "Mixed_7c.branch3x3dbl_3b.bn.running_var": (384,),
        "fc.weight": (1008, 2048),
    }.items():
        assert tuple(state[key].shape) == shape


def test_folded_blocks_compute_the_same() -> None:
    blocks = [
        (inception.BlockA(24, 8), 24), (inception.BlockB(24), 24), (inception.BlockC(16, 8), 16),
        (inception.BlockD(16), 16), (inception.BlockE(16, False), 16), (inception.BlockE(16, True), 16),
    ]  # fmt: skip
    for index, (block, channels) in enumerate(blocks):
        lively(block, index)
        x = torch.randn(1, channels, 9, 9)
        with torch.inference_mode():
            plain, fast = block(x), inception.folded(block)(x.contiguous(memory_format=torch.channels_last))
        assert torch.allclose(plain, fast, atol=2e-5)


def test_the_pools_are_those_of_the_graph() -> None:
    """The average leaves the padding out; the last block takes the maximum."""
    x = torch.arange(9.0).view(1, 1, 3, 3)
    corner = (0 + 1 + 3 + 4) / 4
    assert float(inception._average(x)[0, 0, 0, 0]) == corner
    mean, peak = (lively(inception.BlockE(4, maximum), 1) for maximum in (False, True))
    peak.load_state_dict(mean.state_dict())
    with torch.inference_mode():
        a, b = (
            block(torch.randn(1, 4, 5, 5, generator=torch.Generator().manual_seed(0)))
            for block in (mean, peak)
        )
    assert torch.equal(a[:, :-192], b[:, :-192]) and not torch.equal(a[:, -192:], b[:, -192:])


def tensorflow_resize(plane: np.ndarray, side: int) -> np.ndarray:
    """Bilinear of TensorFlow 1 without half pixels, in loops."""
    h, w = plane.shape
    out = np.zeros((side, side))
    for i in range(side):
        y = i * h / side
        y0, y1 = int(y), min(int(y) + 1, h - 1)
        for j in range(side):
            x = j * w / side
            x0, x1 = int(x), min(int(x) + 1, w - 1)
            top = plane[y0, x0] + (plane[y0, x1] - plane[y0, x0]) * (x - x0)
            low = plane[y1, x0] + (plane[y1, x1] - plane[y1, x0]) * (x - x0)
            out[i, j] = top + (low - top) * (y - y0)
    return out


def test_input_conventions() -> None:
    pictures = uint8(1, 3, 40, 60)
    made = {name: inception.fid_input(pictures, name) for name in inception.CONVENTIONS}
    for each in made.values():
        assert each.shape == (1, 3, 299, 299) and each.dtype == torch.float32
    wanted = tensorflow_resize(pictures[0, 1].double().numpy(), 299)
    assert np.allclose(made["torch-fidelity"][0, 1].numpy(), (wanted - 128) / 128, atol=1e-4)
    bilinear = F.interpolate(pictures / 255, (299, 299), mode="bilinear", align_corners=False)
    assert torch.allclose(made["pytorch-fid"], bilinear * 2 - 1, atol=1e-6)
    big = uint8(1, 3, 600, 598)
    apart = [inception.fid_input(big, name) for name in ("torchmetrics", "torch-fidelity", "clean-fid")]
    assert float((apart[0] - apart[1]).abs().max()) > 0.1  # shrinking with and without antialias
    assert float((apart[0] - apart[2]).abs().mean()) < float((apart[1] - apart[2]).abs().mean())
    with pytest.raises(InputError, match="known are pytorch-fid"):
        inception.fid_input(pictures, "fid")
    with pytest.raises(InputError, match="uint8"):
        inception.fid_input(pictures.float(), "pytorch-fid")


def test_inception_from_file(tmp_path: Path) -> None:
    path = tmp_path / "inception.pth"
    torch.save({"Conv2d_1a_3x3.conv.weight": torch.zeros(32, 3, 3, 3)}, path)
    with pytest.raises(InputError, match="not an FID Inception state dict"):
        inception.FidInception.from_file(path)
    with pytest.raises(InputError, match="missing"):
        inception.FidInception.from_file(tmp_path / "none.pth")
    network = lively(inception.FidInception())
    torch.save(network.state_dict(), path)
    found = inception.InceptionFeatures.official(status("inception", path)).features(uint8(1, 3, 32, 32))
    with torch.inference_mode():
        wanted = network(inception.fid_input(uint8(1, 3, 32, 32), "pytorch-fid"))
    assert found.shape == (1, 2048) and torch.allclose(found, wanted, rtol=1e-3, atol=1e-4)


class Video(nn.Module):
    """Stands in for the published file: same call, 400 features from the pixels' mean."""

    def forward(self, x: torch.Tensor, rescale: bool, resize: bool, return_features: bool) -> torch.Tensor:
        if resize:
            x = F.interpolate(x, size=[x.shape[2], 224, 224], mode="trilinear", align_corners=False)
        if rescale:
            x = 2 * x / 255 - 1
        return x.mean(dim=[1, 2, 3, 4])[:, None].expand(x.shape[0], 400).clone()


def test_i3d_torchscript(tmp_path: Path) -> None:
    path = tmp_path / "i3d_torchscript.pt"
    torch.jit.script(Video()).save(str(path))
    net = VideoFeatures.official(status("i3d", path))
    windows = torch.rand(3, 3, 16, 32, 32) * 255
    found = net.features(windows, inside=True)
    assert found.shape == (3, 400)
    assert torch.allclose(found[:, 0], 2 * windows.mean((1, 2, 3, 4)) / 255 - 1, atol=1e-4)
    with pytest.raises(InputError, match="T ≥ 10"):
        net.features(windows[:, :, :9], inside=True)
    with pytest.raises(InputError, match="only run if its hash"):
        VideoFeatures.official(status("i3d", path, "unverified"))
    (tmp_path / "bad.pt").write_bytes(b"no program")
    with pytest.raises(InputError, match="not a TorchScript file"):
        VideoFeatures.official(status("i3d", tmp_path / "bad.pt"))


def published_dino(layers: int, width: int) -> dict[str, torch.Tensor]:
    """A checkpoint with the names and shapes of facebookresearch/dino."""
    g = torch.Generator().manual_seed(1)
    shapes: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, width), "pos_embed": (1, 197, width),
        "patch_embed.proj.weight": (width, 3, 16, 16), "patch_embed.proj.bias": (width,),
        "norm.weight": (width,), "norm.bias": (width,),
    }  # fmt: skip
    for i in range(layers):
        for name, size in {
            "norm1": (width,), "norm2": (width,), "attn.qkv": (3 * width, width), "attn.proj": (width, width),
            "mlp.fc1": (4 * width, width), "mlp.fc2": (width, 4 * width),
        }.items():  # fmt: skip
            shapes |= {f"blocks.{i}.{name}.weight": size, f"blocks.{i}.{name}.bias": size[:1]}
    return {k: torch.randn(s, generator=g) * 0.1 for k, s in shapes.items()}


def reference_dino(state: dict[str, torch.Tensor], x: torch.Tensor, layers: int, heads: int) -> torch.Tensor:
    """`VisionTransformer.forward` of facebookresearch/dino for 224 px."""
    norm = lambda t, n: F.layer_norm(t, t.shape[-1:], state[f"{n}.weight"], state[f"{n}.bias"], 1e-6)  # noqa: E731
    linear = lambda t, n: F.linear(t, state[f"{n}.weight"], state[f"{n}.bias"])  # noqa: E731
    x = F.conv2d(x, state["patch_embed.proj.weight"], state["patch_embed.proj.bias"], stride=16)
    x = torch.cat([state["cls_token"].expand(len(x), -1, -1), x.flatten(2).transpose(1, 2)], 1)
    x = x + state["pos_embed"]
    for i in range(layers):
        b = f"blocks.{i}."
        q, k, v = linear(norm(x, b + "norm1"), b + "attn.qkv").chunk(3, -1)
        split = lambda t: t.unflatten(-1, (heads, -1)).transpose(1, 2)  # noqa: E731
        attended = F.softmax(split(q) @ split(k).transpose(-1, -2) * split(q).shape[-1] ** -0.5, -1) @ split(
            v
        )
        x = x + linear(attended.transpose(1, 2).flatten(2), b + "attn.proj")
        x = x + linear(F.gelu(linear(norm(x, b + "norm2"), b + "mlp.fc1")), b + "mlp.fc2")
    return norm(x, "norm")[:, 0]


def test_dino_checkpoint_under_its_published_names(tmp_path: Path) -> None:
    state = published_dino(2, 48)
    path = tmp_path / "dino_vitbase16_pretrain.pth"
    torch.save(state, path)
    net = dino.DinoFeatures(dino.load_dino(path, dino.vit(2, 48, 3)), "0")
    pictures = uint8(2, 3, 224, 224)
    found = net.features(pictures)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (dino.MEAN, dino.STD))
    with torch.inference_mode():
        wanted = reference_dino(state, (pictures / 255 - mean) / std, 2, 3)
    assert torch.allclose(found, wanted, atol=1e-4)
    assert net.features(uint8(1, 3, 60, 90)).shape == (1, 48)
    del state["norm.bias"]
    torch.save(state, path)
    with pytest.raises(InputError, match="not a DINO ViT checkpoint"):
        dino.load_dino(path, dino.vit(2, 48, 3))
    with pytest.raises(InputError, match="uint8"):
        net.features(pictures.float())


def test_lpips_network(tmp_path: Path) -> None:
    weights = perceptual.channel_weights()
    assert [len(w) for w in weights] == [64, 192, 384, 256, 256] and all(
        bool((w >= 0).all()) for w in weights
    )
    path = tmp_path / "alexnet.pth"
    torch.manual_seed(0)
    state = perceptual.AlexNetFeatures().state_dict()
    assert set(state) == {f"features.{i}.{n}" for i in (0, 3, 6, 8, 10) for n in ("weight", "bias")}
    torch.save({**state, "classifier.1.weight": torch.zeros(2, 2)}, path)
    net = perceptual.Perceptual.official(status("alexnet", path))
    a, b = torch.rand(2, 2, 3, 64, 64)
    assert [layer.shape[1] for layer in net.layers(a)] == [64, 192, 384, 256, 256]
    from components.evaluation.metrics import LearnedPerceptualSimilarity
    from components.evaluation.metrics.functional import lpips_from_features

    metric = LearnedPerceptualSimilarity(net)
    metric.update(a[:1], b[:1])
    metric.update(a[1:], b[1:])
    wanted = lpips_from_features(net.layers(a), net.layers(b), net.weights).mean()
    assert float(metric.compute()) == pytest.approx(float(wanted), rel=1e-6) and float(wanted) > 0
    with pytest.raises(InputError, match=r"\[0,1\]"):
        net.layers(a * 255)
    with pytest.raises(InputError, match="at least 63"):
        net.layers(a[:, :, :32])
    torch.save({"features.0.weight": torch.zeros(1)}, path)
    with pytest.raises(InputError, match="not torchvision's AlexNet"):
        perceptual.Perceptual.official(status("alexnet", path))


def test_faces_are_moved_to_the_template() -> None:
    """Five dots of a turned, shrunk and moved face land where ArcFace wants them."""
    turn = 0.6 * np.exp(0.3j)
    points = (TEMPLATE @ (1, 1j)) * turn + (60 + 40j)
    frame = np.zeros((160, 200, 3), np.uint8)
    for point in points:
        cv2.circle(frame, (round(point.real * 16), round(point.imag * 16)), 24, (255, 255, 255), -1, shift=4)
    made = aligned(frame, np.stack([points.real, points.imag], 1))
    assert made.shape == (112, 112, 3)
    for x, y in TEMPLATE:
        assert made[round(y), round(x), 0] > 200
    with pytest.raises(InputError, match="not all the same"):
        aligned(frame, np.zeros((5, 2)))


def test_arcface_from_an_onnx_file(tmp_path: Path) -> None:
    """RGB, (x − 127.5)/127.5, channels first; frames without a mesh are rows of NaN."""
    path = tmp_path / "w600k_r50.onnx"
    path.write_bytes(mean_colour())
    net = ArcFace.official(status("arcface", path))
    faces = np.zeros((40, 112, 112, 3), np.uint8)
    faces[..., 0] = 255
    assert np.allclose(net.embed(faces), [[1, -1, -1]] * 40, atol=1e-6)
    mesh = np.zeros((478, 3), np.float32)
    for points, (x, y) in zip(MESH_POINTS, TEMPLATE, strict=True):
        mesh[list(points), :2] = x, y
    found = net.embed_frames(faces[:3], [mesh, None, mesh])
    assert np.isnan(found[1]).all() and np.allclose(found[[0, 2]], [1, -1, -1], atol=1e-6)
    with pytest.raises(InputError, match="uint8"):
        net.embed(faces.astype(np.float32))
    with pytest.raises(InputError, match="2 meshes for 3 frames"):
        net.embed_frames(faces[:3], [mesh, mesh])


def test_arcface_refuses_another_file(tmp_path: Path) -> None:
    path = tmp_path / "w600k_r50.onnx"
    path.write_bytes(b"no model")
    with pytest.raises(InputError, match="not an ONNX model"):
        ArcFace.official(status("arcface", path))


def test_flow_and_in_between_frames() -> None:
    """A textured picture that slides 2 px a frame: the flow says so, and the middle frame is predicted."""
    rng = np.random.default_rng(0)
    wide = cv2.GaussianBlur(rng.integers(0, 256, (64, 96, 3), dtype=np.uint8), (0, 0), 2)
    frames = np.stack([wide[:, 2 * t : 2 * t + 64] for t in range(6)])
    found = flow.flow(frames)
    assert found.shape == (5, 2, 64, 64)
    assert np.median(found[:, 0]) == pytest.approx(-2, abs=0.3)
    assert np.median(found[:, 1]) == pytest.approx(0, abs=0.3)
    made = flow.in_between(frames)
    assert made.shape == (2, 64, 64, 3)
    inner = np.s_[:, 8:-8, 8:-8]
    wrong = np.abs(made[inner].astype(int) - frames[1:4:2][inner]).mean()
    still = np.abs(frames[0:3:2][inner].astype(int) - frames[1:4:2][inner]).mean()
    assert wrong < 0.4 * still
    assert len(flow.sampled(np.zeros((25, 2, 2, 3)), 25.0)) == 9
    with pytest.raises(InputError, match="T ≥ 3"):
        flow.in_between(frames[:2])
    with pytest.raises(InputError, match="16 px"):
        flow.flow(frames[:, :8])


STUB = """#!{python}
import json, sys
from pathlib import Path
worker, folder, pictures, out = sys.argv[1:5]
assert worker.endswith("qalign_worker.py") and Path(folder).is_dir()
names = sorted(p.name for p in Path(pictures).glob("*.png"))
if Path(folder, "fail").exists():
    sys.exit("out of memory")
Path(out).write_text(json.dumps([[i, 0, 0, 0, 0] for i in range(len(names))]))
"""


def test_qalign_runs_in_its_own_environment(tmp_path: Path) -> None:
    model = tmp_path / "one-align"
    model.mkdir()
    (model / "config.json").write_text("{}")
    (model / "model.safetensors").touch()
    python = tmp_path / "python"
    python.write_text(STUB.format(python=sys.executable))
    python.chmod(0o755)
    found = QAlign.official(Status(OFFICIAL["qalign"], "unverified", model, "0" * 64), python)
    logits = found.logits(uint8(3, 8, 8, 3).numpy())
    assert logits.tolist() == [[i, 0, 0, 0, 0] for i in range(3)]
    (model / "fail").touch()
    with pytest.raises(InputError, match="failed with status 1: out of memory"):
        found.logits(uint8(1, 8, 8, 3).numpy())
    with pytest.raises(InputError, match="qalign_python"):
        QAlign.official(Status(OFFICIAL["qalign"], "unverified", model, "0" * 64), None)
