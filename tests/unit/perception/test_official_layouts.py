"""Random weights in each official network's published layout: accepted tensor by tensor, and nothing else is.

The names and shapes are written down here a second time, from the publishers' code, not taken from ours.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from components.core.errors import InputError
from components.core.paths import Workspace
from components.perception import dino, official
from components.perception.arcface import ArcFace
from components.perception.inception import FidInception
from components.perception.official import OFFICIAL, Status
from components.perception.perceptual import Perceptual
from components.perception.qalign import QAlign
from components.perception.syncnet import SyncNet
from components.perception.video_features import VideoFeatures
from tests.onnx_files import model, node, tensor, value

Shapes = dict[str, tuple[int, ...]]
NORM = ("weight", "bias", "running_mean", "running_var")


def status(name: str, path: Path) -> Status:
    return Status(OFFICIAL[name], "official", path, hashlib.sha256(path.read_bytes()).hexdigest())


def random_state(shapes: Shapes) -> dict[str, torch.Tensor]:
    made = {key: torch.randn(shape) * 0.02 for key, shape in shapes.items()}
    return made | {key: x.abs() + 0.5 for key, x in made.items() if key.endswith("running_var")}


def inception_shapes() -> Shapes:
    """torchvision's Inception v3 without its auxiliary head, 1,008 classes: units by in, out, kernel."""
    units: dict[str, tuple[int, int, int, int]] = {
        "Conv2d_1a_3x3": (3, 32, 3, 3), "Conv2d_2a_3x3": (32, 32, 3, 3), "Conv2d_2b_3x3": (32, 64, 3, 3),
        "Conv2d_3b_1x1": (64, 80, 1, 1), "Conv2d_4a_3x3": (80, 192, 3, 3),
    }  # fmt: skip
    for block, x, pool in (("5b", 192, 32), ("5c", 256, 64), ("5d", 288, 64)):
        units |= {f"Mixed_{block}.{name}": unit for name, unit in {
            "branch1x1": (x, 64, 1, 1), "branch5x5_1": (x, 48, 1, 1), "branch5x5_2": (48, 64, 5, 5),
            "branch3x3dbl_1": (x, 64, 1, 1), "branch3x3dbl_2": (64, 96, 3, 3),
            "branch3x3dbl_3": (96, 96, 3, 3), "branch_pool": (x, pool, 1, 1)}.items()}  # fmt: skip
    units |= {f"Mixed_6a.{name}": unit for name, unit in {
        "branch3x3": (288, 384, 3, 3), "branch3x3dbl_1": (288, 64, 1, 1),
        "branch3x3dbl_2": (64, 96, 3, 3), "branch3x3dbl_3": (96, 96, 3, 3)}.items()}  # fmt: skip
    for block, c in (("6b", 128), ("6c", 160), ("6d", 160), ("6e", 192)):
        units |= {f"Mixed_{block}.{name}": unit for name, unit in {
            "branch1x1": (768, 192, 1, 1), "branch7x7_1": (768, c, 1, 1), "branch7x7_2": (c, c, 1, 7),
            "branch7x7_3": (c, 192, 7, 1), "branch7x7dbl_1": (768, c, 1, 1), "branch7x7dbl_2": (c, c, 7, 1),
            "branch7x7dbl_3": (c, c, 1, 7), "branch7x7dbl_4": (c, c, 7, 1),
            "branch7x7dbl_5": (c, 192, 1, 7), "branch_pool": (768, 192, 1, 1)}.items()}  # fmt: skip
    units |= {f"Mixed_7a.{name}": unit for name, unit in {
        "branch3x3_1": (768, 192, 1, 1), "branch3x3_2": (192, 320, 3, 3), "branch7x7x3_1": (768, 192, 1, 1),
        "branch7x7x3_2": (192, 192, 1, 7), "branch7x7x3_3": (192, 192, 7, 1),
        "branch7x7x3_4": (192, 192, 3, 3)}.items()}  # fmt: skip
    for block, x in (("7b", 1280), ("7c", 2048)):
        units |= {f"Mixed_{block}.{name}": unit for name, unit in {
            "branch1x1": (x, 320, 1, 1), "branch3x3_1": (x, 384, 1, 1), "branch3x3_2a": (384, 384, 1, 3),
            "branch3x3_2b": (384, 384, 3, 1), "branch3x3dbl_1": (x, 448, 1, 1),
            "branch3x3dbl_2": (448, 384, 3, 3), "branch3x3dbl_3a": (384, 384, 1, 3),
            "branch3x3dbl_3b": (384, 384, 3, 1), "branch_pool": (x, 192, 1, 1)}.items()}  # fmt: skip
    shapes: Shapes = {"fc.weight": (1008, 2048), "fc.bias": (1008,)}
    for name, (inputs, outputs, *kernel) in units.items():
        shapes[f"{name}.conv.weight"] = (outputs, inputs, *kernel)
        shapes |= {f"{name}.bn.{kind}": (outputs,) for kind in NORM}
        shapes[f"{name}.bn.num_batches_tracked"] = ()
    return shapes


