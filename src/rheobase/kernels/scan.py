"""The neuron scan that everything calls."""

from torch import Tensor

from rheobase.kernels.reference import scan_reference
from rheobase.kernels.surrogates import SurrogateBase


def neuron_scan(
    x: Tensor,
    leak: float | Tensor,
    threshold: float | Tensor,
    *,
    v_reset: float | None,
    detach_reset: bool,
    strict: bool,
    surrogate: SurrogateBase,
) -> Tensor:
    """Spikes of a leaky integrate-and-fire neuron over time.

    Shape: x [T, N, C, ...] (or [T, ...] with scalar parameters); the spikes have x's shape and dtype.
    """
    return scan_reference(
        x,
        leak,
        threshold,
        v_reset=v_reset,
        detach_reset=detach_reset,
        strict=strict,
        surrogate=surrogate,
    )
