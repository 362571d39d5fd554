"""One program, one `.safetensors` file: packed weights and integer vectors, the graph as JSON in the header.

The header's metadata has one key, `rheobase`, whose value is JSON: `{"format": "rheobase-program", "version":
3, "name", "input_shape", "input_type", "T", "logit_scale", "metadata", "ops": [...]}`. An op is `{"op": "Conv2d",
"name": ..., "inputs": [...], <its integers>}`; `inputs` are places of earlier ops, -1 the frame. Files of version 1 have
none: each op reads the one before. Files before version 3 have no `input_type`: their frames are uint8. Optional fields
with their default are left out. Weights are `{"shape", "bits", "step", "offset"}`; their codes lie in the tensor
`<index>.weight` as `Weight.packed` gives them. int32 vectors lie in `<index>.<field>`.
"""

import json
from collections.abc import Mapping
from dataclasses import fields
from math import prod
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_bytes

from rheobase.errors import ProgramError
from rheobase.files import atomic_write
from rheobase.program.ir import VERSION, InputType, Program
from rheobase.program.ops import OPS, Op
from rheobase.program.ops.base import OPTIONAL, whole
from rheobase.program.weight import BITS, Weight, packed_bytes, row_bytes, rows_first, unpack

FORMAT = "rheobase-program"
READABLE = (1, 2, VERSION)
Tensors = dict[str, NDArray[Any]]


def save(program: Program, path: Path) -> None:
    """Validate `program` and write it to `path`, whole or not at all. Equal programs give equal bytes.

    Raises:
        ProgramError: the program is not valid.
        OSError: the file cannot be written.
    """
    program.validate()
    description, tensors = encode(program)
    header = json.dumps(description, sort_keys=True, separators=(",", ":"), allow_nan=False)
    atomic_write(Path(path), to_bytes(tensors, metadata={"rheobase": header}))


def load(path: Path) -> Program:
    """Read and validate a program.

    Raises:
        ProgramError: not a program, another version, damaged, or not valid.
        OSError: the file cannot be read.
    """
    try:
        with safe_open(path, "numpy") as file:
            header = (file.metadata() or {}).get("rheobase")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except OSError:
        raise
    except (SafetensorError, ValueError, TypeError, KeyError, AttributeError, MemoryError) as error:
        raise ProgramError(f"{path} is not a whole safetensors file: {error}") from None
    if header is None:
        raise ProgramError(f"{path} is a safetensors file, but not a rheobase program")
    try:
        program = decode(json.loads(header), tensors)
        program.validate()
    except (json.JSONDecodeError, RecursionError):
        raise ProgramError(f"{path}: the program's description is not JSON") from None
    except ProgramError as error:
        raise ProgramError(f"{path}: {error}") from None
    return program


def encode(program: Program) -> tuple[dict[str, Any], Tensors]:
    """A program as JSON values and arrays."""
    tensors: Tensors = {}
    ops = []
    for index, op in enumerate(program.ops):
        entry: dict[str, Any] = {"op": type(op).__name__}
        for field in fields(op):
            value = getattr(op, field.name)
            if field.metadata == OPTIONAL and value == field.default:
                continue
            if isinstance(value, Weight):
                tensors[f"{index}.{field.name}"] = np.ascontiguousarray(value.packed())
                entry[field.name] = {
                    "shape": list(value.shape),
                    "bits": int(value.bits),
                    "step": int(value.step),
                    "offset": int(value.offset),
                }
            elif isinstance(value, tuple):
                entry[field.name] = [int(each) for each in value]
            elif isinstance(value, np.ndarray) and value.ndim:
                tensors[f"{index}.{field.name}"] = np.ascontiguousarray(value)
                entry[field.name] = "int32"
            else:
                entry[field.name] = value if value is None or isinstance(value, str) else int(value)
        ops.append(entry)
    description = {
        "format": FORMAT,
        "version": program.version,
        "name": program.name,
        "input_shape": [int(size) for size in program.input_shape],
        "input_type": program.input_type,
        "T": int(program.T),
        "logit_scale": program.logit_scale,
        "metadata": dict(program.metadata),
        "ops": ops,
    }
    return description, tensors


