"""Ops without a fast form here run by their own C, as programs ship it, between maps of the engine: no op is refused."""

import ctypes
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

from rheobase.engine.library import FLAGS, ISAS
from rheobase.engine.packing import padded
from rheobase.native import compile_shared
from rheobase.program.c99.emitter import Emitter, Value
from rheobase.program.ops import Op
from rheobase.program.ops.base import Shape
from rheobase.program.ranges import Range

LOADS = {
    "map": "((const int32_t *)values[{k}])[place * {pitch} + c]",
    "spikes": "((const uint64_t *)values[{k}])[place * {words} + c / 64] >> c % 64 & 1u",
}


@dataclass(frozen=True, eq=False)
class Input:
    """A value that an op reads: where the engine has it, its C type in the op's C, and its shape."""

    source: str  # as in a View
    ctype: str
    shape: Shape


@dataclass(frozen=True, eq=False)
class Own:
    """An op, what it reads and what it gives."""

    op: Op
    place: int  # in the program
    inputs: tuple[Input, ...]
    shape: Shape
    reach: Range

    @property
    def name(self) -> str:
        """Name of its function in C."""
        return f"own{self.place}"


def library(owns: Sequence[Own], isa: str) -> ctypes.CDLL:
    """The C of these ops, compiled: for each a function `own7` (an `own_step` of engine.h), and the bytes of its state.

    Raises:
        CompilerError: there is no C compiler, or it failed.
    """
    kernels: dict[str, str] = {}
    parts = [_function(own, kernels) for own in owns]
    text = "\n".join(["#include <stdint.h>", "#include <string.h>", *kernels.values(), *parts])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "own.c")
        path.write_text(text)
        found = ctypes.CDLL(str(compile_shared([path], (*FLAGS, *ISAS[isa]), "own")))
    for own in owns:
        found[f"{own.name}_bytes"].restype = ctypes.c_int64
    return found


def _function(own: Own, kernels: dict[str, str]) -> str:
    """The op's constants, state and step: load the inputs channel-last, do what the shipped step does, keep the result."""
    emitter = Emitter(kernels=kernels, index=own.place, last=own.place, shape=own.shape)
    emitter.storage, emitter.product, emitter.label = own.reach.storage, own.reach.product, own.reach.layer
    values, loads, frames = [], [], []
    for k, read in enumerate(own.inputs):
        if read.source == "frame":
            frames.append(f"    const {read.ctype} *const frame{k} = (const {read.ctype} *)values[{k}];")
            values.append(Value(f"frame{k}", read.ctype, read.shape, frame_order=True))
            continue
        channels, places = read.shape[0], prod(read.shape[1:])
        name = emitter.temporary(f"in{k}_", read.ctype, channels * places)
        load = LOADS[read.source].format(k=k, pitch=padded(channels, 64), words=-(-channels // 64))
        loads.append(_loops(places, channels, f"{name}[place * {channels} + c] = ({read.ctype})({load});"))
        values.append(Value(name, read.ctype, read.shape, block=emitter.pointers[-1][2]))
    emitter.inputs = values
    own.op.emit(emitter)
    result = emitter.result
    assert result is not None, "only a Readout gives nothing, and the engine has its own"
    (by_place, by_channel), channels = result.pitch, own.shape[0]
    entry = f"(uint32_t)(int32_t){result.expression}[place * {by_place} + c * {by_channel}]"
    store = f"map[place * {padded(channels, 64)} + c] = (int32_t)({entry} << {result.shift});"
    scratch, pointers = emitter.scratch()
    lines = [
        *emitter.constants,
        f"typedef struct {own.name}_state {{",
        *emitter.state,
        scratch,
        f"}} {own.name}_state;",
        f"int64_t {own.name}_bytes(void);",
        f"void {own.name}(void *memory, const void *const *values, int32_t *map);",
        f"int64_t {own.name}_bytes(void) {{ return (int64_t)sizeof({own.name}_state); }}",
        f"void {own.name}(void *memory, const void *const *values, int32_t *map)\n{{",
        f"    {own.name}_state *const state = ({own.name}_state *)memory;",
        *frames,
        *pointers,
        *loads,
        *emitter.steps,
        _loops(prod(own.shape[1:]), channels, store),
        "}",
    ]
    return "\n".join(lines)


def _loops(places: int, channels: int, statement: str) -> str:
    head = f"    for (int32_t place = 0; place < {places}; ++place)\n        for (int32_t c = 0; c < {channels}; ++c)\n"
    return f"{head}            {statement}"
