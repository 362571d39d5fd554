"""Thresholds on a mixture of all values since the first step: the saccadic neuron of SNN-ViT."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from rheobase.errors import ProgramError
from rheobase.program.ops.base import INT32_MAX, Bounds, Kind, Op, Shape, Work, int32_vector, whole

if TYPE_CHECKING:
    from rheobase.program.c99.emitter import Emitter

MOST_STEPS = 1024


@dataclass(frozen=True, eq=False)
class TimeMix(Op):
    """A spike where a weighted sum of the values of this and all earlier steps reaches this step's threshold.

    s_t[c] = 1 if sum over j <= t of mixing[t, j] * x_j[c] >= threshold[t, c] else 0          (or mixing[c, t, j])

    Nothing leaks and nothing is reset. A step keeps its values, so that the sums are the same step by step as at once. It
    holds for `steps` steps; after them it is silent, and programs with it run no longer.

    Shape: `[C, H, W]` or `[C]` to the same; `mixing` int32 `[steps * (steps + 1) / 2]`, the rows of a lower triangle one
    after the other, or as many for each channel in turn; `threshold` int32 `[steps * C]`, step by step.
    Raises:
        ProgramError: a field is out of range, or the sizes do not go together.
    """

    mixing: NDArray[np.int32]
    threshold: NDArray[np.int32]
    steps: int

    kinds: ClassVar[Mapping[Kind, Kind]] = {"events": "events", "signed": "events", "current": "events"}

    def __post_init__(self) -> None:
        whole(self.steps, "TimeMix steps", 1, MOST_STEPS)
        for what in ("mixing", "threshold"):
            object.__setattr__(self, what, int32_vector(getattr(self, what), f"TimeMix {what}"))
        if len(self.threshold) % self.steps:
            raise ProgramError(
                f"TimeMix over {self.steps} steps needs as many thresholds for each channel, got {len(self.threshold)}"
            )
        if len(self.mixing) not in (self.triangle, self.channels * self.triangle):
            raise ProgramError(
                f"TimeMix over {self.steps} steps mixes by {self.triangle} numbers, or as many for each of {self.channels} "
                f"channels, got {len(self.mixing)}"
            )

    @property
    def channels(self) -> int:
        """Number of channels."""
        return len(self.threshold) // self.steps

    @property
    def triangle(self) -> int:
        """Numbers of a lower triangle."""
        return self.steps * (self.steps + 1) // 2

    @property
    def matrices(self) -> NDArray[np.int64]:
        """The mixing as lower triangles, one or one a channel: int64 `[1 or C, steps, steps]`."""
        full = np.zeros((len(self.mixing) // self.triangle, self.steps, self.steps), np.int64)
        full[(slice(None), *np.tril_indices(self.steps))] = self.mixing.reshape(len(full), -1)
        return full

    @property
    def most_steps(self) -> int:
        """Those that have a row."""
        return self.steps

    def state_bytes(self, shape: Shape, bits: int) -> int:
        """Bytes that live from step to step: the values of all steps, `bits` each, and the number of this one."""
        return -(-self.steps * prod(shape) * bits // 8) + 4

    def output_shape(self, shape: Shape) -> Shape:
        """See the class."""
        if not shape or shape[0] != self.channels:
            raise ProgramError(
                f"TimeMix has thresholds for {self.channels} channels, but its input is {list(shape)}"
            )
        return shape

    def run(self, x: NDArray[Any]) -> NDArray[Any]:
        """See the class."""
        known = min(len(x), self.steps)
        size = x.shape[1] * prod(x.shape[3:])
        by_channel = np.moveaxis(x[:known], 2, 0).astype(np.int64)
        sums = self.matrices[:, :known, :known] @ by_channel.reshape(self.channels, known, size)
        sums = np.moveaxis(sums.reshape(by_channel.shape), 0, 2)
        threshold = self.threshold.reshape(self.steps, 1, self.channels, *[1] * (x.ndim - 3))
        spikes = np.zeros(x.shape, np.uint8)
        spikes[:known] = sums >= threshold[:known]
        return spikes

    def bounds(self, incoming: Bounds, shape: Shape, steps: int) -> Bounds:
        """Spikes are 0 or 1; the sums of all products of a step, in whatever order, must fit 32 bits."""
        if steps > self.steps:
            raise ProgramError(
                f"TimeMix mixes {self.steps} steps, but the program is made for T={steps}; make it for at most {self.steps}"
            )
        widest = int(np.abs(self.matrices).sum(axis=2).max()) * incoming.magnitude
        if widest > INT32_MAX:
            raise ProgramError(
                f"mixed values can reach {widest}, beyond 32 bits; lower the mixing, with its thresholds"
            )
        ones = np.ones(self.channels, np.int64)
        return Bounds(ones * 0, ones, max(widest, incoming.magnitude), "uint8_t")

    def work(self, x: NDArray[Any]) -> Work:
        """Every value is updated at every step, by as many products as there were steps."""
        each, steps = prod(x.shape[1:]), min(len(x), self.steps)
        return Work(neuron_updates=prod(x.shape), multiplications=each * steps * (steps + 1) // 2)

    def macs(self, shape: Shape) -> int:
        """None: in one pass there is one step, and a threshold takes its factor up."""
        return 0

    def emit(self, emitter: "Emitter") -> None:
        """Keep this step's values, then mix all there are."""
        x = emitter.value
        size = prod(emitter.shape)
        kernel = emitter.kernel("time_mix", f"time_mix_{emitter.tag(x.ctype)}", value=x.ctype)
        mixing = emitter.constant("mixing", self.mixing)
        threshold = emitter.constant("threshold", self.threshold)
        past, step = f"past{emitter.index}", f"step{emitter.index}"
        emitter.keep(x.ctype, past, self.steps * size)
        emitter.keep("int32_t", step, 1)
        spikes = emitter.room()
        apart = (
            0 if len(self.mixing) == self.triangle else self.triangle
        )  # from a channel's triangle to the next
        numbers = [size // self.channels, self.channels, *x.pitch, self.steps, 1 << x.shift, apart]
        arguments = f"{spikes}, {mixing}, {threshold}, {', '.join(map(str, numbers))}"
        emitter.line(f"{kernel}(state->{past}, state->{step}, {x.expression}, {arguments});")
        emitter.give(spikes)
