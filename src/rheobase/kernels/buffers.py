"""Memory for large results, used again once they are gone.

A fresh tensor of tens of megabytes costs ten times a used one: the system clears every page of it at its
first touch. Results of the scan therefore live in pages of their own that come back when the last tensor on
them dies; at most `IDLE` bytes wait for the next result.
"""

import math
import mmap
import weakref
from collections.abc import Sequence

import torch
from torch import Tensor

LEAST = 1 << 20  # smaller results stay with torch's allocator, which reuses them well
IDLE = 1 << 30
ROUND = 1 << 21  # one huge page

_idle: dict[int, list[mmap.mmap]] = {}


def idle_bytes() -> int:
    """Bytes that wait for the next result."""
    return sum(size * len(regions) for size, regions in list(_idle.items()))


def release() -> None:
    """Hand all waiting memory back to the system."""
    _idle.clear()


def _take_back(region: mmap.mmap) -> None:
    size = len(region)
    if idle_bytes() + size > IDLE:
        for other in [key for key in list(_idle) if key != size]:
            _idle.pop(other, None)
    if idle_bytes() + size <= IDLE:
        _idle.setdefault(size, []).append(region)


def _region(size: int) -> mmap.mmap:
    try:
        return _idle[size].pop()
    except (KeyError, IndexError):
        region = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        if hasattr(mmap, "MADV_HUGEPAGE"):
            region.madvise(mmap.MADV_HUGEPAGE)
        return region


def empty_strided(shape: Sequence[int], stride: Sequence[int], dtype: torch.dtype) -> Tensor:
    """`torch.empty_strided` on CPU for dense strides, in used memory where there is some.

    Shape: as given; the values are whatever the memory held.
    """
    count = math.prod(shape)
    size = count * dtype.itemsize
    if size < LEAST or not hasattr(mmap, "MAP_PRIVATE"):
        return torch.empty_strided(shape, stride, dtype=dtype)
    region = _region(-(-size // ROUND) * ROUND)
    view = memoryview(region)
    weakref.finalize(view, _take_back, region).atexit = False
    flat = torch.frombuffer(view, dtype=dtype, count=count)
    return flat.set_(flat.untyped_storage(), 0, shape, stride)
