"""`lower`: a hardened torch model becomes a Program. The only file of this room that knows torch."""

from dataclasses import replace

import numpy as np
from torch import Tensor

from rheobase.compression.lattice import (
    Hardened,
    IntegerWeight,
    LatticeAdd,
    LatticeConv2d,
    LatticeFlatten,
    LatticeLinear,
    LatticeModule,
    LatticeNeuron,
    LatticeOrPool,
    LatticeReadout,
    LatticeRescale,
    LatticeRoundedNeuron,
    LatticeSumPool,
)
from rheobase.errors import LatticeError
from rheobase.program.ir import Program
from rheobase.program.ops import (
    Add,
    Conv2d,
    Flatten,
    Linear,
    Neuron,
    Op,
    OrPool,
    Readout,
    Rescale,
    RoundedNeuron,
    SumPool,
)
from rheobase.program.weight import Weight


def lower(
    model: Hardened, *, name: str, T: int, metadata: dict[str, str | int | float] | None = None
) -> Program:
    """Program of a hardened model, validated: its shapes fit and no integer in it can overflow.

    Each lattice module maps to one op; the numbers are copied, nothing is rounded here.

    Shape:
        the program takes uint8 frames `[T, N, C, H, W]`

    Raises:
        LatticeError: a module has no op.
        ProgramError: the program does not validate (a range that 32 bits cannot hold, say); the message names the op.
    """
    ops = [
        replace(_op(label, module), inputs=inputs)  # type: ignore[arg-type]
        for label, module, inputs in zip(model.names, model.ops, model.inputs, strict=True)
    ]
    program = Program(name, model.input_shape, T, ops, metadata or {}, model.logit_scale)
    program.validate()
    return program


def _op(name: str, module: LatticeModule) -> Op:
    if isinstance(module, LatticeConv2d):
        weight, stride, padding = module.integer_weight(), module.stride, module.padding
        sizes = _same(name, stride), _same(name, padding), module.shift, module.groups
        return Conv2d(_weight(weight), *sizes, name=name)
    if isinstance(module, LatticeLinear):
        return Linear(_weight(module.integer_weight()), module.shift, name=name)
    if isinstance(module, LatticeSumPool):
        return SumPool(_same(name, module.kernel), name=name)
    if isinstance(module, LatticeOrPool):
        kernel, stride, padding = module.kernel, module.stride, module.padding
        return OrPool(_same(name, kernel), _same(name, stride), _same(name, padding), name=name)
    if isinstance(module, LatticeAdd):
        return Add(name=name)
    if isinstance(module, LatticeRescale):
        return Rescale(_integers(module.gain), _integers(module.bias), module.gain_shift, name=name)
    if isinstance(module, LatticeFlatten):
        return Flatten(name=name)
    if isinstance(module, LatticeRoundedNeuron):
        return RoundedNeuron(
            _integers(module.threshold),
            _integers(module.bias),
            gain=_integers(module.gain),
            gain_shift=module.gain_shift,
            levels=_integers(module.levels),
            edges=_integers(module.edges),
            leak_shift=module.leak_shift,
            v_reset=None if module.v_reset is None else int(module.v_reset),
            saturation=module.saturation,
            bits=module.bits,
            name=name,
        )
    if isinstance(module, LatticeNeuron):
        return Neuron(
            _integers(module.threshold),
            _integers(module.bias),
            leak_shift=module.leak_shift,
            leak_multiplier=module.leak_multiplier,
            v_reset=None if module.v_reset is None else _integers(module.v_reset),
            saturation=module.saturation,
            bits=module.bits,
            name=name,
        )
    if isinstance(module, LatticeReadout):
        return Readout(_integers(module.bias), name=name)
    raise LatticeError(f"layer {name!r} ({type(module).__name__}) has no op in the program")


def _weight(weight: IntegerWeight) -> Weight:
    return Weight(weight.codes().cpu().numpy(), weight.bits, weight.step, weight.offset)


def _integers(values: Tensor) -> np.ndarray:
    return values.cpu().numpy().astype(np.int32)


def _same(name: str, pair: tuple[int, int]) -> int:
    if pair[0] != pair[1]:
        raise LatticeError(f"layer {name!r} has {pair} in height and width; the program holds square ones")
    return pair[0]
