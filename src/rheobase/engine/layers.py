"""Stages of a plan as the C layers, with the memory that they point to."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rheobase.engine import library as c
from rheobase.engine.packing import block_size, code_rows, event_rows, lookup_tables, padded, pair_rows
from rheobase.engine.plan import WINDOW_ROWS, Stage
from rheobase.program.ops import Neuron, Readout, RoundedNeuron

INT16 = (-(1 << 15), (1 << 15) - 1)
INT32_MAX = (1 << 31) - 1
CROSSOVER = {1: 0.55, 2: 0.37, 4: 0.33, 8: 0.37}  # rates at which lists and tables take as long, by bits
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

    def __init__(self, stages: list[Stage], isa: int) -> None:
        self.stages = stages
        self.isa = isa
        self.array = (c.Layer * len(stages))()
        self._kept: dict[tuple[int, str], NDArray[np.generic]] = {}
        for index, stage in enumerate(stages):
            self._describe(index, stage)
        self.choose(None)

    def kernels(self, index: int) -> tuple[str, ...]:
        """Names of the kernels that layer `index` can run."""
        view = self.stages[index].view
        lists = ("event",) if self.stages[index].rows <= WINDOW_ROWS else ()
        tables = ("lookup",) if self.isa and not view.counts and view.pool == (1, 1) else ()
        return ("dense", *lists, *tables)

    def choose(self, kernel: str | None, rates: Sequence[float] | None = None) -> None:
        """Force a kernel on the layers that can run it, or let each choose.

        Those that choose list events. Where `rates` (of each layer's input) pass the rate at which tables are
        faster, they have tables as well, for the samples that pass it.
        """
        for index, layer in enumerate(self.array):
            able = self.kernels(index)
            bound = CROSSOVER[layer.bits]
            busy = rates is not None and rates[index] > bound / 2 and "lookup" in able
            if kernel in able:
                layer.event_below = ALWAYS if kernel == "event" else NEVER
                layer.dense_kernel = c.KERNELS.index("dense" if kernel == "event" else kernel)
            else:
                layer.event_below = (bound if busy else ALWAYS) if "event" in able else NEVER
                layer.dense_kernel = c.KERNELS.index("lookup" if busy else "dense")
            if layer.dense_kernel == c.KERNELS.index("lookup"):
                self._tables(index)
            elif layer.source == c.COUNTS or layer.event_below == NEVER:
                self._pairs(index)
        self.kernel = kernel

    def membrane_bytes(self, index: int) -> int:
        """Bytes of the membranes of a layer."""
        layer = self.array[index]
        if layer.neuron == c.READOUT:
            return 0
        return layer.out_height * layer.out_width * layer.out_padded * (2 if layer.narrow else 4)

    def row_capacity(self) -> int:
        """Events that a row's list has room for: every spike, or a mean count of 1."""
        rows = [layer.raw_width * layer.pool_height * layer.channels for layer in self.array]
        return max(rows) + 32

    def _keep(self, index: int, what: str, array: NDArray[np.generic]) -> int:
        memory = aligned(array.nbytes)
        memory[:] = np.ascontiguousarray(array).view(np.uint8).reshape(-1)
        self._kept[index, what] = memory
        return memory.ctypes.data

    def _describe(self, index: int, stage: Stage) -> None:
        layer, view, weight, ends = self.array[index], stage.view, stage.weight, stage.ends
        layer.source = c.COUNTS if view.counts else c.SPIKES
        layer.channels, layer.paired, layer.words = (
            view.channels,
            padded(view.channels, 2),
            -(-view.channels // 64),
        )
        layer.raw_height, layer.raw_width = view.raw
        layer.pool_height, layer.pool_width = view.pool
        layer.height, layer.width = view.size
        layer.kernel_height, layer.kernel_width = stage.codes.shape[2:]
        layer.stride, layer.padding, layer.rows = stage.stride, stage.padding, stage.rows
        layer.out_channels, layer.out_height, layer.out_width = stage.out
        layer.block = block_size(stage.out[0], weight.bits)
        layer.out_words, layer.out_padded = -(-stage.out[0] // 64), padded(stage.out[0], layer.block)
        layer.bits, layer.step, layer.offset = weight.bits, weight.step, weight.offset
        layer.scale = 1 << stage.shift
        rows = code_rows(stage.codes, layer.block)
        if self.isa and stage.rows <= WINDOW_ROWS:
            layer.packed = self._keep(index, "packed", event_rows(rows, weight.bits, layer.block))
        else:
            layer.codes = self._keep(index, "codes", rows)
        self._bias(index, ends.bias)
        if isinstance(ends, Readout):
            layer.neuron = c.READOUT
        else:
            self._neuron(index, stage, ends)

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
        elif self._narrow(stage, op):
            layer.narrow = 1
            vectors["threshold16"] = self._wide(index, op.threshold, INT16[1]).astype(np.int16)
            vectors["reset16"] = self._wide(index, reset, 0).astype(np.int16)
            vectors["bias16"] = self._wide(index, op.bias, 0).astype(np.int16)
        for what, vector in vectors.items():
            setattr(layer, what, self._keep(index, what, vector))

    def _narrow(self, stage: Stage, op: Neuron) -> bool:
        """Whether 16 bits hold the membranes, and each sum with its bias, so that vectors of int16 are exact."""
        numbers = [stage.low, stage.high, int(op.threshold.max()), int(op.bias.min()), int(op.bias.max())]
        fit = all(INT16[0] <= number <= INT16[1] for number in (*numbers, op.saturation))
        return self.isa > 0 and op.leak_multiplier is None and fit

    def _pairs(self, index: int) -> None:
        layer, stage = self.array[index], self.stages[index]
        if self.isa and stage.view.most <= INT16[1] and not layer.pairs:
            layer.pairs = self._keep(index, "pairs", pair_rows(stage.codes, layer.block))
        elif not layer.codes:
            layer.codes = self._keep(index, "codes", code_rows(stage.codes, layer.block))

    def _tables(self, index: int) -> None:
        layer, stage = self.array[index], self.stages[index]
        if not layer.tables:
            layer.tables = self._keep(index, "tables", lookup_tables(stage.codes, layer.bits, layer.block))
