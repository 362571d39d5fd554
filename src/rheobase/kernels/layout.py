"""How a tensor lies in memory, as the fused kernels need it: T slices of n elements."""

from torch import Tensor


def time_major_dense(x: Tensor) -> bool:
    """Whether x is T slices, one after another in memory, each dense in some order of its axes."""
    if x.is_contiguous():
        return True
    expected = 1
    inner = sorted(
        (stride, size) for stride, size in zip(x.stride()[1:], x.shape[1:], strict=True) if size != 1
    )
    for stride, size in inner:
        if stride != expected:
            return False
        expected *= size
    return x.shape[0] == 1 or x.stride(0) == expected


def channel_runs(x: Tensor, *parameters: float | Tensor) -> tuple[int, int]:
    """How many channels the parameters tell apart, and how many elements of one follow each other in memory."""
    channels = max(value.numel() if isinstance(value, Tensor) else 1 for value in parameters)
    return channels, x.stride(2) if channels > 1 else x.numel() // x.shape[0]
