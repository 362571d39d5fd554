"""`write_c`: a program as freestanding C99 that tests itself.

Files: `model.h`, `model.c`, `self_test.c`; of a program with a readout also `learn.h`, `learn.c` (see `learner`).
"""

import re
from dataclasses import dataclass
from importlib.resources import files
from math import prod
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rheobase.files import atomic_write
from rheobase.program.c99.emitter import number_rows
from rheobase.program.c99.generator import FNV_START, fnv1a
from rheobase.spiketime.program import learner, reference
from rheobase.spiketime.program.ir import Encoder, Layer, Pool, Program, Readout

MEANING = {
    "rel_psp": "The class is that of\n   the output neuron that fires first, and the computation stops there.",
    "std_ed": "Each layer fires in a\n   window of its own, after that of its inputs; the class is that of the greatest "
    "membrane when the last one ends.",
}
RESULT = {"rel_psp": "tick of the first output spike, or SILENT", "std_ed": "membranes"}


@dataclass(frozen=True)
class Source:
    """Generated C: text by file name, and the start of its identifiers."""

    prefix: str
    files: dict[str, str]

    def fill(self, name: str, **parameters: Any) -> str:
        """A template with the names of this program."""
        return fill(name, prefix=self.prefix, PREFIX=self.prefix.upper(), **parameters)


def fill(name: str, /, **parameters: Any) -> str:
    """A template with its `${parameters}` filled in."""
    return Template(files(__package__).joinpath("templates", name).read_text()).substitute(parameters)


def generate(program: Program) -> Source:
    """The C of a program, in memory.

    Raises:
        LatticeError: a sum could pass 32 bits.
    """
    program.validate()
    prefix = re.sub(r"[^A-Za-z0-9_]", "_", program.name)
    names = {"prefix": prefix, "PREFIX": prefix.upper(), "title": program.name}
    channels, height, width = program.input_shape
    sizes = [prod(program.input_shape), *(prod(layer.shape) for layer in program.hidden)]
    model_h = fill(
        "model.h",
        **names,
        steps=program.encoder.T,
        channels=channels,
        height=height,
        width=width,
        inputs=sizes[0],
        classes=program.classes,
        ticks=program.ticks,
        horizon=program.horizon,
        meaning=MEANING[program.kind],
        count=len(sizes),
        times=sum(sizes),
        results=program.classes if program.readout else 1,
        result_meaning=RESULT[program.kind],
        max_inputs=max(layer.geometry.inputs for layer in program.weighted()),
        max_fan_in=max(layer.geometry.fan_in for layer in program.weighted()),
    )
    kernels = [fill("earliest.c", **names)] if any(isinstance(x, Pool) for x in program.hidden) else []
    fires = any(isinstance(x, Layer) for x in program.hidden)
    if fires:
        kernels += [fill(f"{program.kind}.c", **names), fill("fire.c", **names)]
    if program.readout is None:
        kernels.append(fill("first_spike.c", **names))
    else:
        share = f"{prefix.upper()}_TICKS" if program.readout.form == "window_end" else "0"
        kernels.append(fill("membranes.c", **names, share=share))
    constants = [_table(program.encoder), *(_constants(i, x) for i, x in enumerate(program.weighted()))]
    model_c = fill(
        "model.c",
        **names,
        constants="\n\n".join(constants),
        kernels="".join(kernels),
        encode=_encode(program.encoder, prefix),
        calls="\n".join(_calls(program, sizes)),
    )
    return Source(prefix, {"model.h": model_h, "model.c": model_c})


def generate_learning(program: Program) -> Source:
    """`learn.h` and `learn.c` of a program with a readout, to be compiled beside it.

    Raises:
        LatticeError: it has no readout, or sums could pass 32 bits.
    """
    numbers = {"fraction": learner.fraction(program), "reach": learner.reach(program)}
    assert program.readout is not None
    source = generate(program)
    sizes = [prod(program.input_shape), *(prod(layer.shape) for layer in program.hidden)]
    texts = {
        name: source.fill(
            name,
            title=program.name,
            inputs=program.readout.weight.shape[1],
            first=sum(sizes[:-1]),
            start=array("int8_t", "start", program.readout.weight),
            **numbers,
        )
        for name in ("learn.h", "learn.c")
    }
    return Source(source.prefix, texts)