def syncnet_shapes() -> Shapes:
    """`S` of syncnet_python: two Sequentials by index, two heads."""
    towers = {
        "netcnnaud": {0: (64, 1, 3, 3), 4: (192, 64, 3, 3), 8: (384, 192, 3, 3), 11: (256, 384, 3, 3),
                      14: (256, 256, 3, 3), 18: (512, 256, 5, 4)},
        "netcnnlip": {0: (96, 3, 5, 7, 7), 4: (256, 96, 1, 5, 5), 8: (256, 256, 1, 3, 3),
                      11: (256, 256, 1, 3, 3), 14: (256, 256, 1, 3, 3), 18: (512, 256, 1, 6, 6)},
    }  # fmt: skip
    shapes: Shapes = {}
    for tower, layers in towers.items():
        for place, size in layers.items():
            shapes |= {f"{tower}.{place}.weight": size, f"{tower}.{place}.bias": size[:1]}
            shapes |= {f"{tower}.{place + 1}.{kind}": size[:1] for kind in NORM}
            shapes[f"{tower}.{place + 1}.num_batches_tracked"] = ()
    for head in ("netfcaud", "netfclip"):
        shapes |= {f"{head}.0.weight": (512, 512), f"{head}.0.bias": (512,), f"{head}.3.weight": (1024, 512)}
        shapes |= {f"{head}.3.bias": (1024,), f"{head}.1.num_batches_tracked": ()}
        shapes |= {f"{head}.1.{kind}": (512,) for kind in NORM}
    return shapes


def dino_shapes(layers: int = 12, width: int = 768) -> Shapes:
    """`vit_base` of facebookresearch/dino with patches of 16, at 224 px, without a head."""
    shapes: Shapes = {
        "cls_token": (1, 1, width), "pos_embed": (1, 197, width), "norm.weight": (width,),
        "norm.bias": (width,), "patch_embed.proj.weight": (width, 3, 16, 16),
        "patch_embed.proj.bias": (width,),
    }  # fmt: skip
    for index in range(layers):
        for name, (outputs, inputs) in {
            "attn.qkv": (3 * width, width), "attn.proj": (width, width), "mlp.fc1": (4 * width, width),
            "mlp.fc2": (width, 4 * width), "norm1": (width, 0), "norm2": (width, 0),
        }.items():  # fmt: skip
            whole = (outputs, inputs) if inputs else (outputs,)
            shapes |= {f"blocks.{index}.{name}.weight": whole, f"blocks.{index}.{name}.bias": (outputs,)}
    return shapes


def alexnet_shapes() -> Shapes:
    """torchvision's AlexNet, its classifier too."""
    shapes: Shapes = {}
    for index, size in {0: (64, 3, 11, 11), 3: (192, 64, 5, 5), 6: (384, 192, 3, 3), 8: (256, 384, 3, 3),
                        10: (256, 256, 3, 3)}.items():  # fmt: skip
        shapes |= {f"features.{index}.weight": size, f"features.{index}.bias": size[:1]}
    return shapes | {"classifier.1.weight": (8, 16), "classifier.1.bias": (8,)}  # (4096, 9216) there


