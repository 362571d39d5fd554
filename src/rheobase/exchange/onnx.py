"""ONNX files: a program unrolled over its T steps, exact in float32 and float64.

Input `frames` of the program's type, uint8 or int8, `[T, N, C, H, W]`, any N; output `logits` int32 `[T, N, K]`, the
running class scores after each step. What an op becomes is in `onnx_ops.py`.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rheobase.exchange.losses import ExchangeError
from rheobase.exchange.onnx_builder import Builder, package
from rheobase.exchange.onnx_ops import write_ops
from rheobase.files import atomic_write
from rheobase.program.ir import Program
from rheobase.program.reference import check_frames

OPSET, IR_VERSION = 18, 9


def export_onnx(program: Program, path: Path) -> Path:
    """Write a program as an ONNX file for its own number of steps.

    Raises:
        ExchangeError: an op has no form in ONNX, or sums of weights are beyond exact float32; the message names it.
        ProgramError: the program is not valid.
        OSError: the file cannot be written.
    """
    atomic_write(Path(path), to_onnx(program).SerializeToString())
    return Path(path)


def to_onnx(program: Program) -> Any:
    """A program as an ONNX model; see `export_onnx`."""
    onnx = package("onnx")
    program.validate()
    builder = Builder(program)
    write_ops(builder)
    graph = onnx.helper.make_graph(
        builder.nodes,
        program.name,
        [
            onnx.helper.make_tensor_value_info(
                "frames",
                getattr(onnx.TensorProto, program.input_type.upper()),
                [program.T, "N", *program.input_shape],
            )
        ],
        [
            onnx.helper.make_tensor_value_info(
                "logits", onnx.TensorProto.INT32, [program.T, "N", program.classes]
            )
        ],
        [onnx.numpy_helper.from_array(array, name) for name, array in builder.constants.items()],
    )
    opset = onnx.helper.make_opsetid("", OPSET)
    model = onnx.helper.make_model(
        graph, opset_imports=[opset], ir_version=IR_VERSION, producer_name="rheobase"
    )
    facts = {"rheobase_digest": program.digest(), "logit_scale": repr(program.logit_scale)}
    onnx.helper.set_model_props(model, facts)
    onnx.checker.check_model(model)
    return model


def run_onnx(path: Path, program: Program, frames: NDArray[Any]) -> NDArray[np.int32]:
    """Running logits of an exported program in ONNX Runtime: `np.cumsum` of the reference's over time.

    Shape: the program's `input_type` `[T, N, C, H, W]` to int32 `[T, N, K]`, T that of the program.
    Raises:
        DataError: frames of another type or shape.
        ExchangeError: ONNX Runtime is not installed, or the frames have another T.
    """
    runtime = package("onnxruntime")
    frames = check_frames(program, frames)
    if len(frames) != program.T:
        raise ExchangeError(f"{path} was written for T={program.T}, the frames have {len(frames)} steps")
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], {"frames": frames})
    return logits