def write_c(program: Program, folder: Path, golden: NDArray[np.uint8]) -> list[Path]:
    """Write a program's C with a self-test on the `golden` frames, and what learns its last layer; return the paths.

    Shape: golden uint8 `[T, N, C, H, W]`
    Raises:
        LatticeError: a sum could pass 32 bits.
        DataError: golden frames of another type or shape.
        OSError: a file cannot be written.
    """
    source = generate(program)
    test = source.fill(
        "self_test.c",
        title=program.name,
        samples=golden.shape[1],
        expected=f"0x{trace_hash(reference.run(program, golden)):016x}",
        frames=number_rows(golden.swapaxes(0, 1)),
        hash=source.fill("hash.c"),
    )
    learning = generate_learning(program).files if program.readout is not None else {}
    texts = {**source.files, "self_test.c": test, **learning}
    for name, text in texts.items():
        atomic_write(Path(folder) / name, text)
    return [Path(folder) / name for name in texts]


def trace_hash(trace: reference.Trace) -> int:
    """FNV-1a of spike times, results and classes, sample by sample, as self-test and harness compute it."""
    state = FNV_START
    for n in range(len(trace.classes)):
        for layer in trace.times:
            state = fnv1a(layer[n].astype("<u2").tobytes(), state)
        state = fnv1a(trace.result[n].astype("<i4").tobytes(), state)
        state = fnv1a(trace.classes[n].astype("<i4").tobytes(), state)
    return state


def array(ctype: str, name: str, values: NDArray[Any]) -> str:
    """A constant array in C."""
    flat = values.ravel().tolist()
    rows = [", ".join(map(str, flat[i : i + 24])) for i in range(0, len(flat), 24)]
    return f"static const {ctype} {name}[{len(flat)}] = {{\n    " + ",\n    ".join(rows) + "\n};"


def _table(encoder: Encoder) -> str:
    return array("uint16_t", "ticks_of", encoder.table)


def _constants(index: int, layer: Layer | Readout) -> str:
    geometry = layer.geometry
    parts = [f"/* {layer.name} */", array("int8_t", f"weight{index}", layer.weight)]
    threshold = "NULL"
    if isinstance(layer, Layer):
        threshold = f"threshold{index}"
        parts.append(array("int32_t", threshold, layer.threshold))
    sides = (*geometry.size, *geometry.kernel, *geometry.stride, *geometry.padding, *geometry.out_size)
    numbers = ", ".join(map(str, (geometry.channels, *sides, len(layer.weight))))
    parts.append(f"static const layer layer{index} = {{weight{index}, {threshold}, {numbers}}};")
    return "\n".join(parts)


def _encode(encoder: Encoder, prefix: str) -> str:
    PREFIX = prefix.upper()
    frame = f"frames[t * {PREFIX}_INPUTS + i]"
    if encoder.kind == "latency":
        lines = [
            "uint32_t sum = 0;",
            f"for (t = 0; t < {PREFIX}_STEPS; ++t) {{",
            f"    sum += {frame};",
            "}",
            "state->times[i] = ticks_of[sum];",
        ]
    else:
        lines = [
            f"for (t = 0; t < {PREFIX}_STEPS && {frame} == 0; ++t) {{",
            "}",
            f"state->times[i] = t < {PREFIX}_STEPS ? ticks_of[t] : {PREFIX}_SILENT;",
        ]
    return "\n".join(f"        {line}" for line in lines)


def _calls(program: Program, sizes: list[int]) -> list[str]:
    starts = np.cumsum([0, *sizes]).tolist()
    calls, weighted = [], 0
    for i, layer in enumerate(program.hidden):
        reads, writes = f"state->times + {starts[i]}", f"state->times + {starts[i + 1]}"
        if isinstance(layer, Pool):
            numbers = ", ".join(map(str, (*layer.input_shape, layer.kernel)))
            calls.append(f"    earliest({reads}, {writes}, {numbers}); /* {layer.name} */")
        else:
            calls.append(f"    fire(state, &layer{weighted}, {reads}, {writes}); /* {layer.name} */")
            weighted += 1
    decide = "first_spike" if program.readout is None else "membranes"
    last = len(program.hidden)
    return [*calls, f"    return {decide}(state, &layer{weighted}, state->times + {starts[last]});"]
