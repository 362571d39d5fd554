"""Stages of a plan as the C layers, with the memory that they point to."""

import ctypes
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rheobase.engine import library as c
from rheobase.engine import own
from rheobase.engine.packing import (
    bit_planes,
    block_size,
    code_rows,
    event_rows,
    held_bits,
    lookup_tables,
    padded,
    pair_rows,
)
from rheobase.engine.plan import WINDOW_ROWS, Stage, View
from rheobase.program.ops import Neuron, Readout, Rescale, RoundedNeuron
from rheobase.program.weight import Weight

INT16 = (-(1 << 15), (1 << 15) - 1)
INT32_MAX = (1 << 31) - 1
CROSSOVER = {1: 0.55, 2: 0.37, 4: 0.33, 8: 0.37}  # rates at which lists and tables take as long, by bits
COUNTING_CROSSOVER = 0.11  # the same where vectors count ones, 1 bit
# the same, by block, where counts are read, not bits, and all of them multiplied
FRAME_CROSSOVER = {32: 0.1, 64: 0.4, 128: 1.0}
ALWAYS, NEVER = 3e38, 0.0  # bounds on the mean count below which events are listed


def aligned(size: int) -> NDArray[np.uint8]:
    """Zeroed bytes at an address that 64 divides."""
    memory = np.zeros(size + 64, np.uint8)
    first = -memory.ctypes.data % 64
    return memory[first : first + size]


