"""A spike-time network on a time grid: integer ticks, int8 weights, int32 thresholds.

`ticks` R are one unit of time. A spike time is a tick 0..horizon, SILENT is none. An input of tick T_i and weight q_i adds
q_i max(T - T_i, 0) to the potential U(T) of a neuron, whose threshold counts in the same unit:

    ReL-PSP   fires at the first tick T in 0..horizon with U(T) >= threshold = ceil(v_threshold R/scale), as V = U scale/R
    STD-ED    horizon = R; inputs arrive in 0..R, and in the window after them, at its tick T in 0..R, the threshold is
              threshold (R - T)/R, threshold = round(R/scale). With A = U(R) and W = sum q the neuron fires at the first
              T with A + W T >= threshold (R - T)/R, if the potential when the window ends, A + R W, is above 0

The class is that of the output neuron that fires first (ReL-PSP: ties, and silence, to the lowest class), or whose membrane
when the window ends is greatest (STD-ED: A + R W, or A for the readout `proxy`; ties to the lowest).

Every sum fits 32 bits: |U(T)| <= reach = horizon sum |q|, and `Program.validate` refuses a layer in which

    ReL-PSP   threshold + reach + sum |q|                (the numerator of a crossing, rounded up)
    STD-ED    R threshold + R reach + threshold + reach  (the same; R sum |q| = reach)
    readout   2 reach

passes 2^31 - 1.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rheobase.errors import LatticeError
from rheobase.spiketime.geometry import Geometry

SILENT = 0xFFFF
INT32_MAX = (1 << 31) - 1
Kind = Literal["rel_psp", "std_ed"]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Encoder:
    """Frames to ticks by a table.

    `latency`: the entry at the sum of a pixel's T frames, of 255 T + 1. `first_event`: the entry at the first frame that is not
    0, of T; without such a frame the pixel is silent.
    """

    kind: Literal["latency", "first_event"]
    T: int
    table: NDArray[np.uint16]


@dataclass(frozen=True)
class Layer:
    """Neurons that fire, one map of `geometry.positions` a row of weights.

    Shape: weight int8 `[m, n]`, threshold int32 `[m]`
    """

    name: str
    geometry: Geometry
    weight: NDArray[np.int8]
    threshold: NDArray[np.int32]

    @property
    def shape(self) -> Shape:
        """Channels, height, width of the output."""
        return (len(self.weight), *self.geometry.out_size)


@dataclass(frozen=True)
class Pool:
    """The earliest spike of each window of `kernel` x `kernel`; what is left over at the border is not read."""

    name: str
    input_shape: Shape
    kernel: int

    @property
    def shape(self) -> Shape:
        """Channels, height, width of the output."""
        channels, height, width = self.input_shape
        return (channels, height // self.kernel, width // self.kernel)


@dataclass(frozen=True)
class Readout:
    """STD-ED's last layer: membranes when the window ends, `proxy` without the part of W.

    Shape: weight int8 `[K, n]`
    """

    name: str
    weight: NDArray[np.int8]
    form: Literal["window_end", "proxy"] = "window_end"

    @property
    def geometry(self) -> Geometry:
        """Every membrane sees all inputs."""
        return Geometry(self.weight.shape[1])


@dataclass(frozen=True)
class Program:
    """A network: the last of `layers` decides in a program of ReL-PSP, the `readout` in one of STD-ED."""

    name: str
    kind: Kind
    ticks: int
    horizon: int
    input_shape: Shape
    encoder: Encoder
    layers: tuple[Layer | Pool, ...]
    readout: Readout | None = None

    @property
    def classes(self) -> int:
        """K."""
        return len(self.last.weight)

    @property
    def last(self) -> Layer | Readout:
        """The layer that decides."""
        last = self.readout or self.layers[-1]
        assert not isinstance(last, Pool)
        return last

    @property
    def hidden(self) -> tuple[Layer | Pool, ...]:
        """The layers before it."""
        return self.layers if self.readout is not None else self.layers[:-1]

    @property
    def weight_bytes(self) -> int:
        """Bytes of weights and thresholds."""
        found = sum(x.weight.nbytes + x.threshold.nbytes for x in self.layers if isinstance(x, Layer))
        return found + (0 if self.readout is None else self.readout.weight.nbytes)

    def weighted(self) -> Iterator[Layer | Readout]:
        """Layers that have weights, in order."""
        yield from (layer for layer in self.layers if isinstance(layer, Layer))
        if self.readout is not None:
            yield self.readout

    def validate(self) -> None:
        """Prove that no sum passes 32 bits and no index 16.

        Raises:
            LatticeError: one could; the message names the layer and what to do.
        """
        if not 0 < self.horizon < SILENT:
            raise LatticeError(
                f"{self.name}: {self.horizon} ticks do not fit 16 bits: take fewer a unit of time"
            )
        for layer in self.weighted():
            geometry = layer.geometry
            widest = max(geometry.inputs, geometry.fan_in, *np.add(geometry.size, geometry.padding))
            if widest >= SILENT:
                raise LatticeError(f"{layer.name}: {widest:,} inputs do not fit 16 bits: use a smaller layer")
            if (found := self.largest(layer)) > INT32_MAX:
                raise LatticeError(
                    f"{layer.name}: {self.ticks} ticks a unit of time let a sum reach {found:,}, above 2^31 - 1: take "
                    f"fewer ticks, such as {self.ticks // 2}"
                )

    def largest(self, layer: Layer | Readout) -> int:
        """The largest number that the arithmetic of a layer can meet."""
        total = np.abs(layer.weight.astype(np.int64)).sum(1)
        reach = self.horizon * total
        if isinstance(layer, Readout):
            return int((2 * reach).max())
        threshold = layer.threshold.astype(np.int64)
        if self.kind == "rel_psp":
            return int((threshold + reach + total).max())
        return int(((self.ticks + 1) * (threshold + reach)).max())
