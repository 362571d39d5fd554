"""Spiking neurons whose membranes are integers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from rheobase.errors import ProgramError
from rheobase.program.ops.base import (
    INT32_MAX,
    OPTIONAL,
    Bounds,
    Firing,
    Kind,
    Shape,
    Work,
    int32_vector,
    whole,
)

if TYPE_CHECKING:
    from rheobase.program.c99.emitter import Emitter


@dataclass(frozen=True, eq=False)
class Neuron(Firing):
    """Integrate-and-fire, with or without a leak, one threshold and one bias a channel.

    v <- v - floor(v / 2^leak_shift)                    (no leak: leak_shift is None)
    v <- floor(v * leak_multiplier / 2^leak_shift)      (in its place, where leak_multiplier is given)
    v <- clip(v + I + bias, -saturation, saturation)
    s  = 1 if v >= threshold else 0
    v <- v - threshold * s       (soft reset, v_reset is None)
    v <- v_reset where s         (hard reset)

    With `ternary`, s = 1 if v >= threshold, -1 if v <= -threshold, else 0, a hard reset goes to v_reset * s, and the
    spikes are signed events.

    The membrane starts at 0. The floor makes a negative membrane leak by at least 1 a step: -1 becomes 0
    (with a multiplier it stays -1, and a positive one leaks by at least 1).

    Shape: `[C, H, W]` or `[C]` to the same; `threshold`, `bias` and an array `v_reset` are int32 `[C]`.
    Raises:
        ProgramError: a field is out of range; `bits` cannot hold `saturation`.
    """

    threshold: NDArray[np.int32]
    bias: NDArray[np.int32]
    leak_shift: int | None = None
    v_reset: int | NDArray[np.int32] | None = None
    saturation: int = 32767
    bits: int = 16
    leak_multiplier: int | None = field(default=None, kw_only=True, metadata=OPTIONAL)
    ternary: bool = field(default=False, kw_only=True, metadata=OPTIONAL)

    kinds: ClassVar[Mapping[Kind, Kind]] = {"current": "events"}
    widths: ClassVar[tuple[int, ...]] = (16, 32)
    by_channel: ClassVar[tuple[str, ...]] = ("threshold", "bias")

    def __post_init__(self) -> None:
        kind = type(self).__name__
        if self.bits not in self.widths:
            raise ProgramError(
                f"{kind} membranes have {' or '.join(map(str, self.widths))} bits, got {self.bits!r}"
            )
        object.__setattr__(self, "ternary", _flag(self.ternary, f"{kind} ternary"))
        whole(self.saturation, f"{kind} saturation with {self.bits} bits", 1, self.largest)
        if self.leak_shift is not None:
            whole(self.leak_shift, f"{kind} leak_shift", 0, 30)
        if self.leak_multiplier is not None:
            if self.leak_shift is None:
                raise ProgramError(f"{kind} leak_multiplier {self.leak_multiplier!r} needs a leak_shift")
            whole(self.leak_multiplier, f"{kind} leak_multiplier", 0, 1 << self.leak_shift)
        vectors = {what: int32_vector(getattr(self, what), f"{kind} {what}") for what in self.by_channel}
        if int(vectors["threshold"].min()) < 1:
            raise ProgramError(f"{kind} threshold must be at least 1, got {int(vectors['threshold'].min())}")
        if isinstance(self.v_reset, np.ndarray) and self.v_reset.ndim:
            vectors["v_reset"] = int32_vector(self.v_reset, f"{kind} v_reset")
            extremes = [int(vectors["v_reset"].min()), int(vectors["v_reset"].max())]
        else:
            extremes = (
                []
                if self.v_reset is None
                else [whole(self.v_reset, f"{kind} v_reset", -INT32_MAX, INT32_MAX)]
            )
        if any(abs(x) > self.saturation for x in extremes):
            raise ProgramError(f"{kind} v_reset {extremes} lies outside its saturation {self.saturation}")
        if len({len(vector) for vector in vectors.values()}) != 1:
            sizes = ", ".join(f"{what} {len(vector)}" for what, vector in vectors.items())
            raise ProgramError(f"{kind} channels differ: {sizes}")
        for what, vector in vectors.items():
            object.__setattr__(self, what, vector)

    @property
    def channels(self) -> int:
        """Number of channels."""
        return len(self.threshold)

    @property
    def largest(self) -> int:
        """Largest saturation."""
        return (1 << (self.bits - 1)) - 1

    @property
    def spike_type(self) -> type[np.uint8] | type[np.int8]:
        """Signed where spikes are ternary."""
        return np.int8 if self.ternary else np.uint8

    def follows_rows(self, shape: Shape) -> bool:
        """Where a row begins at a whole byte of what is kept."""
        return shape[0] * shape[2] * self.bits % 8 == 0

    def output_kind(self, *kinds: Kind) -> Kind:
        """Signed events where spikes are ternary.

        Raises:
            ProgramError: it reads something else than one current.
        """
        found = super().output_kind(*kinds)
        return "signed" if self.ternary else found

    def membrane_bytes(self, shape: Shape) -> int:
        """Bytes of the membranes of a map of `shape`."""
        return -(-prod(shape) * self.bits // 8)

    def output_shape(self, shape: Shape) -> Shape:
        """See the class."""
        if not shape or shape[0] != self.channels:
            raise ProgramError(
                f"{type(self).__name__} has {self.channels} thresholds, but its input is {list(shape)}"
            )
        return shape

    def current(self, x: NDArray[Any]) -> NDArray[Any]:
        """The current I of a layer's sums: the sums themselves.

        Shape: `[..., *shape]` to the same, where the axis of the channels follows two others.
        """
        return x

    def kept(self, v: NDArray[np.int64]) -> NDArray[np.int64]:
        """What a step leaves of a membrane for the next: all of it."""
        return v

    def run(self, x: NDArray[Any]) -> NDArray[Any]:
        """See the class."""
        return self.membranes(x)[1]

    def membranes(self, x: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[Any]]:
        """Membranes after each step's reset, and spikes.

        Shape: `[T, N, *shape]` to int64 and uint8 (ternary: int8) `[T, N, *shape]`.
        """
        column = (-1, *[1] * (x.ndim - 3))
        threshold, bias = (a.astype(np.int64).reshape(column) for a in (self.threshold, self.bias))
        reset = None if self.v_reset is None else np.asarray(self.v_reset, np.int64).reshape(column)
        v = s = np.zeros(x.shape[1:], np.int64)
        trace, spikes = np.empty(x.shape, np.int64), np.empty(x.shape, self.spike_type)
        for t, current in enumerate(self.current(x)):
            v = self.leaked(v)
            v = np.clip(v + current + self.drive(bias, s), -self.saturation, self.saturation)
            s = (v >= threshold).astype(np.int64)
            if self.ternary:
                s -= -v >= threshold
            v = self.kept(v - threshold * s if reset is None else np.where(s != 0, reset * s, v))
            trace[t], spikes[t] = v, s
        return trace, spikes

    def drive(self, bias: NDArray[np.int64], spikes: NDArray[np.int64]) -> NDArray[np.int64]:
        """What is added beside the current, given the spikes of the step before: the bias."""
        return bias

    def reach(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Smallest and largest of what is added beside the current. Shape: int64 `[C]` each."""
        bias = self.bias.astype(np.int64)
        return bias, bias

    def leaked(self, v: NDArray[np.int64]) -> NDArray[np.int64]:
        """What the leak leaves of membranes; NumPy's shift of a negative integer floors."""
        if self.leak_shift is None:
            return v
        if self.leak_multiplier is None:
            return v - (v >> self.leak_shift)
        return v * self.leak_multiplier >> self.leak_shift

    def bounds(self, incoming: Bounds, shape: Shape, steps: int) -> Bounds:
        """Spikes are 0 or 1 (ternary: or -1); the sum before saturation, and a membrane times its leak, must fit 32 bits."""
        low, high = self.reach()
        drive = max(int(np.abs(incoming.low + low).max()), int(np.abs(incoming.high + high).max()))
        widest = max(self.saturation + drive, incoming.widest, int(self.threshold.max()))
        if widest > INT32_MAX:
            raise ProgramError(
                f"{self.saturation} plus input {drive} is beyond 32 bits; lower saturation or shift"
            )
        product = self.saturation * (self.leak_multiplier or 0)
        if product > INT32_MAX:
            raise ProgramError(
                f"saturation {self.saturation} times leak_multiplier {self.leak_multiplier} is beyond 32 bits; "
                "lower saturation, or leak_shift and leak_multiplier"
            )
        widest = max(widest, product)
        fires = (self.threshold <= self.saturation).astype(np.int64)
        if self.ternary:
            return Bounds(-fires, fires, widest, "int8_t")
        return Bounds(fires * 0, fires, widest, "uint8_t")

    def work(self, x: NDArray[Any]) -> Work:
        """Every neuron is updated at every step, input or not."""
        return Work(neuron_updates=prod(x.shape))

    def macs(self, shape: Shape) -> int:
        """None: a dense network's activation multiplies nothing."""
        return 0

    def emit(self, emitter: "Emitter") -> None:
        """One pass over membranes and sums; the variant is chosen by leak, reset and types."""
        x = emitter.value
        membrane, size = f"int{self.bits}_t", prod(emitter.shape)
        variant, parameters, arguments = self.variant(emitter)
        name = f"neuron_{emitter.tag(membrane)}_{emitter.tag(x.ctype)}_{variant}"
        kernel = emitter.kernel("neuron", name, membrane=membrane, sum=x.ctype, **parameters)
        threshold, bias = emitter.constant("threshold", self.threshold), self.emit_drive(emitter)
        numbers = [threshold, bias, str(1 << x.shift), str(self.saturation), *arguments]
        membranes = emitter.membranes(membrane, size)
        spikes = emitter.room()
        emitter.update(kernel, membranes, size // emitter.shape[1] if x.by_row else 0, spikes, numbers)
        emitter.trace(spikes, size)
        emitter.give(spikes)

    def emit_drive(self, emitter: "Emitter") -> str:
        """What is added beside the current, as an array by channel."""
        return emitter.constant("bias", self.bias)

    def variant(self, emitter: "Emitter") -> tuple[str, dict[str, str], list[str]]:
        """Suffix of the kernel's name, its parameters and its last arguments, by spikes, leak and reset."""
        leak = leak_argument = ""
        arguments = []
        if self.leak_shift is not None:
            emitter.kernel("floor_shift", "floor_shift")
            leak, leak_argument = "v -= floor_shift(v, leak_shift);", ", int32_t leak_shift"
            arguments.append(str(self.leak_shift))
        if self.leak_multiplier is not None:
            leak = "v = floor_shift(v * leak_multiplier, leak_shift);"
            leak_argument += ", int32_t leak_multiplier"
            arguments.append(str(self.leak_multiplier))
        if self.v_reset is None:
            level, reset_argument, kind = "threshold[c]", "", "soft"
        elif isinstance(self.v_reset, np.ndarray):
            level, reset_argument, kind = "v_reset[c]", ", const int32_t *restrict v_reset", "hard_each"
            arguments.append(emitter.constant("v_reset", self.v_reset))
        else:
            level, reset_argument, kind = "v_reset", ", int32_t v_reset", "hard"
            arguments.append(str(self.v_reset))
        signed = f"{level} * s" if self.ternary else level
        parameters = {
            "spike": "int8_t" if self.ternary else "uint8_t",
            "fires": "(v >= threshold[c]) - (v <= -threshold[c])" if self.ternary else "v >= threshold[c]",
            "leak": leak and f"{leak}\n            ",
            "leak_argument": leak_argument,
            "reset": signed if self.v_reset is not None else f"v - {signed}",
            "reset_argument": reset_argument,
        }
        kind += "" if self.leak_shift is None else "_leak" if self.leak_multiplier is None else "_multiply"
        kind += "_ternary" if self.ternary else ""
        return kind, parameters, arguments


def _flag(value: object, what: str) -> bool:
    if value not in (0, 1) or not isinstance(value, (bool, int, np.bool_)):
        raise ProgramError(f"{what} must be true or false, got {value!r}")
    return bool(value)