class Layers:
    """The C array of layers of a plan. It keeps what they point to alive.

    `kernel` None lets every layer choose by the events of each sample; a name forces that kernel where it can run.
    """

    def __init__(self, stages: list[Stage], isa: str) -> None:
        self.stages = stages
        self.isa = isa
        self.vectors = isa != "scalar"
        self.array = (c.Layer * len(stages))()
        self._kept: dict[tuple[int, str], NDArray[np.generic]] = {}
        self._tails: list[ctypes.Array[c.Tail]] = []
        owns = [stage.own for stage in stages if stage.own is not None]
        self._own = own.library(owns, isa) if owns else None
        for index, stage in enumerate(stages):
            self._describe(index, stage)
        self.choose(None)

    def kernels(self, index: int) -> tuple[str, ...]:
        """Names of the kernels that layer `index` can run."""
        view = self.stages[index].view
        if self.stages[index].head != "sums":
            return ()
        lists = ("event",) if self.stages[index].rows <= WINDOW_ROWS else ()
        spikes = view.source == "spikes" and view.pool == (1, 1)
        tables = ("lookup",) if self.vectors and spikes else ()
        strings = ("popcount",) if spikes and self.array[index].bits <= 2 else ()
        return ("dense", *lists, *tables, *strings)

    def choose(self, kernel: str | None, rates: Sequence[float] | None = None) -> None:
        """Force a kernel on the layers that can run it, or let each choose.

        Those that choose list events, and take all inputs of a frame of many counts. Where `rates` (of each layer's input)
        pass the rate at which a kernel whose work does not depend on events is faster, they have its weights as well, for
        the samples that pass it.
        """
        for index, layer in enumerate(self.array):
            able = self.kernels(index)
            if not able:
                continue
            counting = self.isa == "avx512" and layer.bits == 1 and "popcount" in able
            bound = COUNTING_CROSSOVER if counting else CROSSOVER[layer.bits]
            busy = rates is not None and rates[index] > bound / 2 and "lookup" in able
            if kernel in able:
                layer.event_below = ALWAYS if kernel == "event" else NEVER
                steady = "dense" if kernel == "event" else kernel
            else:
                free = ALWAYS if layer.value.source == c.SPIKES else FRAME_CROSSOVER[layer.block]
                layer.event_below = (bound if busy else free) if "event" in able else NEVER
                steady = ("popcount" if counting else "lookup") if busy else "dense"
            layer.dense_kernel = c.KERNELS.index(steady)
            if steady == "lookup":
                self._tables(index)
            elif steady == "popcount":
                self._planes(index)
            elif layer.value.source != c.SPIKES or layer.event_below == NEVER:
                self._pairs(index)
        self.kernel = kernel

    def membrane_bytes(self, index: int) -> int:
        """Bytes of a layer's membranes, or of what else it keeps from step to step."""
        layer, stage = self.array[index], self.stages[index]
        if self._own is not None and stage.own is not None:
            return int(self._own[f"{stage.own.name}_bytes"]())
        if layer.neuron in (c.READOUT, c.NOTHING):
            return 0
        return layer.out_height * layer.out_width * layer.out_padded * (2 if layer.small else 4)

    def row_capacity(self) -> int:
        """Events that a row's list has room for: every spike, or a mean count of 1."""
        sums = [layer for layer in self.array if layer.head == c.SUMS]
        return max((layer.raw_width * layer.pool_height * layer.channels for layer in sums), default=0) + 32

    def _keep(self, index: int, what: str, array: NDArray[np.generic]) -> int:
        memory = aligned(array.nbytes)
        memory[:] = np.ascontiguousarray(array).view(np.uint8).reshape(-1)
        self._kept[index, what] = memory
        return memory.ctypes.data

    def _describe(self, index: int, stage: Stage) -> None:
        layer, view = self.array[index], stage.view
        layer.head = c.HEADS.index(stage.head)
        layer.value, layer.other = self._value(view), self._value(stage.other or view)
        if self._own is not None and stage.own is not None:
            layer.own = ctypes.cast(self._own[stage.own.name], ctypes.c_void_p).value
        layer.channels, layer.paired = view.channels, padded(view.channels, 2)
        layer.raw_height, layer.raw_width = view.raw
        layer.pool_height, layer.pool_width = view.pool
        layer.height, layer.width = view.size
        layer.kernel_height, layer.kernel_width = stage.window
        (layer.stride_height, layer.stride_width), layer.padding = stage.stride, stage.padding
        layer.dilation, (layer.first_turned, layer.second_turned) = stage.dilation, stage.turned
        layer.out_channels, layer.out_height, layer.out_width = stage.out
        layer.narrow_events = -1
        layer.scale, layer.rows, layer.groups = 1 << stage.shift, stage.rows, stage.groups
        bits = 8 if stage.weight is None else stage.weight.bits
        layer.block = block_size(stage.out[0], bits)
        layer.out_words, layer.out_padded = -(-stage.out[0] // 64), padded(stage.out[0], layer.block)
        layer.keep, layer.pitch = stage.keep, padded(stage.out[0], 64)
        if stage.weight is not None and stage.codes is not None:
            self._weights(index, stage, stage.weight, stage.codes)
        self._tail(index, stage)
        if isinstance(stage.ends, Readout):
            layer.neuron = c.READOUT
            self._bias(index, stage.ends.bias)
        elif stage.ends is not None:
            self._bias(index, stage.ends.bias)
            self._neuron(index, stage, stage.ends)
        else:
            layer.neuron = c.NOTHING

    def _value(self, view: View) -> c.Value:
        return c.Value(
            c.SOURCES.index(view.source),
            view.stage,
            view.channels,
            view.raw[0] * view.raw[1],
            -(-view.channels // 64),
            padded(view.channels, 64),
            view.below_zero,
        )

    def _weights(self, index: int, stage: Stage, weight: Weight, codes: NDArray[np.uint8]) -> None:
        layer = self.array[index]
        if stage.head == "conv":
            values = (weight.step * codes.astype(np.int32) + weight.offset).transpose(2, 3, 1, 0)
            wide = np.zeros((*values.shape[:3], layer.out_padded), np.int32)
            wide[..., : len(codes)] = values
            layer.values = self._keep(index, "values", wide)
            return
        layer.counts = stage.view.source != "spikes" or stage.view.pool != (1, 1)
        layer.bits, layer.step, layer.offset = held_bits(weight.bits, layer.block), weight.step, weight.offset
        rows = code_rows(codes, layer.block)
        if self.vectors and stage.rows <= WINDOW_ROWS:
            layer.packed = self._keep(index, "packed", event_rows(rows, layer.bits, layer.block))
        else:
            layer.codes = self._keep(index, "codes", rows)

    def _tail(self, index: int, stage: Stage) -> None:
        layer = self.array[index]
        self._tails.append((c.Tail * len(stage.tail))())
        for at, (part, tail) in enumerate(zip(stage.tail, self._tails[-1], strict=True)):
            if isinstance(part, Rescale):
                tail.what, tail.shift = c.RESCALE, part.gain_shift
                tail.gain = self._keep(index, f"gain {at}", self._wide(index, part.gain, 0))
                tail.bias = self._keep(index, f"bias {at}", self._wide(index, part.bias, 0))
            else:
                tail.what, tail.value = c.ADD, self._value(part)
        layer.tail, layer.tail_count = ctypes.addressof(self._tails[-1]), len(stage.tail)

    def _bias(self, index: int, bias: NDArray[np.int32]) -> None:
        self.array[index].bias = self._keep(index, "bias", self._wide(index, bias, 0))

    def _wide(self, index: int, vector: NDArray[np.generic], fill: int) -> NDArray[np.int32]:
        wide = np.full(self.array[index].out_padded, fill, np.int32)
        wide[: len(vector)] = vector
        return wide

    def _neuron(self, index: int, stage: Stage, op: Neuron) -> None:
        layer = self.array[index]
        layer.neuron = c.ROUNDED if isinstance(op, RoundedNeuron) else c.PLAIN
        layer.saturation = op.saturation
        layer.leak_shift, layer.leak_multiplier = op.leak_shift or 0, op.leak_multiplier or 0
        if op.leak_multiplier is not None:
            layer.leak = c.MULTIPLY
        else:
            layer.leak = c.NO_LEAK if op.leak_shift is None else c.SHIFT
        layer.hard = op.v_reset is not None
        reset = np.broadcast_to(op.v_reset if op.v_reset is not None else 0, op.threshold.shape)
        vectors = {
            "threshold": self._wide(index, op.threshold, INT32_MAX),
            "reset": self._wide(index, reset, 0),
        }
        if isinstance(op, RoundedNeuron):
            vectors |= {"gain": self._wide(index, op.gain, 0), "levels": op.levels, "edges": op.edges}
            layer.gain_shift, layer.edge_count = op.gain_shift, len(op.edges)
        elif self._small(stage, op):
            layer.small, layer.narrow_events = 1, self._narrow_events(stage, op)
            vectors["threshold16"] = self._wide(index, op.threshold, INT16[1]).astype(np.int16)
            vectors["reset16"] = self._wide(index, reset, 0).astype(np.int16)
            vectors["bias16"] = self._wide(index, op.bias, 0).astype(np.int16)
        for what, vector in vectors.items():
            setattr(layer, what, self._keep(index, what, vector))

    def _small(self, stage: Stage, op: Neuron) -> bool:
        """Whether membranes have 16 bits: for sums of events that go to neurons at once."""
        numbers = [int(op.threshold.max()), int(op.bias.min()), int(op.bias.max()), op.saturation]
        fit = all(INT16[0] <= number <= INT16[1] for number in numbers)
        sums = stage.head == "sums" and not stage.tail and not stage.keep
        return self.vectors and sums and op.leak_multiplier is None and fit

    def _narrow_events(self, stage: Stage, op: Neuron) -> int:
        """How many events' sum, with its bias, fits 16 bits, so that vectors of int16 are exact."""
        if INT16[0] <= stage.low and stage.high <= INT16[1]:
            return INT32_MAX
        assert stage.weight is not None
        largest = int(np.abs(stage.weight.values()).max()) << stage.shift
        return (INT16[1] - int(np.abs(op.bias).max())) // max(1, largest)

    def _codes(self, index: int) -> NDArray[np.uint8]:
        codes = self.stages[index].codes
        assert codes is not None, "only layers of weighted sums choose among kernels"
        return codes

    def _pairs(self, index: int) -> None:
        layer, codes = self.array[index], self._codes(index)
        if self.vectors and self.stages[index].view.most <= INT16[1]:
            if not layer.pairs:
                layer.pairs = self._keep(index, "pairs", pair_rows(codes, layer.block))
        elif not layer.codes:
            layer.codes = self._keep(index, "codes", code_rows(codes, layer.block))

    def _tables(self, index: int) -> None:
        layer = self.array[index]
        if not layer.tables:
            layer.tables = self._keep(
                index, "tables", lookup_tables(self._codes(index), layer.bits, layer.block)
            )

    def _planes(self, index: int) -> None:
        layer = self.array[index]
        if not layer.planes:
            layer.planes = self._keep(
                index, "planes", bit_planes(self._codes(index), layer.bits, layer.block)
            )
