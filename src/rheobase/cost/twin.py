"""The dense network of a program's topology: the same layers with weights and activations of 8 or 4 bits, one pass, no time.

It is counted as favourably as it can be run: multiplications only inside the map (no padding), each weight and each
activation read once, zero activations not skipped. Instead of a neuron, an output has 1 addition of the bias, 1
multiplication to the next layer's scale and 1 comparison (ReLU). The frame has 8 bits.
"""

from math import prod
from typing import Any

import numpy as np

from rheobase.cost.operations import Row, Table
from rheobase.cost.rules import FRAME_BITS, map_bytes, rules
from rheobase.program.ir import FRAME, Program
from rheobase.program.ops import Firing
from rheobase.program.ops.base import Shape
from rheobase.program.weight import packed_bytes

WIDTHS = (8, 4)


def twin(program: Program, bits: int) -> Table:
    """What one inference of the dense network costs, in the rows of the program's ops.

    Raises:
        ProgramError: an op whose cost is not known.
    """
    shapes: dict[int, Shape] = {FRAME: program.input_shape, **dict(enumerate(program.shapes()))}
    widths, rows = {FRAME: FRAME_BITS}, []
    for index, (op, does) in enumerate(zip(program.ops, rules(program), strict=True)):
        widths[index] = bits if does.out_bits else 0
        ones: list[Any] = [np.ones((1, 1, *shapes[i]), np.int64) for i in op.inputs]
        dense = op.work(*ones)
        weight = getattr(op, "weight", None)
        macs = op.macs(*(shapes[i] for i in op.inputs))
        multiplies = macs > 0
        neuron = isinstance(op, Firing)
        outputs = prod(shapes[index])
        size = 0 if weight is None else packed_bytes(weight.shape, bits)
        read = sum(map_bytes(shapes[i], widths[i]) for i in op.inputs) if does.reads else 0
        written = map_bytes(shapes[index], widths[index]) if does.writes else 0
        rows.append(
            Row(
                layer=program.label(index),
                op=type(op).__name__,
                hidden=False,
                neurons=outputs if neuron else 0,
                factor_bits=bits,
                events=float(dense.events),
                spikes=0.0,
                synaptic_operations=float(dense.synaptic_operations),
                accumulates=0.0 if multiplies else float(dense.synaptic_operations),
                multiply_accumulates=float(dense.synaptic_operations) if multiplies else 0.0,
                neuron_updates=float(outputs if neuron else 0),
                additions=float(2 * outputs if neuron else dense.neuron_updates),
                multiplications=float(outputs if neuron else 0),
                bytes_weights=size,
                bytes_weights_by_event=float(size),
                bytes_weights_by_step=float(size),
                bytes_membranes=0,
                bytes_membranes_read=0.0,
                bytes_membranes_written=0.0 if neuron else float(does.kept),
                bytes_map=written,
                bytes_spikes_read=float(read),
                bytes_spikes_written=float(written),
                macs=macs,
            )
        )
    return Table(samples=1, steps=1, rows=rows)
