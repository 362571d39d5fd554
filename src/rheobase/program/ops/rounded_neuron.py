"""Spiking neurons that keep a code of 2, 4 or 8 bits in place of their membrane."""

from dataclasses import dataclass, field, replace
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from rheobase.errors import ProgramError
from rheobase.program.ops.base import INT32_MAX, Bounds, Shape, Work, int32_vector, whole
from rheobase.program.ops.neuron import Neuron
from rheobase.program.ops.rescale import rescaled, rescaled_bounds

if TYPE_CHECKING:
    from rheobase.program.c99.emitter import Emitter


@dataclass(frozen=True, eq=False)
class RoundedNeuron(Neuron):
    """Integrate-and-fire whose membrane is rounded to one of a few levels after each step.

    I  = floor((sum * gain + 2^(gain_shift - 1)) / 2^gain_shift)         (gain_shift 0: I = sum * gain)
    v <- v - floor(v / 2^leak_shift)                    (or as in Neuron)
    v <- clip(v + I + bias, -saturation, saturation)
    s  = 1 if v >= threshold else 0
    v <- v - threshold * s       (soft reset, v_reset is None)
    v <- v_reset where s         (hard reset)
    v <- levels[number of edges <= v]

    With `ternary`, spikes and resets are as in `Neuron`. One unit holds for the whole layer, so that all channels
    share the levels; the gains bring each channel's sum to it. The membrane starts at level 0. C keeps the codes
    packed, 8 / bits to a byte, channel-last over the whole map, each relative to the code of level 0 (modulo
    2^bits), so that zeroed memory is at rest.

    Shape: `[C, H, W]` or `[C]` to the same; `threshold`, `bias` and `gain` are int32 `[C]`, `levels` int32 `[L]`
    with `2 <= L <= 2^bits`, strictly rising, 0 among them; `edges` int32 `[L - 1]`, never falling.
    Raises:
        ProgramError: a field is out of range, or levels and edges do not fit each other.
    """

    bits: int = 8
    gain: NDArray[np.int32] = field(kw_only=True)
    gain_shift: int = field(kw_only=True)
    levels: NDArray[np.int32] = field(kw_only=True)
    edges: NDArray[np.int32] = field(kw_only=True)

    widths: ClassVar[tuple[int, ...]] = (2, 4, 8)
    by_channel: ClassVar[tuple[str, ...]] = ("threshold", "bias", "gain")

    def __post_init__(self) -> None:
        super().__post_init__()
        whole(self.gain_shift, "RoundedNeuron gain_shift", 0, 30)
        if isinstance(self.v_reset, np.ndarray):
            raise ProgramError("RoundedNeuron v_reset must be one integer for all channels, or None")
        levels, edges = (
            int32_vector(getattr(self, what), f"RoundedNeuron {what}") for what in ("levels", "edges")
        )
        if not 2 <= len(levels) <= 1 << self.bits:
            raise ProgramError(
                f"RoundedNeuron has {len(levels)} levels; {self.bits} bits tell 2..{1 << self.bits} apart"
            )
        if len(edges) != len(levels) - 1:
            raise ProgramError(
                f"RoundedNeuron has {len(edges)} edges between {len(levels)} levels; give {len(levels) - 1}"
            )
        if bool((levels[1:] <= levels[:-1]).any()):
            raise ProgramError(f"RoundedNeuron levels must rise strictly, got {levels.tolist()[:20]}")
        if bool((edges[1:] < edges[:-1]).any()):
            raise ProgramError(f"RoundedNeuron edges must not fall, got {edges.tolist()[:20]}")
        if 0 not in levels:
            raise ProgramError("RoundedNeuron levels must hold 0, where a membrane rests")
        if int(np.abs(levels).max()) > self.saturation:
            raise ProgramError(
                f"RoundedNeuron levels {int(levels[0])}..{int(levels[-1])} lie outside its saturation "
                f"{self.saturation}"
            )
        object.__setattr__(self, "levels", levels)
        object.__setattr__(self, "edges", edges)

    @property
    def largest(self) -> int:
        """Largest saturation: a membrane is only kept as a code."""
        return INT32_MAX

    @property
    def rest(self) -> int:
        """Code of level 0."""
        return int(np.searchsorted(self.levels, 0))

    @property
    def table(self) -> NDArray[np.int32]:
        """Levels by the code as C keeps it, relative to level 0; codes without a level stand for 0.

        Shape: int32 `[2^bits]`.
        """
        table = np.zeros(1 << self.bits, np.int32)
        table[(np.arange(len(self.levels)) - self.rest) % len(table)] = self.levels
        return table

    @property
    def table_bytes(self) -> int:
        """Bytes of the levels and edges as C keeps them."""
        return self.table.nbytes + self.edges.nbytes

    def current(self, x: NDArray[Any]) -> NDArray[Any]:
        """The sums, brought from each channel's unit to that of the membranes.

        Shape: `[..., *shape]` to the same, where the axis of the channels follows two others.
        """
        return rescaled(x, self.gain, self.gain_shift, (-1, *[1] * (x.ndim - 3)))

    def kept(self, v: NDArray[np.int64]) -> NDArray[np.int64]:
        """The level of each membrane."""
        return self.levels.astype(np.int64)[np.searchsorted(self.edges, v, side="right")]

    def bounds(self, incoming: Bounds, shape: Shape, steps: int) -> Bounds:
        """Sum times gain, and the sum before saturation, must fit 32 bits."""
        product, low, high = rescaled_bounds(incoming, self.gain, self.gain_shift)
        if product > INT32_MAX:
            raise ProgramError(
                f"a sum times its gain can reach {product}, beyond 32 bits; lower gain and gain_shift"
            )
        driven = replace(incoming, low=low, high=high, widest=max(product, incoming.widest))
        return super().bounds(driven, shape, steps)

    def work(self, x: NDArray[Any]) -> Work:
        """Every neuron is updated at every step, and its sum multiplied once."""
        return Work(neuron_updates=prod(x.shape), multiplications=prod(x.shape))

    def emit(self, emitter: "Emitter") -> None:
        """One pass over packed codes and sums; the variant is chosen by leak, reset, bits and type."""
        x = emitter.value
        size = prod(emitter.shape)
        emitter.kernel("floor_shift", "floor_shift")
        variant, parameters, arguments = self.variant(emitter)
        kernel = emitter.kernel(
            "rounded_neuron",
            f"neuron_u{self.bits}_{emitter.tag(x.ctype)}_{variant}",
            sum=x.ctype,
            bits=self.bits,
            planes=8 // self.bits,
            mask=(1 << self.bits) - 1,
            **parameters,
        )
        threshold, gain = emitter.constant("threshold", self.threshold), emitter.constant("gain", self.gain)
        vectors = [threshold, self.emit_drive(emitter), gain]
        tables = [emitter.constant("levels", self.table), emitter.constant("edges", self.edges)]
        numbers = [len(self.edges), (1 << self.bits) - self.rest, self.gain_shift, 1 << x.shift]
        codes = emitter.membranes("uint8_t", self.membrane_bytes(emitter.shape))
        spikes = emitter.room()
        every = [*vectors, *tables, *numbers, self.saturation, *arguments]
        row = size // emitter.shape[1] * self.bits // 8 if x.by_row else 0
        emitter.update(kernel, codes, row, spikes, every)
        emitter.trace(spikes, size)
        emitter.give(spikes)
