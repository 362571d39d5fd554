"""The neuron scan on CUDA, in Triton: the recurrence and options of `reference.py`, backward by recomputation.

One program takes a block of elements through all steps with the membrane in registers. The backward pass
computes the membranes again into the buffer of its own result (float32) or a scratch of x's shape (half
precisions), and walks back; it keeps x alone. Multiply-add fusion is off, so that h rounds as torch's does.

Imported only for CUDA tensors, where triton is installed. So far it has run in Triton's interpreter on CPU
tensors and has NOT been run on a GPU.
"""
# mypy: disallow-untyped-defs=False

from contextlib import nullcontext
from functools import cache

import torch
import triton  # type: ignore[import-not-found, import-untyped, unused-ignore]
import triton.language as tl  # type: ignore[import-not-found, import-untyped, unused-ignore]
from torch import Tensor

from rheobase.kernels.layout import channel_runs, time_major_dense
from rheobase.kernels.options import ScanOptions, Staircase, staircase, surrogate_numbers

BLOCK = 1024
NONE = Staircase((0.0,), (0.0,), 0.0, 0.0, False)  # not read


@triton.jit
def _reaches(u, STRICT: tl.constexpr):
    return tl.where(u > 0.0 if STRICT else u >= 0.0, 1.0, 0.0)


@triton.jit
def _fire(h, threshold, STRICT: tl.constexpr, TERNARY: tl.constexpr):
    s = _reaches(h - threshold, STRICT)
    if TERNARY:
        s -= _reaches(-h - threshold, STRICT)
    return s


@triton.jit
def _reset(h, s, threshold, v_reset, HARD: tl.constexpr):
    if HARD:
        return tl.where(s != 0.0, v_reset * s, h)
    return h - threshold * s


@triton.jit
def _settle(w, levels, edges, BITS: tl.constexpr):
    """The level of w, by binary search; w itself where it is NaN or BITS is 0."""
    if BITS > 0:
        i = tl.full(w.shape, 0, tl.int32)
        for done in tl.static_range(BITS):
            edge = tl.load(edges + i + ((1 << (BITS - 1 - done)) - 1))
            i += tl.where(w >= edge, 1 << (BITS - 1 - done), 0)
        w = tl.where(w == w, tl.load(levels + i), w)
    return w


@triton.jit
def _derivative(u, a, b, SURROGATE: tl.constexpr):
    if SURROGATE == 0:
        d = tl.where(tl.abs(u) < a, b, 0.0)
    elif SURROGATE == 1:
        d = a - b * tl.abs(u)
        d = tl.where(d < 0.0, 0.0, d)
    elif SURROGATE == 2:
        y = tl.exp2(-tl.abs(b * u))
        d = a * y / ((1.0 + y) * (1.0 + y))
    else:
        y = a * u
        d = b / (1.0 + y * y)
    return d


@triton.jit
def _outside(u, low, high):
    return (u < low) | (u > high)


@triton.jit
def _slope(w, centre, half, CURVED: tl.constexpr):
    d = _derivative(w - centre, half, 1.0, 0)
    if CURVED:
        d *= _derivative(w, 4.0, 2.8853900817779268, 2)  # 2 / ln 2: 1 - tanh(w)^2
    return d