LOADERS: dict[str, tuple[Callable[[], Shapes], Callable[[Path], Any]]] = {
    "inception": (inception_shapes, FidInception.from_file),
    "syncnet": (syncnet_shapes, SyncNet.from_file),
    "dino": (
        lambda: dino_shapes(2, 48),
        lambda path: dino.DinoFeatures(dino.load_dino(path, dino.vit(2, 48, 3)), "0"),
    ),
    "alexnet": (alexnet_shapes, lambda path: Perceptual.official(status("alexnet", path))),
}  # fmt: skip


@pytest.mark.parametrize("name", LOADERS)
def test_the_published_layout_is_accepted_key_by_key_and_no_other(name: str, tmp_path: Path) -> None:
    shapes, load = LOADERS[name][0](), LOADERS[name][1]
    path = tmp_path / OFFICIAL[name].file
    torch.manual_seed(0)
    state = random_state(shapes)
    torch.save(state, path)
    network = load(path)
    if isinstance(network, nn.Module):
        held = network.state_dict()
        assert {key: tuple(each.shape) for key, each in held.items()} == shapes
        assert all(torch.equal(held[key], each.to(held[key])) for key, each in state.items())
    some = next(key for key in shapes if key.endswith("bias") and "classifier" not in key)

    def refused(other: Any, *words: str) -> None:
        torch.save(other, path)
        with pytest.raises(InputError) as error:
            load(path)
        assert str(path) in str(error.value) and "\n" not in str(error.value)
        assert all(word in str(error.value) for word in words), str(error.value)

    lacking = {key: each for key, each in state.items() if key != some}
    refused(lacking, f"1 missing ({some})")
    refused(state | {"head.last.weight": torch.zeros(1)}, "1 that do not belong (head.last.weight)")
    renamed = lacking | {some.replace("bias", "bais"): state[some]}
    refused(renamed, f"missing ({some})", some.replace("bias", "bais"))
    refused(
        state | {some: torch.zeros(3, 3)}, f"1 of another shape ({some} (3, 3) instead of {shapes[some]})"
    )
    refused({"state_dict": state}, "not named tensors")
    refused([torch.zeros(2)], "list")
    path.write_bytes(b"no tensors at all")
    with pytest.raises(InputError, match="is not"):
        load(path)


def test_files_of_old_versions_have_no_counters_of_batches(tmp_path: Path) -> None:
    """Before PyTorch 0.4.1 batch norms counted nothing; what is computed is the same."""
    path = tmp_path / "inception.pth"
    state = random_state(inception_shapes())
    torch.save({key: each for key, each in state.items() if "num_batches" not in key}, path)
    held = FidInception.from_file(path).state_dict()
    assert torch.equal(held["fc.weight"], state["fc.weight"])
    torch.save(state | {"Mixed_5b.branch_pool.bn.num_batches_tracked": torch.zeros(1)}, path)
    FidInception.from_file(path)


def test_dino_at_its_published_size() -> None:
    """150 tensors, 85,798,656 numbers, each of them one of ours once; on the meta device, without memory."""
    with torch.device("meta"):
        network = dino.vit()
        shapes = dino_shapes()
        state = {key: torch.empty(shape) for key, shape in shapes.items()}
    assert dino.published_shapes(network.config) == shapes and len(shapes) == 150
    assert sum(each.numel() for each in state.values()) == 85_798_656
    made = dino.renamed(state, network)
    assert {key: each.shape for key, each in made.items()} == {
        key: each.shape for key, each in network.state_dict().items()
    }


