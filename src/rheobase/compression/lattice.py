"""Modules of a hardened model: integers held in float32, every value below 2^24 and therefore exact.

Each module computes what the op of the same name in `rheobase.program` computes. Integers in float32 add and multiply exactly
as long as no magnitude reaches 2^24, in any order of summation, so a hardened model and the integer program agree bit for bit.
Currents of neurons with rounded membranes may pass 2^24; they stay below 2^31 and are float64 until the membrane is clipped.
Sums that may pass 2^24 (`wide` modules) are float64 too, until a `LatticeRescale` brings them below it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EXACT = 2**24  # float32 holds every integer of magnitude up to 2^24


@dataclass(frozen=True)
class IntegerWeight:
    """Integer weights `step * code + offset`, code in `0..2^bits - 1`."""

    values: Tensor  # float32 holding integers
    bits: int
    step: int
    offset: int

    def codes(self) -> Tensor:
        """The stored codes, uint8."""
        return ((self.values - self.offset) / self.step).to(torch.uint8)


@dataclass(frozen=True)
class Sum:
    """What the integers that reach a neuron stand for: `I_c = unit_c * sum_c + offset_c`, `sum` before its shift.

    Shape: `unit`, `offset` float64 `[C]`.
    """

    unit: Tensor
    offset: Tensor
    shift: int

    def integers(self, current: Tensor) -> Tensor:
        """The integer sums, shifted, of a float current that was computed from them.

        Shape: `[T, N, C, ...]` to the same, float32
        """
        per_channel = (-1, *[1] * (current.dim() - 3))
        unit, offset = (
            self.unit.to(current).reshape(per_channel),
            self.offset.to(current).reshape(per_channel),
        )
        sums = torch.where(unit == 0, 0.0, (current - offset) / unit)  # a dead channel's sum moves nothing
        return torch.round(sums) * 2**self.shift


class LatticeModule(nn.Module):
    """Base of the modules a hardened model is a graph of."""


class LatticeConv2d(LatticeModule):
    """Integer convolution `acc = (W * x) << shift`; `wide`: computed in float64.

    Shape:
        `x [T, N, C_in, H, W] -> acc [T, N, C_out, H', W']`
    """

    weight: Tensor

    def __init__(
        self,
        weight: IntegerWeight,
        stride: tuple[int, int],
        padding: tuple[int, int],
        shift: int,
        groups: int = 1,
        *,
        wide: bool = False,
    ) -> None:
        super().__init__()
        self.register_buffer("weight", weight.values)
        self.bits, self.step, self.offset = weight.bits, weight.step, weight.offset
        self.stride, self.padding, self.shift = stride, padding, shift
        self.groups, self.wide = groups, wide

    def integer_weight(self) -> IntegerWeight:
        """The weights with their code."""
        return IntegerWeight(self.weight, self.bits, self.step, self.offset)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        x, weight = (x.double(), self.weight.double()) if self.wide else (x, self.weight)
        acc = F.conv2d(x.flatten(0, 1), weight, stride=self.stride, padding=self.padding, groups=self.groups)
        return (acc * 2**self.shift).unflatten(0, x.shape[:2])


class LatticeLinear(LatticeModule):
    """Integer matrix product `acc = (x W^T) << shift`; `wide`: computed in float64.

    Shape:
        `x [T, N, F] -> acc [T, N, K]`
    """

    weight: Tensor

    def __init__(self, weight: IntegerWeight, shift: int, *, wide: bool = False) -> None:
        super().__init__()
        self.register_buffer("weight", weight.values)
        self.bits, self.step, self.offset, self.shift = weight.bits, weight.step, weight.offset, shift
        self.wide = wide

    def integer_weight(self) -> IntegerWeight:
        """The weights with their code."""
        return IntegerWeight(self.weight, self.bits, self.step, self.offset)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        x, weight = (x.double(), self.weight.double()) if self.wide else (x, self.weight)
        return F.linear(x, weight) * 2**self.shift


class LatticeSumPool(LatticeModule):
    """Sum over windows of `kernel`, stride = kernel: average pooling without its division, which the next unit carries.

    Shape:
        `x [T, N, C, H, W] -> [T, N, C, H // kh, W // kw]`
    """

    def __init__(self, kernel: tuple[int, int], *, wide: bool = False) -> None:
        super().__init__()
        self.kernel, self.wide = kernel, wide

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        x = x.double() if self.wide else x
        mean = F.avg_pool2d(x.flatten(0, 1), self.kernel, divisor_override=1)
        return mean.unflatten(0, x.shape[:2])


class LatticeOrPool(LatticeModule):
    """Maximum over windows of events, which are never negative.

    Shape:
        `x [T, N, C, H, W] -> [T, N, C, H', W']`
    """

    def __init__(self, kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int]) -> None:
        super().__init__()
        self.kernel, self.stride, self.padding = kernel, stride, padding

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        most = F.max_pool2d(x.flatten(0, 1), self.kernel, self.stride, self.padding)
        return most.unflatten(0, x.shape[:2])


class LatticeAdd(LatticeModule):
    """Sum of two values in one unit.

    Shape:
        `[T, N, ...]` twice `-> [T, N, ...]`
    """

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """See the class."""
        return first + second


class LatticeRescale(LatticeModule):
    """Another unit: `floor((x * gain + 2^(gain_shift - 1)) / 2^gain_shift) + bias`, products below 2^53 in float64.

    Shape:
        `x [T, N, C, ...] -> the same`; `gain`, `bias` `[C]`
    """

    gain: Tensor
    bias: Tensor

    def __init__(self, gain: Tensor, bias: Tensor, gain_shift: int) -> None:
        super().__init__()
        self.register_buffer("gain", gain)
        self.register_buffer("bias", bias)
        self.gain_shift = gain_shift

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        bias = self.bias.reshape(-1, *[1] * (x.dim() - 3))
        return (rescaled(x, self.gain, self.gain_shift, x.dim() - 3) + bias).float()


def rescaled(x: Tensor, gain: Tensor, shift: int, trailing: int) -> Tensor:
    """`floor((x * gain + 2^(shift - 1)) / 2^shift)` in float64; `trailing` axes follow that of the channels."""
    product = x.double() * gain.reshape(-1, *[1] * trailing) + ((1 << shift) >> 1)
    return torch.floor(product * 2.0**-shift)


class LatticeFlatten(LatticeModule):
    """`[T, N, C, H, W] -> [T, N, C*H*W]`, channel first."""

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return x.flatten(2)


class LatticeNeuron(LatticeModule):
    """Integer neuron; one step is leak, add, saturate, compare, reset:

        v <- v - floor(v / 2^k), or v <- floor(v m / 2^k);  v <- clip(v + I + bias, -sat, sat);  s = [v >= threshold];
        v <- v - threshold*s (soft)  or  v <- v_reset where s (hard)

    Shape:
        `I [T, N, C, ...] -> spikes of the same shape`; `threshold`, `bias`, `v_reset` `[C]`
    """

    threshold: Tensor
    bias: Tensor
    v_reset: Tensor | None

    def __init__(
        self,
        threshold: Tensor,
        bias: Tensor,
        *,
        leak_shift: int | None,
        leak_multiplier: int | None = None,
        v_reset: Tensor | None,
        saturation: int,
        bits: int,
    ) -> None:
        super().__init__()
        self.register_buffer("threshold", threshold)
        self.register_buffer("bias", bias)
        self.register_buffer("v_reset", v_reset)
        self.leak_shift, self.leak_multiplier = leak_shift, leak_multiplier
        self.saturation, self.bits = saturation, bits

    def forward(self, current: Tensor) -> Tensor:
        """See the class."""
        per_channel = (-1, *[1] * (current.dim() - 3))
        threshold, bias = self.threshold.reshape(per_channel), self.bias.reshape(per_channel)
        v = torch.zeros_like(current[0])
        spikes = torch.empty_like(current)
        for t in range(current.shape[0]):
            v = self.leaked(v)
            v = v + (self.current(current[t]) + bias)
            v = v.clamp_(-self.saturation, self.saturation).to(current.dtype)
            s = (v >= threshold).to(v.dtype)
            v = self.kept(
                v - threshold * s
                if self.v_reset is None
                else torch.where(s > 0, self.v_reset.reshape(per_channel), v)
            )
            spikes[t] = s
        return spikes

    @property
    def leak(self) -> float:
        """The part of a membrane that a step keeps: the model's, or the nearest that integers hold."""
        if self.leak_shift is None:
            return 1.0
        part = 1 if self.leak_multiplier is None else 2**self.leak_shift - self.leak_multiplier
        return 1.0 - part * 2.0**-self.leak_shift

    def leaked(self, v: Tensor) -> Tensor:
        """What the leak leaves of membranes; the product stays below 2^31, so it is taken in float64."""
        if self.leak_shift is None:
            return v
        if self.leak_multiplier is None:
            return v - torch.floor(v * 2.0**-self.leak_shift)
        return torch.floor(v.double() * self.leak_multiplier * 2.0**-self.leak_shift).to(v.dtype)

    def current(self, acc: Tensor) -> Tensor:
        """The current I of one step's sums `[N, C, ...]`: the sums themselves."""
        return acc

    def kept(self, v: Tensor) -> Tensor:
        """What a step leaves of a membrane for the next: all of it."""
        return v

    def extra_repr(self) -> str:
        """Shown by `print(model)`."""
        return f"leak={self.leak:g}, saturation={self.saturation}, bits={self.bits}"


