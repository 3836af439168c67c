"""Small ONNX files, written byte by byte: the package onnx is not needed to test what reads them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def proto(field: int, value: int | str | bytes) -> bytes:
    """One field of a protocol buffer."""
    if isinstance(value, int):
        return varint(field << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(field << 3 | 2) + varint(len(data)) + data


def varint(value: int) -> bytes:
    """A number as a protocol buffer writes it."""
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def node(kind: str, inputs: list[str], output: str, **lists: list[int]) -> bytes:
    """An operator with one output; attributes are lists of integers."""
    made = b"".join(proto(1, name) for name in inputs) + proto(2, output) + proto(4, kind)
    for name, numbers in lists.items():
        made += proto(5, proto(1, name) + b"".join(proto(8, number) for number in numbers) + proto(20, 7))
    return made


def tensor(name: str, values: NDArray[np.generic]) -> bytes:
    """A constant, float32 or int64."""
    kind = {"float32": 1, "int64": 7}[values.dtype.name]
    dims = b"".join(proto(1, side) for side in values.shape)
    return dims + proto(2, kind) + proto(8, name) + proto(9, values.tobytes())


def value(name: str, sides: list[int | str]) -> bytes:
    """An input or output: float32 of these sides, a name where one is free."""
    dims = b"".join(proto(1, proto(2 if isinstance(side, str) else 1, side)) for side in sides)
    return proto(1, name) + proto(2, proto(1, proto(1, 1) + proto(2, dims)))


def model(nodes: list[bytes], tensors: list[bytes], inputs: list[bytes], outputs: list[bytes]) -> bytes:
    """The file."""
    graph = b"".join(proto(1, each) for each in nodes) + b"".join(proto(5, each) for each in tensors)
    graph += b"".join(proto(11, each) for each in inputs) + b"".join(proto(12, each) for each in outputs)
    return proto(1, 8) + proto(8, proto(1, "") + proto(2, 13)) + proto(7, graph)


def scrfd(box: tuple[float, ...], points: tuple[float, ...]) -> bytes:
    """A detector in the layout of an InsightFace pack that finds red.

    Two anchors a cell of 8, 16 and 32 px; the first scores the mean of (red − blue)/2 of its cell, the second
    nothing. Boxes and points are the same everywhere, in strides.
    """
    nodes, tensors, outputs = [], [], []
    for stride in (8, 16, 32):
        nodes.append(
            node("AveragePool", ["input.1"], f"p{stride}", kernel_shape=[stride] * 2, strides=[stride] * 2)
        )
        parts = {"score": 1, "box": 4, "kps": 10}
        for part, size in parts.items():
            weight = np.zeros((2 * size, 3, 1, 1), np.float32)
            bias = np.zeros(2 * size, np.float32)
            if part == "score":
                weight[0, :, 0, 0] = 0.5, 0, -0.5
            else:
                bias[:] = (box if part == "box" else points) * 2
            name = f"{part}{stride}"
            tensors += [tensor(f"{name}w", weight), tensor(f"{name}b", bias)]
            tensors.append(tensor(f"{name}s", np.array([-1, size], np.int64)))
            nodes += [
                node("Conv", [f"p{stride}", f"{name}w", f"{name}b"], f"{name}c"),
                node("Transpose", [f"{name}c"], f"{name}t", perm=[0, 2, 3, 1]),
                node("Reshape", [f"{name}t", f"{name}s"], name),
            ]
    for part, size in (("score", 1), ("box", 4), ("kps", 10)):
        outputs += [value(f"{part}{stride}", ["n", size]) for stride in (8, 16, 32)]
    return model(nodes, tensors, [value("input.1", [1, 3, "h", "w"])], outputs)


def mean_colour() -> bytes:
    """A model (n,3,112,112) → (n,3) in the layout of ArcFace: the mean of each channel."""
    nodes = [node("GlobalAveragePool", ["input.1"], "pooled"), node("Flatten", ["pooled"], "683")]
    return model(nodes, [], [value("input.1", ["n", 3, 112, 112])], [value("683", ["n", 3])])
