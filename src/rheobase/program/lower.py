"""`lower`: a hardened torch model becomes a Program. The only file of this room that knows torch."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rheobase.compression.lattice import (
    Hardened,
    IntegerWeight,
    LatticeAdd,
    LatticeBack,
    LatticeConcat,
    LatticeConv2d,
    LatticeDelay,
    LatticeFlatten,
    LatticeGate,
    LatticeHeadMatMul,
    LatticeHeadOrPool,
    LatticeHeadSum,
    LatticeLinear,
    LatticeModule,
    LatticeMultiThreshold,
    LatticeNeuron,
    LatticeOrPool,
    LatticeReadout,
    LatticeRescale,
    LatticeRoundedNeuron,
    LatticeSumPool,
    LatticeTimeMix,
)
from rheobase.errors import LatticeError
from rheobase.program.ir import Program
from rheobase.program.ops import (
    Add,
    Concat,
    Conv2d,
    Delay,
    Flatten,
    Gate,
    HeadMatMul,
    HeadOrPool,
    HeadSum,
    Linear,
    MultiThreshold,
    Neuron,
    Op,
    OrPool,
    Readout,
    RecurrentNeuron,
    RecurrentRoundedNeuron,
    Rescale,
    RoundedNeuron,
    StepRescale,
    SumPool,
    TimeMix,
)
from rheobase.program.weight import Weight


def lower(
    model: Hardened, *, name: str, T: int, metadata: dict[str, str | int | float] | None = None
) -> Program:
    """Program of a hardened model, validated: its shapes fit and no integer in it can overflow.

    Each lattice module maps to one op; the numbers are copied, nothing is rounded here.

    Shape:
        the program takes frames of the model's `input_type` `[T, N, C, H, W]`

    Raises:
        LatticeError: a module has no op.
        ProgramError: the program does not validate (a range that 32 bits cannot hold, say); the message names the op.
    """
    ops = [
        replace(_op(label, module), inputs=inputs)  # type: ignore[arg-type]
        for label, module, inputs in zip(model.names, model.ops, model.inputs, strict=True)
    ]
    program = Program(
        name, model.input_shape, T, ops, metadata or {}, model.logit_scale, input_type=model.input_type
    )
    program.validate()
    return program


def _op(name: str, module: LatticeModule) -> Op:
    if (make := MAKERS.get(type(module))) is None:
        raise LatticeError(f"layer {name!r} ({type(module).__name__}) has no op in the program")
    return make(name, module)


def _conv2d(name: str, module: LatticeConv2d) -> Op:
    stride, padding = _same(name, module.stride), _same(name, module.padding)
    weight, dilation = _weight(module.integer_weight()), _same(name, module.dilation)
    return Conv2d(weight, stride, padding, module.shift, module.groups, dilation=dilation, name=name)


def _linear(name: str, module: LatticeLinear) -> Op:
    return Linear(_weight(module.integer_weight()), module.shift, name=name)


def _sum_pool(name: str, module: LatticeSumPool) -> Op:
    return SumPool(None if module.kernel is None else _same(name, module.kernel), name=name)


def _or_pool(name: str, module: LatticeOrPool) -> Op:
    kernel, stride, padding = module.kernel, module.stride, module.padding
    return OrPool(_same(name, kernel), _same(name, stride), _same(name, padding), name=name)


def _add(name: str, module: LatticeAdd) -> Op:
    return Add(name=name)


def _concat(name: str, module: LatticeConcat) -> Op:
    return Concat(name=name)


def _head_sum(name: str, module: LatticeHeadSum) -> Op:
    return HeadSum(module.heads, name=name)


def _head_or_pool(name: str, module: LatticeHeadOrPool) -> Op:
    return HeadOrPool(module.heads, module.kernel, name=name)


def _gate(name: str, module: LatticeGate) -> Op:
    return Gate(name=name)


def _head_matmul(name: str, module: LatticeHeadMatMul) -> Op:
    return HeadMatMul(module.heads, module.transpose or "none", name=name)


def _rescale(name: str, module: LatticeRescale) -> Op:
    gain, bias = (_integers(each.flatten()) for each in (module.gain, module.bias))
    if module.gain.dim() > 1:
        return StepRescale(gain, bias, module.gain_shift, steps=len(module.gain), name=name)
    return Rescale(gain, bias, module.gain_shift, name=name)


def _flatten(name: str, module: LatticeFlatten) -> Op:
    return Flatten(name=name)


def _delay(name: str, module: LatticeDelay) -> Op:
    return Delay(np.array(module.steps, np.int32), name=name)


def _rounded_neuron(name: str, module: LatticeRoundedNeuron) -> Op:
    kind = RoundedNeuron if module.back is None else RecurrentRoundedNeuron
    return kind(
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
        ternary=module.ternary,
        name=name,
        **_back(module.back),
    )


def _neuron(name: str, module: LatticeNeuron) -> Op:
    kind = Neuron if module.back is None else RecurrentNeuron
    return kind(
        _integers(module.threshold),
        _integers(module.bias),
        leak_shift=module.leak_shift,
        leak_multiplier=module.leak_multiplier,
        v_reset=None if module.v_reset is None else _integers(module.v_reset),
        saturation=module.saturation,
        bits=module.bits,
        ternary=module.ternary,
        name=name,
        **_back(module.back),
    )


def _back(back: LatticeBack | None) -> dict[str, Any]:
    """What a recurrent neuron has beside the others."""
    if back is None:
        return {}
    weight = _weight(back.sums.integer_weight())
    return {"weight": weight, "back_gain": _integers(back.gain), "back_shift": back.gain_shift}


def _multi_threshold(name: str, module: LatticeMultiThreshold) -> Op:
    return MultiThreshold(_integers(module.threshold.flatten()), len(module.threshold), name=name)


def _time_mix(name: str, module: LatticeTimeMix) -> Op:
    steps = len(module.threshold)
    rows, columns = torch.tril_indices(steps, steps)
    mixing, threshold = module.mixing[:, rows, columns].flatten(), module.threshold.flatten()
    return TimeMix(_integers(mixing), _integers(threshold), steps, name=name)


def _readout(name: str, module: LatticeReadout) -> Op:
    return Readout(_integers(module.bias), name=name)


def _weight(weight: IntegerWeight) -> Weight:
    return Weight(weight.codes().cpu().numpy(), weight.bits, weight.step, weight.offset)


def _integers(values: Tensor) -> np.ndarray:
    return values.cpu().numpy().astype(np.int32)


def _same(name: str, pair: tuple[int, int]) -> int:
    if pair[0] != pair[1]:
        raise LatticeError(f"layer {name!r} has {pair} in height and width; the program holds square ones")
    return pair[0]


MAKERS: dict[type[nn.Module], Callable[..., Op]] = {
    LatticeConv2d: _conv2d,
    LatticeLinear: _linear,
    LatticeSumPool: _sum_pool,
    LatticeOrPool: _or_pool,
    LatticeAdd: _add,
    LatticeConcat: _concat,
    LatticeHeadSum: _head_sum,
    LatticeHeadOrPool: _head_or_pool,
    LatticeGate: _gate,
    LatticeHeadMatMul: _head_matmul,
    LatticeRescale: _rescale,
    LatticeFlatten: _flatten,
    LatticeDelay: _delay,
    LatticeRoundedNeuron: _rounded_neuron,
    LatticeNeuron: _neuron,
    LatticeMultiThreshold: _multi_threshold,
    LatticeTimeMix: _time_mix,
    LatticeReadout: _readout,
}
