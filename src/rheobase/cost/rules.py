"""What each op does beside its synaptic operations, read off its equation; an op that is not here has no cost, and is refused."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod
from typing import Any, cast

from rheobase.errors import ProgramError
from rheobase.program import ranges
from rheobase.program.ir import FRAME, Program
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
from rheobase.program.ops.base import Shape
from rheobase.program.ops.step_rescale import COUNTER
from rheobase.program.weight import row_bytes

Bits = tuple[int, ...]  # of one value of each input
FRAME_BITS = 8
LOGIT = 4  # bytes of the running sum of a class
BITS = {"uint8_t": 8, "int8_t": 8, "uint16_t": 16, "uint32_t": 32, "int16_t": 16, "int32_t": 32}


@dataclass(frozen=True)
class Rule:
    """One op's work for one step, and how it stores what it gives.

    `additions` and `multiplications` are integer operations of 32 bits on membranes and logits, one update (the mean over
    the steps); a comparison is an addition. `kept` are the bytes that live from step to step, read and written once a step.
    `reads` and `writes`: the inputs come from memory, the output goes there; `out_bits` are the bits of one value of the
    output. `streams`: the op takes a current value by value, as it is made, so that it need not be stored before.
    """

    additions: float = 0
    multiplications: float = 0
    kept: int = 0
    out_bits: int = 0
    reads: bool = False
    writes: bool = False
    streams: bool = False


def rules(program: Program) -> list[Rule]:
    """The rule of each op; a current that the next op alone takes, value by value, is not stored.

    Raises:
        ProgramError: an op has no rule, or the program is not valid.
    """
    shapes, kinds, readers = program.shapes(), program.kinds(), program.readers()
    analysis = ranges.analyse(program)
    found: list[Rule] = []
    for index, op in enumerate(program.ops):
        in_bits = tuple(FRAME_BITS if i == FRAME else found[i].out_bits for i in op.inputs)
        found.append(rule(op, shapes[index], analysis[index].storage, in_bits, program.label(index)))
    for index, each in enumerate(found):
        if kinds[index] == "current" and readers[index] == [index + 1] and found[index + 1].streams:
            found[index] = replace(each, out_bits=0, writes=False)
    return found


def rule(op: Op, shape: Shape, storage: str, in_bits: Bits, label: str) -> Rule:
    """The rule of an op whose output has `shape` and is held as the C type `storage`.

    Raises:
        ProgramError: the op has no rule.
    """
    known = RULES.get(type(op))
    if known is None:
        raise ProgramError(f"{label}: the cost of this op is not known")
    return known(op, shape, storage, in_bits)


def _weighted(op: Any, shape: Shape, storage: str, in_bits: Bits) -> Rule:
    return Rule(out_bits=BITS[storage], reads=True, writes=True)


def _sums(op: Any, shape: Shape, storage: str, in_bits: Bits) -> Rule:
    """Sums of events, and products whose operations are synaptic: all in `Op.work`."""
    return Rule(out_bits=BITS[storage], reads=True, writes=True)


def _or_pool(op: Any, shape: Shape, storage: str, in_bits: Bits) -> Rule:
    """As wide as what goes in: spikes stay spikes."""
    return Rule(out_bits=in_bits[0], reads=True, writes=True)


def _gate(op: Any, shape: Shape, storage: str, in_bits: Bits) -> Rule:
    """Products are synaptic operations; those of spikes are spikes."""
    return Rule(out_bits=1 if max(in_bits) == 1 else BITS[storage], reads=True, writes=True)


def _time_mix(op: Any, shape: Shape, storage: str, in_bits: Bits) -> Rule:
    """Step t has t products and sums, (steps + 1) / 2 in the mean, and a comparison; the values of all steps are kept."""
    mix = cast(TimeMix, op)
    products = (mix.steps + 1) / 2
    return Rule(
        additions=products + 1,
        multiplications=products,
        kept=mix.state_bytes(shape, in_bits[0]),
        out_bits=1,
        reads=True,
        writes=True,
    )


def _delay(op: Any, shape: Shape, storage: str, in_bits: Bits) -> Rule:
    """Nothing is computed; the steps since the longest delay are kept, a byte or more a value as C keeps them."""
    kept = cast(Delay, op).state_bytes(shape, BITS[storage])
    return Rule(kept=kept, out_bits=in_bits[0], reads=True, writes=True)


def _add(op: Any, shape: Shape, storage: str, in_bits: Bits) -> Rule:
    return Rule(out_bits=BITS[storage], reads=True, writes=True, streams=True)


def _concat(op: Any, shape: Shape, storage: str, in_bits: Bits) -> Rule:
    """A copy, as wide as the wider of what goes in."""
    return Rule(out_bits=max(in_bits), reads=True, writes=True)


def _rescale(op: Any, shape: Shape, storage: str, in_bits: Bits) -> Rule:
    """Every value: rounding and bias, 2 additions; gain, 1 multiplication. A shift is a wire."""
    if op.wire is not None:
        return Rule(out_bits=BITS[storage], reads=True, writes=True, streams=True)
    return Rule(additions=2, multiplications=1, out_bits=BITS[storage], reads=True, writes=True, streams=True)


def _step_rescale(op: Any, shape: Shape, storage: str, in_bits: Bits) -> Rule:
    """As a change of unit, and the number of the step is kept."""
    return replace(_rescale(op, shape, storage, in_bits), kept=COUNTER)


def _flatten(op: Any, shape: Shape, storage: str, in_bits: Bits) -> Rule:
    """Nothing moves: what is flattened lies where it lay."""
    return Rule(out_bits=in_bits[0])


def _neuron(op: Any, shape: Shape, storage: str, in_bits: Bits) -> Rule:
    """Current and bias: 2 additions; clip: 2 comparisons; threshold: 1 (ternary: 2); shift leak: 1; soft reset: 1.

    A leak by multiplication is 1 multiplication and no addition (shifts are wires).
    """
    neuron = cast(Neuron, op)
    by_shift = neuron.leak_shift is not None and neuron.leak_multiplier is None
    return Rule(
        additions=5 + neuron.ternary + by_shift + (neuron.v_reset is None),
        multiplications=int(neuron.leak_multiplier is not None),
        kept=neuron.membrane_bytes(shape),
        out_bits=1 + neuron.ternary,
        reads=True,
        writes=True,
        streams=True,
    )


def _rounded_neuron(op: Any, shape: Shape, storage: str, in_bits: Bits) -> Rule:
    """As a neuron, and: gain 1 multiplication, its rounding 1 addition, ceil(log2(levels)) comparisons to find the level."""
    plain = _neuron(op, shape, storage, in_bits)
    search = (len(op.levels) - 1).bit_length()
    return replace(plain, additions=plain.additions + 1 + search, multiplications=plain.multiplications + 1)


def _recurrent(op: Any, shape: Shape, storage: str, in_bits: Bits) -> Rule:
    """As without recurrence, and: the gain 1 multiplication, its rounding and the sum with the bias 2 additions; kept spikes."""
    plain = (_rounded_neuron if isinstance(op, RoundedNeuron) else _neuron)(op, shape, storage, in_bits)
    return replace(
        plain,
        additions=plain.additions + 2,
        multiplications=plain.multiplications + 1,
        kept=plain.kept + prod(shape),
    )


def _multi_threshold(op: Any, shape: Shape, storage: str, in_bits: Bits) -> Rule:
    """A comparison a level at most: the first threshold that is not reached is the last that is looked at."""
    levels = cast(MultiThreshold, op).levels
    return Rule(additions=levels, out_bits=levels.bit_length(), reads=True, writes=True, streams=True)


def _readout(op: Any, shape: Shape, storage: str, in_bits: Bits) -> Rule:
    """Sum and bias: 2 additions."""
    return Rule(additions=2, kept=prod(shape) * LOGIT, reads=True, streams=True)


RULES: dict[type[Op], Callable[[Any, Shape, str, Bits], Rule]] = {
    Conv2d: _weighted,
    Linear: _weighted,
    SumPool: _sums,
    HeadSum: _sums,
    HeadMatMul: _sums,
    Gate: _gate,
    TimeMix: _time_mix,
    OrPool: _or_pool,
    HeadOrPool: _or_pool,
    Add: _add,
    Concat: _concat,
    Rescale: _rescale,
    StepRescale: _step_rescale,
    Flatten: _flatten,
    Delay: _delay,
    Neuron: _neuron,
    RoundedNeuron: _rounded_neuron,
    RecurrentNeuron: _recurrent,
    RecurrentRoundedNeuron: _recurrent,
    MultiThreshold: _multi_threshold,
    Readout: _readout,
}


def map_bytes(shape: Shape, bits: int) -> int:
    """Bytes of a map of `shape`, packed.

    >>> map_bytes((3, 5, 5), 1)
    10
    """
    return -(-prod(shape) * bits // 8)


def event_bytes(op: Op, synaptic_operations: int) -> int:
    """Bytes of packed weights that events read: one code for each output channel at each output place they touch."""
    weight = getattr(op, "weight", None)
    if weight is None:
        return 0
    channels = weight.shape[0] // getattr(op, "groups", 1)
    return synaptic_operations // channels * row_bytes(channels, weight.bits)
