"""Neurons that fire integers and keep no membrane: how many thresholds a value reaches."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from rheobase.errors import ProgramError
from rheobase.program.ops.base import Bounds, Firing, Kind, Shape, Work, int32_vector, whole

if TYPE_CHECKING:
    from rheobase.program.c99.emitter import Emitter

MOST_LEVELS = 255  # that a byte counts


@dataclass(frozen=True, eq=False)
class MultiThreshold(Firing):
    """How many of its channel's thresholds a value reaches: the integers of neurons without membrane.

    y[c] = number of k < levels with x[c] >= threshold[k, c]

    Thresholds of a channel never fall from one level to the next, so the first that is not reached ends the search.

    Shape: `[C, H, W]` or `[C]` to the same; `threshold` is int32 `[levels * C]`, level by level.
    Raises:
        ProgramError: a field is out of range, the sizes do not go together, or thresholds fall.
    Source: quantised activations as successive thresholds are those of Umuroglu and Jahre, "Streamlined Deployment for
    Quantized Neural Networks", arXiv 1709.04060.
    """

    threshold: NDArray[np.int32]
    levels: int

    kinds: ClassVar[Mapping[Kind, Kind]] = {"events": "events", "signed": "events", "current": "events"}

    def __post_init__(self) -> None:
        whole(self.levels, "MultiThreshold levels", 1, MOST_LEVELS)
        object.__setattr__(self, "threshold", int32_vector(self.threshold, "MultiThreshold threshold"))
        if len(self.threshold) % self.levels:
            raise ProgramError(
                f"MultiThreshold of {self.levels} levels needs as many thresholds for each channel, got {len(self.threshold)}"
            )
        if bool((self.by_level[1:] < self.by_level[:-1]).any()):
            raise ProgramError("MultiThreshold thresholds of a channel must not fall from level to level")

    @property
    def channels(self) -> int:
        """Number of channels."""
        return len(self.threshold) // self.levels

    @property
    def by_level(self) -> NDArray[np.int32]:
        """The thresholds: int32 `[levels, C]`."""
        return self.threshold.reshape(self.levels, -1)

    def output_shape(self, shape: Shape) -> Shape:
        """See the class."""
        if not shape or shape[0] != self.channels:
            raise ProgramError(
                f"MultiThreshold has thresholds for {self.channels} channels, but its input is {list(shape)}"
            )
        return shape

    def run(self, x: NDArray[Any]) -> NDArray[Any]:
        """See the class."""
        reached = np.zeros(x.shape, np.uint8)
        for level in self.by_level:
            reached += x >= level.reshape(-1, *[1] * (x.ndim - 3))
        return reached

    def bounds(self, incoming: Bounds, shape: Shape, steps: int) -> Bounds:
        """What the ends of the range reach; thresholds are compared with, so they too are integers met."""
        low, high = (
            (end >= self.by_level).sum(axis=0, dtype=np.int64) for end in (incoming.low, incoming.high)
        )
        widest = max(incoming.widest, int(np.abs(self.threshold.astype(np.int64)).max()))
        return Bounds(low, high, widest, "uint8_t")

    def follows_rows(self, shape: Shape) -> bool:
        """Nothing is kept, so any row will do."""
        return True

    def work(self, x: NDArray[Any]) -> Work:
        """Every neuron is updated at every step, input or not."""
        return Work(neuron_updates=prod(x.shape))

    def macs(self, shape: Shape) -> int:
        """None: a dense network's activation multiplies nothing."""
        return 0

    def emit(self, emitter: "Emitter") -> None:
        """One pass, or one a row; in the place of the input where nobody reads it later and it has bytes."""
        x = emitter.value
        kernel = emitter.kernel("multi_threshold", f"multi_threshold_{emitter.tag(x.ctype)}", value=x.ctype)
        threshold = emitter.constant("threshold", self.threshold)
        spikes = emitter.room(over=[x])
        size = prod(emitter.shape)
        more = ", ".join(map(str, [self.channels, *x.pitch, 1 << x.shift, threshold, self.levels]))
        if x.by_row:
            _, height, width = emitter.shape
            row = f"{spikes} + row * {width * self.channels}, {width}"
            emitter.by_rows(height, x.by_row, f"{kernel}({x.expression}, {row}, {more});")
        else:
            emitter.line(f"{kernel}({x.expression}, {spikes}, {size // self.channels}, {more});")
        emitter.trace(spikes, size)
        emitter.give(spikes)