@triton.jit
def _walk(
    x,
    out,
    at,
    inside,
    lk,
    th,
    T: tl.constexpr,
    n,
    v_reset,
    levels,
    edges,
    HARD: tl.constexpr,
    STRICT: tl.constexpr,
    TERNARY: tl.constexpr,
    BITS: tl.constexpr,
    SPIKES: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Writes the spikes, or (SPIKES false) the membrane before the reset; returns `at` after T steps."""
    v = tl.full((BLOCK,), 0.0, tl.float32)
    for _ in range(T):
        h = lk * v + tl.load(x + at, mask=inside, other=0.0).to(tl.float32)
        s = _fire(h, th, STRICT, TERNARY)
        v = _settle(_reset(h, s, th, v_reset, HARD), levels, edges, BITS)
        tl.store(out + at, (s if SPIKES else h).to(out.dtype.element_ty), mask=inside)
        at += n
    return at


@triton.jit
def _forward(
    x,
    leak,
    threshold,
    out,
    T: tl.constexpr,
    n,
    channels,
    inner,
    v_reset,
    levels,
    edges,
    HARD: tl.constexpr,
    STRICT: tl.constexpr,
    TERNARY: tl.constexpr,
    BITS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """The spikes of one block of elements."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < n
    channel = at // inner % channels
    lk = tl.load(leak + channel)
    th = tl.load(threshold + channel)
    _walk(
        x,
        out,
        at,
        inside,
        lk,
        th,
        T,
        n,
        v_reset,
        levels,
        edges,
        HARD,
        STRICT,
        TERNARY,
        BITS,
        True,
        BLOCK,
    )


@triton.jit
def _backward(
    x,
    leak,
    threshold,
    grad,
    h_of,
    out,
    sums,
    T: tl.constexpr,
    n,
    channels,
    inner,
    v_reset,
    a,
    b,
    keep,
    levels,
    edges,
    centre,
    half,
    low,
    high,
    SURROGATE: tl.constexpr,
    HARD: tl.constexpr,
    STRICT: tl.constexpr,
    TERNARY: tl.constexpr,
    BITS: tl.constexpr,
    CURVED: tl.constexpr,
    MASKED: tl.constexpr,
    LOCAL: tl.constexpr,
    SUMS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """The gradient to x of one block; `h_of` is scratch and may be `out`. Names are those of scan.c."""
    first = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = first < n
    channel = first // inner % channels
    lk = tl.load(leak + channel)
    th = tl.load(threshold + channel)
    at = _walk(
        x,
        h_of,
        first,
        inside,
        lk,
        th,
        T,
        n,
        v_reset,
        levels,
        edges,
        HARD,
        STRICT,
        TERNARY,
        BITS,
        False,
        BLOCK,
    )
    tl.debug_barrier()  # the loops may spread a block over threads differently
    gv = tl.full((BLOCK,), 0.0, tl.float32)
    gleak = tl.full((BLOCK,), 0.0, tl.float32)
    gthreshold = tl.full((BLOCK,), 0.0, tl.float32)
    for done in range(T):
        at -= n
        h = tl.load(h_of + at, mask=inside, other=0.0)
        gs = tl.load(grad + at, mask=inside, other=0.0).to(tl.float32)
        s = _fire(h, th, STRICT, TERNARY)
        gw = gv
        if BITS > 0:
            d = _slope(_reset(h, s, th, v_reset, HARD), centre, half, CURVED)
            gw *= tl.where(done > 0, d, 1.0)  # nothing finds the last membrane
        gr = keep * gw
        gp = (gs + gr * (v_reset - h if HARD else -th)) * _derivative(h - th, a, b, SURROGATE)
        gn = tl.full((BLOCK,), 0.0, tl.float32)
        if TERNARY:
            gn = (gr * (-v_reset - h if HARD else th) - gs) * _derivative(-h - th, a, b, SURROGATE)
        if MASKED:
            silent = _outside(h - th, low, high)
            gp = tl.where(silent, 0.0, gp)
            if TERNARY:
                quiet = _outside(-h - th, low, high)
                gn = tl.where(quiet, 0.0, gn)
                silent = silent & quiet
        gh = gp - gn + (tl.where(s != 0.0, 0.0, gw) if HARD else gw)
        if LOCAL:
            gh = tl.where(silent, 0.0, gh)
        if SUMS:
            if done < T - 1:  # before the first step v is 0
                before = tl.load(h_of + at - n, mask=inside, other=0.0)
                spent = _fire(before, th, STRICT, TERNARY)
                w = _reset(before, spent, th, v_reset, HARD)
                gleak += gh * _settle(w, levels, edges, BITS)
            gthreshold -= gp + gn + (0.0 if HARD else gw * s)
        gv = lk * gh
        tl.store(out + at, gh.to(out.dtype.element_ty), mask=inside)
    if SUMS:
        tl.store(sums + first, gleak, mask=inside)
        tl.store(sums + n + first, gthreshold, mask=inside)


@cache
def _tables(stairs: Staircase, device: torch.device) -> tuple[Tensor, Tensor]:
    levels, edges = (
        torch.tensor(table, dtype=torch.float32, device=device) for table in (stairs.levels, stairs.edges)
    )
    return levels, edges


class _Launch:
    """What both passes need: x as T dense slices, the parameters on its device, the numbers of the options."""

    def __init__(
        self, x: Tensor, leak: float | Tensor, threshold: float | Tensor, options: ScanOptions
    ) -> None:
        self.x = x if time_major_dense(x) else x.contiguous()
        self.T, self.n = x.shape[0], x.numel() // x.shape[0]
        self.channels, self.inner = channel_runs(self.x, leak, threshold)
        self.parameters = [
            torch.as_tensor(value, dtype=torch.float32, device=x.device)
            .detach()
            .reshape(-1)
            .expand(self.channels)
            .contiguous()
            for value in (leak, threshold)
        ]
        self.sizes = (self.T, self.n, self.channels, self.inner)
        self.v_reset = options.v_reset or 0.0
        name, bits, numbers = options.membrane, options.membrane_bits, tuple(options.membrane_numbers)
        self.stairs = NONE if name is None else staircase(name, bits, numbers)
        self.tables = _tables(self.stairs, x.device)
        self.flags = {
            "HARD": options.v_reset is not None,
            "STRICT": options.strict,
            "TERNARY": options.ternary,
            "BITS": options.membrane_bits,
            "BLOCK": BLOCK,
            "enable_fp_fusion": False,
        }
        self.programs = (triton.cdiv(self.n, BLOCK),)
        self.device = torch.cuda.device(x.device) if x.is_cuda else nullcontext()


def forward(x: Tensor, leak: float | Tensor, threshold: float | Tensor, options: ScanOptions) -> Tensor:
    """Spikes, in the memory layout of `torch.empty_like(x)`."""
    if x.numel() == 0:
        return torch.empty_like(x)
    launch = _Launch(x, leak, threshold, options)
    out = torch.empty_like(launch.x)
    with launch.device:
        _forward[launch.programs](
            launch.x, *launch.parameters, out, *launch.sizes, launch.v_reset, *launch.tables, **launch.flags
        )
    return out if launch.x is x else torch.empty_like(x).copy_(out)


def backward(
    grad: Tensor,
    x: Tensor,
    leak: float | Tensor,
    threshold: float | Tensor,
    options: ScanOptions,
    want_sums: bool,
) -> tuple[Tensor, Tensor | None]:
    """The gradient to x, and with `want_sums` the gradients to leak and threshold, summed to [2, channels]."""
    if x.numel() == 0:
        return torch.empty_like(x), None
    launch = _Launch(x, leak, threshold, options)
    source = launch.x
    if grad.stride() != source.stride():
        grad = torch.empty_like(source).copy_(grad)
    out = torch.empty_like(source)
    membranes = out if out.dtype == torch.float32 else torch.empty_like(source, dtype=torch.float32)
    sums = torch.empty(2, launch.n if want_sums else 0, dtype=torch.float32, device=x.device)
    surrogate, a, b = surrogate_numbers(options.surrogate, options.shape)
    with launch.device:
        _backward[launch.programs](
            source,
            *launch.parameters,
            grad,
            membranes,
            out,
            sums,
            *launch.sizes,
            launch.v_reset,
            a,
            b,
            0.0 if options.detach_reset else 1.0,
            *launch.tables,
            launch.stairs.centre,
            launch.stairs.half,
            *options.window,
            CURVED=launch.stairs.curved,
            SURROGATE=surrogate,
            MASKED=options.mask is not None,
            LOCAL=options.event_local,
            SUMS=want_sums,
            **launch.flags,
        )
    total = None
    if want_sums:
        total = sums.view(2, -1, launch.channels, launch.inner).sum((1, 3), dtype=torch.float64)
    return out if source is x else torch.empty_like(x).copy_(out), total
