"""Published ONNX files through onnxruntime: one thread, and one clear line for a file that is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from components.core.errors import InputError


def session(path: Path) -> Any:
    """An inference session on the processor.

    Raises:
        InputError: the file is missing or no ONNX model.
    """
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as failures

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    problems = (
        failures.Fail, failures.InvalidProtobuf, failures.InvalidGraph, failures.NoSuchFile,
        failures.InvalidArgument,
    )  # fmt: skip
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except problems as error:
        raise InputError(f"{path} is not an ONNX model: {str(error).splitlines()[0]}") from error
