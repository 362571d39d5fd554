"""The neuron scan in plain torch: the meaning of every faster one.

h[t] = leak * v[t-1] + x[t]                   v[-1] = 0
s[t] = 1[h[t] >= threshold]                   (strict: >)
s[t] = 1[h[t] >= threshold] - 1[-h[t] >= threshold]    ternary
w[t] = h[t] - threshold * s[t]                soft reset, v_reset is None
w[t] = h[t] * (1 - |s[t]|) + v_reset * s[t]   hard reset
v[t] = w[t]
v[t] = step * clip(round(w[t] / step), -n, n) membrane_bits = b: n = 2^(b-1) - 1, step = membrane_limit / n

Rounding is to the nearest, ties to even; its gradient is 1 where nothing is clipped, else 0. The spike is
decided on h, which is not rounded.

Source: ternary spikes: Guo et al., "Ternary Spike" (AAAI 2024, arXiv 2312.06372); rounded membranes: Wei et al.,
Q-SNN (ACM MM 2024, arXiv 2406.13672), here with a fixed scale and without its tanh.
"""

import torch
from torch import Tensor

from rheobase.errors import RheobaseError
from rheobase.kernels.options import membrane_grid
from rheobase.kernels.surrogates import SurrogateBase, spike


def check(x: Tensor, value: float | Tensor, name: str) -> None:
    """Refuse an x without time steps and a parameter that is no number, 0-d tensor or [C].

    Raises:
        RheobaseError: as said.
    """
    if x.ndim < 1 or x.shape[0] == 0:
        raise RheobaseError(f"x must be [T, N, ...] with T >= 1, not {list(x.shape)}")
    if not isinstance(value, Tensor) or value.ndim == 0:
        return
    if value.ndim != 1 or x.ndim < 3 or value.shape[0] != x.shape[2]:
        raise RheobaseError(
            f"{name} has shape {list(value.shape)}; it must be a number, a 0-d tensor or one value per "
            f"channel [C], where x is [T, N, C, ...]; x has shape {list(x.shape)}"
        )


def check_membrane(bits: int | None, limit: float) -> None:
    """Refuse a grid that has no level beside 0, or more than float32 can tell apart.

    Raises:
        RheobaseError: bits outside 2..16, or limit not positive.
    """
    if bits is not None and not (2 <= bits <= 16 and limit > 0):
        raise RheobaseError(
            f"membrane_bits must be 2..16 and membrane_limit > 0, got {bits} and {limit:g}; "
            "membrane_bits=8, membrane_limit=1.0 is usual"
        )


def broadcast(value: float | Tensor, x: Tensor) -> float | Tensor:
    """`value` so that it broadcasts against one time step of x: [C] becomes [C, 1, ...]."""
    if not isinstance(value, Tensor):
        return float(value)
    value = value.to(x)
    return value.view(-1, *[1] * (x.ndim - 3)) if value.ndim else value


def round_membrane(w: Tensor, bits: int | None, limit: float, smooth: bool = False) -> Tensor:
    """The stored membrane: w on the grid of `bits`, with a straight-through gradient (`smooth`: only clipped).

    Shape: w any; the result is like it.
    """
    if bits is None:
        return w
    levels, step = membrane_grid(bits, limit)
    r = (w * (1.0 / step)).clamp(-levels, levels)
    return (r if smooth else r + (r.round() - r).detach()) * step


def membrane_trace(
    x: Tensor,
    leak: float | Tensor,
    threshold: float | Tensor,
    *,
    v_reset: float | None,
    detach_reset: bool,
    strict: bool,
    surrogate: SurrogateBase,
    ternary: bool = False,
    membrane_bits: int | None = None,
    membrane_limit: float = 1.0,
    smooth: bool = False,
) -> tuple[Tensor, Tensor]:
    """Spikes and the membrane h before reset, as in the equations above; both carry gradients.

    `smooth` replaces the step by the surrogate's soft one and leaves out the rounding, so that finite
    differences can check gradients.

    Shape: x [T, N, C, ...] (or [T, ...] with scalar parameters); both results like x. Half precisions are
    computed in float32.

    Raises:
        RheobaseError: x has no time step, a parameter's shape fits neither [] nor [C], or membrane_bits is not 2..16.
    """
    check(x, leak, "leak")
    check(x, threshold, "threshold")
    check_membrane(membrane_bits, membrane_limit)
    wide = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
    leak, threshold = broadcast(leak, wide), broadcast(threshold, wide)

    def fire(u: Tensor) -> Tensor:
        return surrogate.smooth(u) if smooth else spike(u, surrogate, strict)

    v = torch.zeros_like(wide[0])
    spikes, membrane = [], []
    for step in wide.unbind(0):
        h = leak * v + step
        fired = s = fire(h - threshold)
        if ternary:
            down = fire(-h - threshold)
            s, fired = s - down, s + down
        signed, fired = (s.detach(), fired.detach()) if detach_reset else (s, fired)
        w = h - threshold * signed if v_reset is None else h * (1.0 - fired) + v_reset * signed
        v = round_membrane(w, membrane_bits, membrane_limit, smooth)
        spikes.append(s)
        membrane.append(h)
    return torch.stack(spikes).to(x.dtype), torch.stack(membrane).to(x.dtype)


def scan_reference(
    x: Tensor,
    leak: float | Tensor,
    threshold: float | Tensor,
    *,
    v_reset: float | None,
    detach_reset: bool,
    strict: bool,
    surrogate: SurrogateBase,
    ternary: bool = False,
    membrane_bits: int | None = None,
    membrane_limit: float = 1.0,
    smooth: bool = False,
) -> Tensor:
    """The spikes of `membrane_trace`: what `neuron_scan` computes, in plain torch on any device and dtype.

    Shape: x [T, N, C, ...] (or [T, ...] with scalar parameters); the spikes have x's shape and dtype.

    Raises:
        RheobaseError: x has no time step, a parameter's shape fits neither [] nor [C], or membrane_bits is not 2..16.
    """
    spikes, _ = membrane_trace(
        x,
        leak,
        threshold,
        v_reset=v_reset,
        detach_reset=detach_reset,
        strict=strict,
        surrogate=surrogate,
        ternary=ternary,
        membrane_bits=membrane_bits,
        membrane_limit=membrane_limit,
        smooth=smooth,
    )
    return spikes