class LatticeRoundedNeuron(LatticeNeuron):
    """Integer neuron that keeps a code of its membrane; `LatticeNeuron` with, before the sum and after the reset,

        I = floor((acc * gain + 2^(gain_shift - 1)) / 2^gain_shift);    v <- levels[number of edges <= v]

    A leak that is no `1 - 2^-k` is part of the levels; `leak` is 1 then.

    Shape:
        `acc [T, N, C, ...] -> spikes of the same shape`; `threshold`, `bias`, `gain` `[C]`; `v_reset` `[]`;
        `levels` `[L]`, `edges` `[L - 1]`
    """

    gain: Tensor
    levels: Tensor
    edges: Tensor

    def __init__(
        self,
        threshold: Tensor,
        bias: Tensor,
        *,
        gain: Tensor,
        gain_shift: int,
        levels: Tensor,
        edges: Tensor,
        leak_shift: int | None,
        v_reset: Tensor | None,
        saturation: int,
        bits: int,
    ) -> None:
        super().__init__(
            threshold, bias, leak_shift=leak_shift, v_reset=v_reset, saturation=saturation, bits=bits
        )
        self.register_buffer("gain", gain)
        self.register_buffer("levels", levels)
        self.register_buffer("edges", edges)
        self.gain_shift = gain_shift

    def current(self, acc: Tensor) -> Tensor:
        """The sums in the membrane's unit, float64."""
        return rescaled(acc, self.gain, self.gain_shift, acc.dim() - 2)

    def kept(self, v: Tensor) -> Tensor:
        """The level of each membrane."""
        return self.levels[
            torch.bucketize(v, self.edges, right=True)
        ]  # right: an edge is the start of a level

    def extra_repr(self) -> str:
        """Shown by `print(model)`."""
        return f"{super().extra_repr()}, gain_shift={self.gain_shift}, levels={len(self.levels)}"