def decode(description: Any, tensors: Tensors) -> Program:
    """Inverse of `encode`; believes nothing.

    Raises:
        ProgramError: a field or tensor is missing, of another type or size, or unknown.
    """
    top = _mapping(description, "the description")
    if top.get("format") != FORMAT:
        raise ProgramError(f"format {top.get('format')!r} is not {FORMAT!r}")
    if top.get("version") not in READABLE or isinstance(top.get("version"), bool):
        raise ProgramError(
            f"program version {top.get('version')!r}; this rheobase reads versions {READABLE[0]} to {VERSION}"
        )
    if not isinstance(top.get("ops"), list):
        raise ProgramError("ops must be a list")
    entries = [_mapping(entry, f"op {index}") for index, entry in enumerate(top["ops"])]
    if top["version"] == 1:
        if any("inputs" in entry for entry in entries):
            raise ProgramError("ops of version 1 read the op before and have no inputs")
        entries = [{**entry, "inputs": [index - 1]} for index, entry in enumerate(entries)]
    if top["version"] < VERSION and "input_type" in top:
        raise ProgramError(f"programs of version {top['version']} have no input_type: their frames are uint8")
    left = dict(tensors)
    ops = [_op(index, entry, left) for index, entry in enumerate(entries)]
    if left:
        raise ProgramError(f"tensors that no op uses: {', '.join(sorted(left)[:5])}")
    shape, scale = top.get("input_shape"), top.get("logit_scale")
    if not isinstance(shape, list) or len(shape) != 3:
        raise ProgramError(f"input_shape must be [C, H, W], got {shape!r}")
    if not isinstance(top.get("name"), str) or isinstance(scale, bool) or not isinstance(scale, (int, float)):
        raise ProgramError("name must be a string and logit_scale a number")
    metadata = _mapping(top.get("metadata"), "metadata")
    channels, height, width = shape
    steps = whole(top.get("T"), "T", 1, 65535)
    kind = cast(InputType, top.get("input_type") if top["version"] == VERSION else "uint8")  # for `validate`
    return Program(
        top["name"], (channels, height, width), steps, ops, metadata, float(scale), input_type=kind
    )


def _mapping(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ProgramError(f"{what} must be a JSON object")
    return value


def _op(index: int, entry: Mapping[str, Any], tensors: Tensors) -> Op:
    kind = OPS.get(str(entry.get("op")))
    if kind is None:
        raise ProgramError(f"op {index}: {entry.get('op')!r} is not one of {', '.join(OPS)}")
    known = {field.name for field in fields(kind)}
    needed = {field.name for field in fields(kind) if field.metadata != OPTIONAL}
    given = set(entry) - {"op"}
    if not needed <= given <= known:
        raise ProgramError(
            f"op {index} {entry['op']} has the fields {sorted(given)}, expected {sorted(needed)}"
        )
    values: dict[str, Any] = {}
    for name in given:
        value = entry[name]
        tensor = tensors.pop(f"{index}.{name}", None)
        where = f"op {index} {entry['op']} {name}"
        if name == "inputs":
            values[name] = _inputs(where, value)
        elif name == "weight":
            values[name] = _weight(where, _mapping(value, where), tensor)
        elif value == "int32" and name not in ("name", "kind"):
            if tensor is None or tensor.dtype != np.int32 or tensor.ndim != 1:
                raise ProgramError(f"{where} needs an int32 vector in the file")
            values[name] = tensor
        elif tensor is not None:
            raise ProgramError(f"{where} is {value!r}, yet the file has a tensor for it")
        elif name in ("name", "kind"):
            if not isinstance(value, str):
                raise ProgramError(f"{where} must be a string, got {value!r}")
            values[name] = value
        elif value is None or (isinstance(value, int) and not isinstance(value, bool)):
            values[name] = value
        else:
            raise ProgramError(f"{where} must be an integer, got {value!r}")
    try:
        return kind(**values)
    except ProgramError as error:
        raise ProgramError(f"op {index}: {error}") from None


def _inputs(where: str, value: Any) -> tuple[int, ...]:
    if not isinstance(value, list) or not value or any(type(each) is not int for each in value):
        raise ProgramError(f"{where} must be a list of places of ops, got {value!r}")
    return tuple(value)


def _weight(where: str, entry: Mapping[str, Any], tensor: NDArray[Any] | None) -> Weight:
    if set(entry) != {"shape", "bits", "step", "offset"} or not isinstance(entry["shape"], list):
        raise ProgramError(f"{where} must have shape, bits, step and offset")
    numbers = [*entry["shape"], entry["bits"], entry["step"], entry["offset"]]
    if any(isinstance(n, bool) or not isinstance(n, int) for n in numbers) or min([1, *entry["shape"]]) < 1:
        raise ProgramError(f"{where}: shape, bits, step and offset must be integers")
    shape, bits = tuple(entry["shape"]), entry["bits"]
    if len(shape) not in (2, 4) or bits not in BITS:
        raise ProgramError(f"{where}: shape {list(shape)} with {bits} bits is not a weight")
    row = row_bytes(shape[0], bits)
    packed = (shape[2], shape[3], shape[1], row) if len(shape) == 4 else (shape[1], row)
    if tensor is None or tensor.dtype != np.uint8 or tensor.shape != packed:
        found = "none" if tensor is None else f"{tensor.dtype} {list(tensor.shape)}"
        raise ProgramError(
            f"{where}: weights {list(shape)} of {bits} bits are uint8 {list(packed)}, "
            f"{packed_bytes(shape, bits)} bytes; the file has {found}"
        )
    codes = np.ascontiguousarray(rows_first(unpack(tensor, bits, shape[0])))
    weight = Weight(codes, bits, entry["step"], entry["offset"])
    if prod(packed) and not np.array_equal(weight.packed(), tensor):
        raise ProgramError(f"{where}: unused bits of the packed weights are not zero")
    return weight
