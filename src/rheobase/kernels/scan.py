"""The neuron scan that everything calls: the fused kernel where it can run, else plain torch."""

import os

import torch
from torch import Tensor

from rheobase.errors import RheobaseError, unknown
from rheobase.kernels import fused
from rheobase.kernels.reference import check, scan_reference
from rheobase.kernels.surrogates import SurrogateBase

VARIABLE = "RHEOBASE_KERNEL"


@torch.compiler.assume_constant_result
def fused_available() -> bool:
    """Whether the fused kernel runs here: `RHEOBASE_KERNEL` is not `reference` and `scan.c` compiles.

    Raises:
        RheobaseError: `RHEOBASE_KERNEL` is neither empty, `fused` nor `reference`.
    """
    wanted = os.environ.get(VARIABLE) or "fused"
    if wanted not in ("fused", "reference"):
        raise RheobaseError(f"{VARIABLE}: " + unknown("kernel", wanted, ("fused", "reference")))
    return wanted == "fused" and fused.library() is not None


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
    """Spikes of a leaky integrate-and-fire neuron over time, starting from a membrane of 0.

    `h = leak * v + x[t]`; `s = 1[h >= threshold]` (`strict`: `>`); then `v = h - threshold * s` (soft
    reset, `v_reset` None) or `v = h * (1 - s) + v_reset * s`. Backward takes `surrogate.derivative(h -
    threshold)` for ds/dh; `detach_reset` cuts the gradient through s where it resets the membrane.
    Gradients reach x, leak and threshold.

    On CPU, float32 and bfloat16 run fused in C: spikes equal the reference's bit for bit, and only x is
    kept for the backward pass. Everything else, and everything when `RHEOBASE_KERNEL=reference`, runs
    `scan_reference`.

    Shape: x [T, N, C, ...] (or [T, ...] with scalar parameters), any memory layout; leak and threshold are
    numbers, 0-d tensors or [C]; the spikes have x's shape and dtype. Half precisions keep v in float32.

    Raises:
        RheobaseError: x has no time step, or a parameter's shape fits neither [] nor [C].
    """
    if x.device.type != "cpu" or x.dtype not in fused.DTYPES or not fused_available():
        return scan_reference(
            x,
            leak,
            threshold,
            v_reset=v_reset,
            detach_reset=detach_reset,
            strict=strict,
            surrogate=surrogate,
        )
    check(x, leak, "leak")
    check(x, threshold, "threshold")
    return fused.fused_scan(
        x,
        leak if isinstance(leak, Tensor) else torch.tensor(leak, dtype=torch.float32),
        threshold if isinstance(threshold, Tensor) else torch.tensor(threshold, dtype=torch.float32),
        v_reset,
        detach_reset,
        strict,
        surrogate.name,
        surrogate.shape,
    )
