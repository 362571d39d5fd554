"""The options of one recurrence, as the kernels and the torch operator take them."""

from typing import NamedTuple


class ScanOptions(NamedTuple):
    """What `neuron_scan` was asked for besides tensors; `surrogate` is a name, `shape` its one parameter."""

    v_reset: float | None
    detach_reset: bool
    strict: bool
    surrogate: str
    shape: float
    ternary: bool = False
    membrane_bits: int | None = None
    membrane_limit: float = 1.0


def membrane_grid(bits: int | None, limit: float) -> tuple[int, float]:
    """Levels on either side of 0, and their distance: `n = 2^(bits-1) - 1` and `limit / n`; (0, 1) without bits."""
    if bits is None:
        return 0, 1.0
    levels = 2 ** (bits - 1) - 1
    return levels, limit / levels
