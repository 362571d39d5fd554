"""Spiking neurons whose spikes come back to their own layer one step later."""

from dataclasses import dataclass, field, replace
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from rheobase.errors import ProgramError
from rheobase.program.ops.base import INT32_MAX, Bounds, Shape, Work, exact_float, whole
from rheobase.program.ops.neuron import Neuron
from rheobase.program.ops.rescale import rescaled
from rheobase.program.ops.rounded_neuron import RoundedNeuron
from rheobase.program.weight import Weight

if TYPE_CHECKING:
    from rheobase.program.c99.emitter import Emitter


@dataclass(frozen=True, eq=False)
class Recurrence(Neuron):
    """What comes back, added to the bias at every step; `s` are the layer's spikes of the step before, 0 before the first.

    r[c] = floor((sum over f of w[c, f] * s[f] * back_gain[c] + 2^(back_shift - 1)) / 2^back_shift)
    v <- clip(v + I + bias + r, -saturation, saturation)

    The gains bring the sums to the unit of the membranes. Spikes are kept from step to step, a byte each.

    Shape: `[C]` or `[C, 1, 1]` to the same; `weight` is `[C, C]`, `back_gain` int32 `[C]`.
    Raises:
        ProgramError: as `Neuron`, or the weights or gains are not of its channels.
    """

    weight: Weight = field(kw_only=True)
    back_gain: NDArray[np.int32] = field(kw_only=True)
    back_shift: int = field(default=0, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        kind = type(self).__name__
        whole(self.back_shift, f"{kind} back_shift", 0, 30)
        if self.weight.shape != (self.channels, self.channels):
            raise ProgramError(
                f"{kind} has {self.channels} channels and weights {list(self.weight.shape)}; give one from each to each"
            )

    def output_shape(self, shape: Shape) -> Shape:
        """See the class."""
        if prod(shape[1:]) != 1:
            raise ProgramError(
                f"{type(self).__name__} takes [C] or [C, 1, 1], but its input is {list(shape)}"
            )
        return super().output_shape(shape)

    def follows_rows(self, shape: Shape) -> bool:
        """No: what comes back is of the whole layer."""
        return False

    def drive(self, bias: NDArray[np.int64], spikes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Bias and what comes back. Shape: spikes `[N, *shape]`."""
        values = self.weight.values()
        kind = exact_float(int(np.abs(values).sum(axis=1).max()))
        flat = spikes.reshape(len(spikes), -1).astype(kind)
        sums = (flat @ values.astype(kind).T).astype(np.int64)
        back = rescaled(sums, self.back_gain, self.back_shift, (-1,))
        return bias + back.reshape(spikes.shape)

    def reach(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Smallest and largest bias with what comes back."""
        low, high = self._sums()
        ends = [rescaled(end, self.back_gain, self.back_shift, (-1,)) for end in (low, high)]
        bias = self.bias.astype(np.int64)
        return bias + np.minimum(*ends), bias + np.maximum(*ends)

    def _sums(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Ends of the sums of weights; every partial sum lies between them."""
        values = self.weight.values()
        low, high = np.minimum(values, 0).sum(axis=1), np.maximum(values, 0).sum(axis=1)
        return (low - high, high - low) if self.ternary else (low, high)

    def bounds(self, incoming: Bounds, shape: Shape, steps: int) -> Bounds:
        """Sums times their gain must fit 32 bits as well."""
        most = np.maximum(*(np.abs(end) for end in self._sums()))
        gain = np.abs(self.back_gain.astype(np.int64))
        product = int((most * gain).max()) + ((1 << self.back_shift) >> 1)
        if product > INT32_MAX:
            raise ProgramError(
                f"what comes back times its gain can reach {product}, beyond 32 bits; lower back_gain and back_shift"
            )
        found = super().bounds(incoming, shape, steps)
        low, high = self.reach()
        decode = abs(self.weight.step) * ((1 << self.weight.bits) - 1) + abs(self.weight.offset)
        added = max(int(np.abs(low).max()), int(np.abs(high).max()))
        return replace(found, widest=max(found.widest, product, int(most.max()), decode, added))

    def work(self, x: NDArray[Any]) -> Work:
        """As without recurrence, and: each spike but those of the last step reaches every neuron; a gain by neuron."""
        spikes = int(np.count_nonzero(self.run(x)[:-1]))
        plain = super().work(x)
        return replace(
            plain,
            events=plain.events + spikes,
            accumulates=plain.accumulates + spikes * self.channels,
            multiplications=plain.multiplications + prod(x.shape),
        )

    def macs(self, shape: Shape) -> int:
        """One for each weight."""
        return prod(self.weight.shape)

    def emit(self, emitter: "Emitter") -> None:
        """As without recurrence; then the spikes are kept."""
        super().emit(emitter)
        spikes = emitter.result.expression if emitter.result else ""
        emitter.line(f"memcpy(state->fired{emitter.index}, {spikes}, sizeof state->fired{emitter.index});")

    def emit_drive(self, emitter: "Emitter") -> str:
        """Sum the weights of the last spikes, and put bias and gain on them; the place of the result."""
        spike = "int8_t" if self.ternary else "uint8_t"
        fired, name = f"fired{emitter.index}", emitter.tag(spike)
        emitter.keep(spike, fired, self.channels)
        row, parameters = emitter.row_kernel("int32_t", self.weight.bits)
        sum_up = emitter.kernel(
            "linear", row.replace("add_row", f"linear_{name}"), **parameters, **{"in": spike}
        )
        emitter.kernel("floor_shift", "floor_shift")
        bring = emitter.kernel("recurrent", "recurrent")
        weights, bias = (
            emitter.constant("weights", self.weight.packed()),
            emitter.constant("bias", self.bias),
        )
        gain = emitter.constant("back_gain", self.back_gain)
        drive, channels = emitter.temporary("drive", "int32_t", self.channels), self.channels
        emitter.line(
            f"{sum_up}(state->{fired}, {drive}, {weights}, {channels}, {channels}, {self.weight.step}, {self.weight.offset});"
        )
        emitter.line(f"{bring}({drive}, {channels}, {gain}, {self.back_shift}, {bias});")
        return drive


@dataclass(frozen=True, eq=False)
class RecurrentNeuron(Recurrence):
    """`Neuron` whose spikes come back, see `Recurrence`."""

    by_channel: ClassVar[tuple[str, ...]] = ("threshold", "bias", "back_gain")


@dataclass(frozen=True, eq=False)
class RecurrentRoundedNeuron(Recurrence, RoundedNeuron):
    """`RoundedNeuron` whose spikes come back, see `Recurrence`."""

    by_channel: ClassVar[tuple[str, ...]] = ("threshold", "bias", "gain", "back_gain")