class LatticeReadout(LatticeModule):
    """Logits of each step, `acc + bias`; the decision after k steps is the argmax of their sum.

    Shape:
        `acc [T, N, K] -> [T, N, K]`
    """

    bias: Tensor

    def __init__(self, bias: Tensor) -> None:
        super().__init__()
        self.register_buffer("bias", bias)

    def forward(self, acc: Tensor) -> Tensor:
        """See the class."""
        return acc + self.bias


Node = tuple[
    str, LatticeModule, tuple[int, ...]
]  # name, module, places of the nodes it reads (-1: the input)


class Hardened(nn.Module):
    """A model on the integer lattice: a graph of lattice modules that equals the integer program spike for spike.

    `ops` are the modules in an order in which they can be computed, `names` those of their layers, and `inputs` the places of
    what each reads, -1 being `x`. `forward` gives integer logits (as float32); times `logit_scale` they approximate the logits of
    the quantised model. `sums` says of each neuron, by name, what its integer inputs stand for.

    Shape:
        `x [T, N, C, H, W]` whole numbers 0..255 `-> [T, N, K]`
    """

    def __init__(
        self,
        nodes: Sequence[Node],
        input_shape: tuple[int, int, int],
        logit_scale: float,
        sums: dict[str, Sum] | None = None,
    ) -> None:
        super().__init__()
        self.names = [name for name, _, _ in nodes]
        self.inputs = [inputs for _, _, inputs in nodes]
        self.ops = nn.ModuleList(module for _, module, _ in nodes)
        self.input_shape, self.logit_scale, self.sums = input_shape, logit_scale, sums or {}
        self.eval()

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        last = {place: index for index, inputs in enumerate(self.inputs) for place in inputs}
        values = {-1: x}
        for index, (op, inputs) in enumerate(zip(self.ops, self.inputs, strict=True)):
            values[index] = op(*(values[place] for place in inputs))
            for place in set(inputs):
                if last[place] == index:
                    del values[place]
        return values[len(self.ops) - 1]

    def neurons(self) -> dict[str, nn.Module]:
        """Neuron layers in forward order, by the name of the layer they come from."""
        return {name: m for name, m in zip(self.names, self.ops, strict=True) if isinstance(m, LatticeNeuron)}

    @property
    def feature_layer(self) -> str:
        """Module name of the last neuron."""
        return f"ops.{max(i for i, m in enumerate(self.ops) if isinstance(m, LatticeNeuron))}"
