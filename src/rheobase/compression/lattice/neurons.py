"""Integer neurons, and what the integers that they read stand for."""

from dataclasses import dataclass

import torch
from torch import Tensor

from rheobase.compression.lattice.base import LatticeFiring, LatticeModule
from rheobase.compression.lattice.joins import rescaled
from rheobase.compression.lattice.weights import LatticeLinear


@dataclass(frozen=True)
class Sum:
    """What the integers that reach a neuron stand for: `I_c = unit_c * sum_c + offset_c`, `sum` before its shift.

    `spike` is what one integer that it fires stands for.

    Shape: `unit`, `offset` float64 `[C]`.
    """

    unit: Tensor
    offset: Tensor
    shift: int
    spike: float = 1.0

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


class LatticeBack(LatticeModule):
    """What spikes of a layer bring back to it a step later: `floor((W s * gain + 2^(gain_shift - 1)) / 2^gain_shift)`.

    Shape:
        `s [N, C, 1, 1] -> float64`, the same; `gain` `[C]`
    """

    gain: Tensor

    def __init__(self, sums: LatticeLinear, gain: Tensor, gain_shift: int) -> None:
        super().__init__()
        self.sums = sums
        self.register_buffer("gain", gain)
        self.gain_shift = gain_shift

    def forward(self, s: Tensor) -> Tensor:
        """See the class."""
        return rescaled(self.sums(s.flatten(1)), self.gain, self.gain_shift, 0).reshape(s.shape)


class LatticeNeuron(LatticeFiring):
    """Integer neuron; one step is leak, add, saturate, compare, reset:

        v <- v - floor(v / 2^k), or v <- floor(v m / 2^k);  v <- clip(v + I + bias, -sat, sat);  s = [v >= threshold];
        v <- v - threshold*s (soft)  or  v <- v_reset where s (hard)

    With `ternary`, s = [v >= threshold] - [-v >= threshold], and the hard reset goes to v_reset*s. With `back`, what the spikes
    of the step before bring back is added to the bias.

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
        ternary: bool = False,
    ) -> None:
        super().__init__()
        self.register_buffer("threshold", threshold)
        self.register_buffer("bias", bias)
        self.register_buffer("v_reset", v_reset)
        self.leak_shift, self.leak_multiplier = leak_shift, leak_multiplier
        self.saturation, self.bits, self.ternary = saturation, bits, ternary
        self.back: LatticeBack | None = None

    def forward(self, current: Tensor) -> Tensor:
        """See the class."""
        per_channel = (-1, *[1] * (current.dim() - 3))
        threshold, bias = self.threshold.reshape(per_channel), self.bias.reshape(per_channel)
        v = s = torch.zeros_like(current[0])
        spikes = torch.empty_like(current)
        for t in range(current.shape[0]):
            v = self.leaked(v)
            drive = bias if self.back is None else bias + self.back(s)
            v = v + (self.current(current[t]) + drive)
            v = v.clamp_(-self.saturation, self.saturation).to(current.dtype)
            s = (v >= threshold).to(v.dtype)
            if self.ternary:
                s = s - (-v >= threshold).to(v.dtype)
            v = self.kept(
                v - threshold * s
                if self.v_reset is None
                else torch.where(s != 0, self.v_reset.reshape(per_channel) * s, v)
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
        ternary: bool = False,
    ) -> None:
        super().__init__(
            threshold,
            bias,
            leak_shift=leak_shift,
            v_reset=v_reset,
            saturation=saturation,
            bits=bits,
            ternary=ternary,
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
            torch.bucketize(v.contiguous(), self.edges, right=True)
        ]  # right: an edge is the start of a level

    def extra_repr(self) -> str:
        """Shown by `print(model)`."""
        return f"{super().extra_repr()}, gain_shift={self.gain_shift}, levels={len(self.levels)}"
