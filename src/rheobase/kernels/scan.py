"""The neuron scan that everything calls: the fused kernel where it can run, else plain torch."""

import os
from importlib.util import find_spec

import torch
from torch import Tensor

from rheobase.errors import RheobaseError, unknown
from rheobase.kernels import fused, operator
from rheobase.kernels.gradients import EventGradient
from rheobase.kernels.membranes import MembraneBase
from rheobase.kernels.options import scan_options
from rheobase.kernels.reference import check, scan_reference
from rheobase.kernels.surrogates import SurrogateBase

VARIABLE = "RHEOBASE_KERNEL"


def _fused_wanted() -> bool:
    wanted = os.environ.get(VARIABLE) or "fused"
    if wanted not in ("fused", "reference"):
        raise RheobaseError(f"{VARIABLE}: " + unknown("kernel", wanted, ("fused", "reference")))
    return wanted == "fused"


@torch.compiler.assume_constant_result
def fused_available() -> bool:
    """Whether the C kernel runs here: `RHEOBASE_KERNEL` is not `reference` and `scan.c` compiles.

    Raises:
        RheobaseError: `RHEOBASE_KERNEL` is neither empty, `fused` nor `reference`.
    """
    return _fused_wanted() and fused.library() is not None


@torch.compiler.assume_constant_result
def triton_available() -> bool:
    """Whether the Triton kernel runs here: `RHEOBASE_KERNEL` is not `reference` and triton can be imported.

    Raises:
        RheobaseError: `RHEOBASE_KERNEL` is neither empty, `fused` nor `reference`.
    """
    return _fused_wanted() and find_spec("triton") is not None


def fused_runs(x: Tensor) -> bool:
    """Whether a fused kernel takes x: on CPU the C one, on CUDA the Triton one where triton is installed."""
    if x.dtype not in fused.DTYPES:
        return False
    return (x.is_cpu and fused_available()) or (x.is_cuda and triton_available())


def neuron_scan(
    x: Tensor,
    leak: float | Tensor,
    threshold: float | Tensor,
    *,
    v_reset: float | None,
    detach_reset: bool,
    strict: bool,
    surrogate: SurrogateBase,
    ternary: bool = False,
    membrane: MembraneBase | None = None,
    gradient: EventGradient | None = None,
) -> Tensor:
    """Spikes of a leaky integrate-and-fire neuron over time, starting from a membrane of 0.

    `h = leak * v + x[t]`; `s = 1[h >= threshold]` (`strict`: `>`); then `v = h - threshold * s` (soft
    reset, `v_reset` None) or `v = h * (1 - s) + v_reset * s`. Backward takes `surrogate.derivative(h -
    threshold)` for ds/dh; `detach_reset` cuts the gradient through s where it resets the membrane.
    Gradients reach x, leak and threshold. `ternary` also fires -1 at `h <= -threshold`, and the reset takes the
    signed spike; `membrane` rounds the stored v to the few levels of a quantiser (`membranes.py`), after the spike
    is decided; `gradient` restricts the backward pass to events (`gradients.py`; its `warmup` is the caller's).

    On CPU, and on CUDA with triton, float32, bfloat16 and float16 run fused: spikes equal the reference's bit
    for bit, and only x is kept for the backward pass. Everything else, and everything when
    `RHEOBASE_KERNEL=reference`, runs `scan_reference`.

    Shape: x [T, N, C, ...] (or [T, ...] with scalar parameters), any memory layout; leak and threshold are
    numbers, 0-d tensors or [C]; the spikes have x's shape and dtype. Half precisions keep v in float32.

    Raises:
        RheobaseError: x has no time step, or a parameter's shape fits neither [] nor [C].
    """
    if not fused_runs(x):
        return scan_reference(
            x,
            leak,
            threshold,
            v_reset=v_reset,
            detach_reset=detach_reset,
            strict=strict,
            surrogate=surrogate,
            ternary=ternary,
            membrane=membrane,
            gradient=gradient,
        )
    check(x, leak, "leak")
    check(x, threshold, "threshold")
    options = scan_options(v_reset, detach_reset, strict, surrogate, ternary, membrane, gradient)
    return operator.scan(x, leak, threshold, options)