class Windows(nn.Module):
    """The published call on a small random network with 400 features, in I3D's order of axes."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv3d(3, 8, (7, 7, 7), stride=(2, 2, 2), padding=3)
        self.logits = nn.Conv3d(8, 400, 1)

    def forward(self, x: torch.Tensor, rescale: bool, resize: bool, return_features: bool) -> torch.Tensor:
        if resize:
            x = nn.functional.interpolate(x, size=[x.shape[2], 224, 224], mode="trilinear")
        if rescale:
            x = 2 * x / 255 - 1
        x = self.logits(torch.relu(self.stem(x))).mean(dim=[2, 3, 4])
        return x if return_features else torch.softmax(x, dim=1)


class Plain(nn.Module):
    """Another program: it takes pictures alone."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def test_i3d_of_random_weights_and_other_programs(tmp_path: Path) -> None:
    path = tmp_path / "i3d_torchscript.pt"
    torch.manual_seed(0)
    network = Windows().eval()
    torch.jit.script(network).save(str(path))
    loaded = VideoFeatures.official(status("i3d", path))
    windows = torch.rand(2, 3, 10, 32, 32) * 255
    with torch.inference_mode():
        wanted = network(windows, True, True, True)
    assert torch.allclose(loaded.features(windows, inside=True), wanted, atol=1e-5)
    held = {key: tuple(each.shape) for key, each in loaded.network.state_dict().items()}
    assert held == {key: tuple(each.shape) for key, each in network.state_dict().items()}
    torch.jit.script(Plain()).save(str(path))
    with pytest.raises(InputError, match="takes nothing, not rescale, resize, return_features"):
        VideoFeatures.official(status("i3d", path))
    narrow = Windows().eval()
    narrow.logits = nn.Conv3d(8, 7, 1)
    torch.jit.script(narrow).save(str(path))
    with pytest.raises(InputError, match="7 features instead of 400"):
        VideoFeatures.official(status("i3d", path)).features(windows, inside=True)
    torch.save(network.state_dict(), path)
    with pytest.raises(InputError, match="not a TorchScript file"):
        VideoFeatures.official(status("i3d", path))


def arcface_file(side: int = 112, width: int = 512, outputs: int = 1, flat: bool = True) -> bytes:
    """A random embedding network in the layout of `w600k_r50.onnx`: input.1 (N,3,112,112) → 683 (N,512)."""
    rng = np.random.default_rng(0)
    nodes = [
        node("Conv", ["input.1", "w", "b"], "features", strides=[8, 8]),
        node("GlobalAveragePool", ["features"], "pooled"),
        node("Flatten", ["pooled"], "683") if flat else node("Relu", ["pooled"], "683"),
    ]
    names = ["683", "features"][:outputs]
    tensors = [
        tensor("w", rng.normal(0, 0.2, (width, 3, 8, 8)).astype(np.float32)),
        tensor("b", rng.normal(0, 0.2, width).astype(np.float32)),
    ]
    sides: dict[str, list[int | str]] = {"683": ["n", width] if flat else ["n", width, 1, 1],
                                         "features": ["n", width, "h", "w"]}  # fmt: skip
    return model(
        nodes, tensors, [value("input.1", ["n", 3, side, side])], [value(each, sides[each]) for each in names]
    )


def test_arcface_of_random_weights_and_other_layouts(tmp_path: Path) -> None:
    path = tmp_path / "w600k_r50.onnx"
    path.write_bytes(arcface_file())
    net = ArcFace.official(status("arcface", path))
    faces = np.random.default_rng(1).integers(0, 256, (3, 112, 112, 3), dtype=np.uint8)
    found = net.embed(faces)
    assert found.shape == (3, 512) and found.dtype == np.float32
    rng = np.random.default_rng(0)
    weight, bias = rng.normal(0, 0.2, (512, 3, 8, 8)), rng.normal(0, 0.2, 512)
    pixels = torch.tensor((faces.astype(np.float64) - 127.5) / 127.5).permute(0, 3, 1, 2)
    wanted = nn.functional.conv2d(pixels, torch.tensor(weight), torch.tensor(bias), stride=8).mean((2, 3))
    assert np.allclose(found, wanted.numpy(), atol=1e-4)
    for content, words in (
        (arcface_file(side=160), r"takes \[.*160, 160\], ArcFace takes \(N,3,112,112\)"),
        (arcface_file(outputs=2), "ArcFace gives one embedding"),
        (arcface_file(flat=False), r"512, 1, 1\]\], ArcFace gives one embedding"),
        (arcface_file()[:-40], "not an ONNX model"),
    ):
        path.write_bytes(content)
        with pytest.raises(InputError, match=words):
            ArcFace.official(status("arcface", path))


