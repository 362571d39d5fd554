"""What one run of the engine writes to: membranes, spikes of each layer, lists and scratch."""

import ctypes
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rheobase.engine.layers import Layers, aligned
from rheobase.engine.library import OWN, Memory

HELD_BYTES = 1 << 25  # maps over time of all layers; more steps run in parts
MOST_HELD = 32  # STEPS of engine.h


def steps_held(layers: Layers, steps: int) -> int:
    """Steps that a run keeps in memory: all of them where they fit."""
    maps = sum(
        layer.out_height * layer.out_width * (8 * layer.out_words + 4 * layer.pitch * layer.keep)
        for layer in layers.array
    )
    lists = max(layer.height for layer in layers.array) * 8 * layers.row_capacity()
    each = maps + lists
    return max(1, min(steps, MOST_HELD, HELD_BYTES // each))


class RunMemory:
    """Memory for one thread, or one team of `threads`, and up to `steps` steps at a time.

    Membranes keep their values from call to call; `reset` sets them to 0.
    """

    def __init__(self, library: ctypes.CDLL, layers: Layers, steps: int, threads: int) -> None:
        self._layers = layers
        self.steps = steps
        count = len(layers.array)
        sizes = [-(-layers.membrane_bytes(i) // 64) * 64 for i in range(count)]
        self._membranes = aligned(sum(sizes))
        first = self._membranes.ctypes.data
        places = [first + sum(sizes[:i]) for i in range(count)]
        self._spikes = [
            np.zeros((steps, layer.out_height, layer.out_width, layer.out_words), np.uint64)
            for layer in layers.array
        ]
        self._maps = [
            aligned(4 * steps * layer.out_height * layer.out_width * layer.pitch) if layer.keep else None
            for layer in layers.array
        ]
        capacity = layers.row_capacity()
        scratch = library.engine_scratch_bytes(layers.array, count, steps, capacity)
        height = max(layer.height for layer in layers.array)
        widest = max(layer.height * layer.width * layer.paired for layer in layers.array)
        starts = max(layer.height * (layer.width + 1) for layer in layers.array)
        self._kept = {
            "counts": aligned(2 * steps * widest),
            "entries": aligned(4 * steps * height * capacity + 128),
            "starts": aligned(8 * steps * starts),
            "events": aligned(16 * threads),
        }
        self._scratch = [aligned(scratch) for _ in range(threads)]
        pointers = ctypes.c_void_p * count
        self._pointers = [
            pointers(*places),
            pointers(*(spikes.ctypes.data for spikes in self._spikes)),
            pointers(*(None if kept is None else kept.ctypes.data for kept in self._maps)),
            (ctypes.c_void_p * threads)(*(memory.ctypes.data for memory in self._scratch)),
        ]
        addresses = [ctypes.addressof(pointer) for pointer in self._pointers]
        self.struct = Memory(
            membranes=addresses[0],
            spikes=addresses[1],
            maps=addresses[2],
            scratch=addresses[3],
            scratch_bytes=scratch,
            row_capacity=capacity,
            steps_held=steps,
            threads=threads,
            **{what: memory.ctypes.data for what, memory in self._kept.items()},
        )

    def reset(self) -> None:
        """All membranes to 0."""
        self._membranes[:] = 0

    def spikes(self, index: int, steps: int) -> NDArray[Any]:
        """Spikes of a layer in the last call of `steps` steps.

        Shape: uint8 (int32 of a layer that runs by its own C) `[steps, C, H, W]`.
        """
        layer, kept = self._layers.array[index], self._maps[index]
        if layer.head == OWN and kept is not None:
            shape = (self.steps, layer.out_height, layer.out_width, layer.pitch)
            last = kept[: 4 * prod(shape)].view(np.int32).reshape(shape)[:steps, ..., : layer.out_channels]
            return np.ascontiguousarray(np.moveaxis(last, -1, 1))
        words = self._spikes[index][:steps].astype("<u8", copy=False)
        bits = np.unpackbits(words.view(np.uint8), axis=-1, count=layer.out_channels, bitorder="little")
        return np.ascontiguousarray(np.moveaxis(bits, -1, 1))
