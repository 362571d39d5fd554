"""The neuron scan in plain torch: the meaning of every faster one.

h[t] = leak * v[t-1] + x[t]                   v[-1] = 0
s[t] = 1[h[t] >= threshold]                   (strict: >)
s[t] = 1[h[t] >= threshold] - 1[-h[t] >= threshold]    ternary
w[t] = h[t] - threshold * s[t]                soft reset, v_reset is None
w[t] = h[t] * (1 - |s[t]|) + v_reset * s[t]   hard reset
v[t] = w[t]
v[t] = levels[i], edges[i-1] <= w[t] < edges[i]   with a membrane quantiser (`membranes.py`)

The spike is decided on h, which is not rounded; backward takes the quantiser's slope at w for dv/dw. An event
gradient (`gradients.py`) keeps ds/dh, and with `event_local` all of dL/dh, to a window of h.

Source: ternary spikes: Guo et al., "Ternary Spike" (AAAI 2024, arXiv 2312.06372); rounded membranes: Wei et al.,
Q-SNN (ACM MM 2024, arXiv 2406.13672).
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from rheobase.errors import RheobaseError
from rheobase.kernels.gradients import OPEN, EventGradient, window
from rheobase.kernels.membranes import MembraneBase
from rheobase.kernels.surrogates import SurrogateBase, shut, spike


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


def broadcast(value: float | Tensor, x: Tensor) -> float | Tensor:
    """`value` so that it broadcasts against one time step of x: [C] becomes [C, 1, ...]."""
    if not isinstance(value, Tensor):
        return float(value)
    value = value.to(x)
    return value.view(-1, *[1] * (x.ndim - 3)) if value.ndim else value


class _Round(torch.autograd.Function):
    @staticmethod
    def forward(w: Tensor, levels: Tensor, edges: Tensor, membrane: MembraneBase) -> Tensor:
        found = levels[torch.bucketize(w.contiguous(), edges, right=True)]
        return torch.where(w.isnan(), w, found)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor, MembraneBase], output: Tensor) -> None:
        w, _, _, ctx.membrane = inputs
        ctx.save_for_backward(w)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        (w,) = ctx.saved_tensors
        return grad * ctx.membrane.slope(w), None, None, None


def rounding(membrane: MembraneBase | None, like: Tensor, smooth: bool = False) -> Callable[[Tensor], Tensor]:
    """What the reset membrane becomes before the next step: its level, or itself without a quantiser.

    The gradient is `membrane.slope`; `smooth` gives `membrane.smooth` instead. Dtype and device are those of `like`.
    """
    if membrane is None:
        return lambda w: w
    if smooth:
        return membrane.smooth
    levels, edges = (like.new_tensor(table) for table in (membrane.levels(), membrane.edges()))

    def settle(w: Tensor) -> Tensor:
        rounded: Tensor = _Round.apply(w, levels, edges, membrane)
        return rounded

    return settle


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
    membrane: MembraneBase | None = None,
    gradient: EventGradient | None = None,
    smooth: bool = False,
) -> tuple[Tensor, Tensor]:
    """Spikes and the membrane h before reset, as in the equations above; both carry gradients.

    `smooth` replaces the step by the surrogate's soft one (constant where a mask is shut) and the stairs by the
    quantiser's smooth curve, so that finite differences can check gradients (not `event_local`, which is none).

    Shape: x [T, N, C, ...] (or [T, ...] with scalar parameters); both results like x. Half precisions are
    computed in float32.

    Raises:
        RheobaseError: x has no time step, or a parameter's shape fits neither [] nor [C].
    """
    check(x, leak, "leak")
    check(x, threshold, "threshold")
    wide = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
    leak, threshold = broadcast(leak, wide), broadcast(threshold, wide)

    passes = OPEN if gradient is None else window(gradient.mask, gradient.band, strict)
    local = gradient is not None and gradient.local

    def fire(u: Tensor) -> Tensor:
        return surrogate.smooth(u.clamp(*passes)) if smooth else spike(u, surrogate, strict, passes)

    def at_events(h: Tensor) -> Tensor:
        silent = shut(h - threshold, passes)
        if ternary:
            silent &= shut(-h - threshold, passes)
        return torch.where(silent, h.detach(), h)

    v = torch.zeros_like(wide[0])
    settle = rounding(membrane, wide, smooth)
    spikes, membranes = [], []
    for step in wide.unbind(0):
        h = leak * v + step
        h = at_events(h) if local else h
        fired = s = fire(h - threshold)
        if ternary:
            down = fire(-h - threshold)
            s, fired = s - down, s + down
        signed, fired = (s.detach(), fired.detach()) if detach_reset else (s, fired)
        w = h - threshold * signed if v_reset is None else h * (1.0 - fired) + v_reset * signed
        v = settle(w)
        spikes.append(s)
        membranes.append(h)
    return torch.stack(spikes).to(x.dtype), torch.stack(membranes).to(x.dtype)


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
    membrane: MembraneBase | None = None,
    gradient: EventGradient | None = None,
    smooth: bool = False,
) -> Tensor:
    """The spikes of `membrane_trace`: what `neuron_scan` computes, in plain torch on any device and dtype.

    Shape: x [T, N, C, ...] (or [T, ...] with scalar parameters); the spikes have x's shape and dtype.

    Raises:
        RheobaseError: x has no time step, or a parameter's shape fits neither [] nor [C].
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
        membrane=membrane,
        gradient=gradient,
        smooth=smooth,
    )
    return spikes