TRANSFORMERS = '''
"""Stands in for the older transformers of one-align's environment: its class, call and attributes."""
import torch


class AutoModelForCausalLM(torch.nn.Module):
    preferential_ids_ = [6, 1, 4, 0, 3]  # excellent, good, fair, poor, bad in its tokens

    @classmethod
    def from_pretrained(cls, folder, trust_remote_code, attn_implementation, torch_dtype, device_map):
        assert trust_remote_code and attn_implementation == "eager"
        model = cls()
        model.head = torch.nn.Linear(3, 8)
        model.load_state_dict(torch.load(f"{folder}/pytorch_model-00001-of-00001.bin", weights_only=True))
        return model

    def forward(self, x):
        return {"logits": self.head(x)[:, None].repeat(1, 4, 1) * torch.tensor([0.0, 0, 0, 1])[:, None]}

    def score(self, pictures, task_, input_):
        assert task_ == "quality" and input_ == "image" and len(pictures) == 1
        red, green, blue = pictures[0].getpixel((0, 0))
        with torch.inference_mode():
            return self(torch.tensor([[red / 255, green / 255, blue / 255]]))
'''


def test_qalign_by_the_worker_itself_on_random_weights(tmp_path: Path) -> None:
    """The program that runs in the other environment, with a stand-in for that environment's transformers:
    logits of the last position, of the five levels in their order, picture by picture."""
    folder, place = tmp_path / "one-align", tmp_path / "other"
    folder.mkdir()
    place.mkdir()
    (place / "transformers.py").write_text(TRANSFORMERS)
    python = tmp_path / "python"
    python.write_text(
        f"#!{sys.executable}\nimport runpy, sys\nsys.path.insert(0, {str(place)!r})\n"
        "sys.argv = sys.argv[1:]\nrunpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    python.chmod(0o755)
    known = Status(OFFICIAL["qalign"], "unverified", folder, "0" * 64)
    with pytest.raises(InputError, match=r"has no config.json"):
        QAlign.official(known, python)
    (folder / "config.json").write_text('{"model_type": "mplug_owl2"}')
    with pytest.raises(InputError, match="holds no tensors"):
        QAlign.official(known, python)
    shard = "pytorch_model-00001-of-00001.bin"
    index = {"weight_map": {"head.weight": shard, "head.bias": "pytorch_model-00002-of-00002.bin"}}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    with pytest.raises(InputError, match="2 of 2 files of tensors are missing, e.g. pytorch_model-00001"):
        QAlign.official(known, python)
    index["weight_map"]["head.bias"] = shard
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    torch.manual_seed(0)
    head = nn.Linear(3, 8)
    torch.save({f"head.{key}": each for key, each in head.state_dict().items()}, folder / shard)
    pictures = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3), dtype=np.uint8)
    pictures[:] = pictures[:, :1, :1]
    found = QAlign.official(known, python).logits(pictures)
    with torch.inference_mode():
        wanted = head(torch.tensor(pictures[:, 0, 0] / 255.0, dtype=torch.float32))[:, [6, 1, 4, 0, 3]]
    assert np.allclose(found, wanted.numpy(), atol=1e-6)
    torch.save({"head.weight": head.weight.detach()}, folder / shard)
    with pytest.raises(InputError, match=r'failed with status 1: .*Missing key.* "head.bias"'):
        QAlign.official(known, python).logits(pictures)


@pytest.mark.parametrize("name", OFFICIAL)
def test_another_hash_is_refused_for_every_network(name: str, tmp_path: Path) -> None:
    """A published hash must be met; one that nobody publishes can be pinned; both errors say how to go on."""
    workspace = Workspace(tmp_path)
    path = tmp_path / "weights"
    if name == "qalign":
        path.mkdir()
        (path / "config.json").write_text("{}")
    else:
        path.write_bytes(b"random weights")
    params: dict[str, Any] = {"weights": {name: "weights"}}
    pinned = OFFICIAL[name].sha256 is not None
    if not pinned:
        params["weights"]["accept"] = {name: "0" * 64}
    (tmp_path / "params.yaml").write_text(json.dumps(params))
    with pytest.raises(InputError) as error:
        official.find(name, workspace, {})
    assert "SHA-256" in str(error.value) and f"weights.accept.{name}" in str(error.value)
    assert (OFFICIAL[name].sha256 or "published is none") in str(error.value)
    digest = official.check(name, path).digest
    params["weights"]["accept"] = {name: digest}
    (tmp_path / "params.yaml").write_text(json.dumps(params))
    found = official.find(name, workspace, {})
    assert found is not None and found.state == "accepted" and found.label == f"{name}@{str(digest)[:12]}"
