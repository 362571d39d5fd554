"""The fused scan: `scan.c` compiled on first use, as torch operators known to autograd and torch.compile."""

import ctypes
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rheobase.kernels.surrogates import SURROGATES
from rheobase.native import CompilerError, compile_shared

SOURCE = Path(__file__).with_name("scan.c")
# No contraction: leak * v + x must round twice, as torch's does, or spikes at the threshold differ.
FLAGS = (
    "-std=gnu11",
    "-O3",
    "-march=native",
    "-ffp-contract=off",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-fno-strict-aliasing",
    "-pthread",
)
DTYPES = (torch.float32, torch.bfloat16)
GRAIN = 1 << 19  # elements worth one more thread
CODES = {name: code for code, name in enumerate(SURROGATES)}


class _Scan(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("x", "grad", "out", "leak", "threshold", "sums")),
        *((name, ctypes.c_int64) for name in ("T", "n", "channels", "inner")),
        *((name, ctypes.c_int32) for name in ("bf16", "hard", "detach", "strict", "surrogate")),
        *((name, ctypes.c_float) for name in ("v_reset", "shape")),
    ]


@cache
def library() -> ctypes.CDLL | None:
    """The compiled `scan.c`, or None (after one warning) where it cannot be compiled."""
    try:
        found = ctypes.CDLL(str(compile_shared([SOURCE], FLAGS, "neuron-scan", ["-lm"])))
    except (CompilerError, OSError) as error:
        warnings.warn(
            f"neuron_scan falls back to plain torch, several times slower: {error}", UserWarning, stacklevel=2
        )
        return None
    for function in (found.scan_forward, found.scan_backward):
        function.argtypes, function.restype = [ctypes.POINTER(_Scan), ctypes.c_int64], ctypes.c_int
    found.scan_backward_block.argtypes = [ctypes.c_int64]
    found.scan_backward_block.restype = found.scan_forward_block.restype = ctypes.c_int64
    return found


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


def _call(
    x: Tensor,
    grad: Tensor | None,
    leak: Tensor,
    threshold: Tensor,
    v_reset: float | None,
    detach_reset: bool,
    strict: bool,
    surrogate: str,
    shape: float,
    want_sums: bool,
) -> tuple[Tensor, Tensor | None]:
    """Run the C kernel: spikes if grad is None, else the gradient to x and the sums [2, channels] or None."""
    native = library()
    if native is None:
        raise CompilerError("the fused neuron scan was called without a C compiler")
    out = torch.empty_like(x)
    if x.numel() == 0:
        return out, None
    source = x if time_major_dense(x) else x.contiguous()
    target = out if out.stride() == source.stride() else torch.empty_like(source)
    if grad is not None and grad.stride() != source.stride():
        grad = torch.empty_like(source).copy_(grad)
    leak, threshold = leak.to(torch.float32), threshold.to(torch.float32)
    channels = max(leak.numel(), threshold.numel())
    leak, threshold = leak.reshape(-1), threshold.reshape(-1)
    if channels > 1:
        leak, threshold = leak.expand(channels).contiguous(), threshold.expand(channels).contiguous()
    n = source.numel() // source.shape[0]
    threads = max(1, min(torch.get_num_threads(), source.numel() // GRAIN))
    sums = torch.zeros(threads, 2, channels, dtype=torch.float64) if want_sums else None
    scan = _Scan(
        source.data_ptr(),
        None if grad is None else grad.data_ptr(),
        target.data_ptr(),
        leak.data_ptr(),
        threshold.data_ptr(),
        None if sums is None else sums.data_ptr(),
        source.shape[0],
        n,
        channels,
        source.stride(2) if channels > 1 else n,
        source.dtype == torch.bfloat16,
        v_reset is not None,
        detach_reset,
        strict,
        CODES[surrogate],
        v_reset or 0.0,
        shape,
    )
    run = native.scan_forward if grad is None else native.scan_backward
    if run(scan, threads):
        raise MemoryError("the neuron scan found no memory for its scratch")
    if target is not out:
        out.copy_(target)
    return out, None if sums is None else sums.sum(0)


@torch.library.custom_op("rheobase::neuron_scan", mutates_args=(), device_types="cpu")
def fused_scan(
    x: Tensor,
    leak: Tensor,
    threshold: Tensor,
    v_reset: float | None,
    detach_reset: bool,
    strict: bool,
    surrogate: str,
    shape: float,
) -> Tensor:
    """The scan of `reference.py` in one C pass over memory; `surrogate` is a name, `shape` its one parameter.

    Shape: x [T, N, C, ...] float32 or bfloat16, dense; leak and threshold [] or [C]; spikes like x.
    """
    return _call(x, None, leak, threshold, v_reset, detach_reset, strict, surrogate, shape, False)[0]


@torch.library.custom_op("rheobase::neuron_scan_backward", mutates_args=(), device_types="cpu")
def fused_scan_backward(
    grad: Tensor,
    x: Tensor,
    leak: Tensor,
    threshold: Tensor,
    v_reset: float | None,
    detach_reset: bool,
    strict: bool,
    surrogate: str,
    shape: float,
    want_sums: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients to x, leak and threshold; the last two are zeros unless `want_sums`."""
    gx, sums = _call(x, grad, leak, threshold, v_reset, detach_reset, strict, surrogate, shape, want_sums)
    if sums is None:
        return gx, torch.zeros_like(leak), torch.zeros_like(threshold)
    both = [
        (total if value.numel() == total.numel() else total.sum()).reshape(value.shape).to(value.dtype)
        for total, value in zip(sums, (leak, threshold), strict=True)
    ]
    return gx, both[0], both[1]


@fused_scan.register_fake
def _(x: Tensor, *_: Any) -> Tensor:
    return torch.empty_like(x)


@fused_scan_backward.register_fake
def _(grad: Tensor, x: Tensor, leak: Tensor, threshold: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor]:
    return torch.empty_like(x), torch.empty_like(leak), torch.empty_like(threshold)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:3])
    ctx.options = inputs[3:]


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    wanted = ctx.needs_input_grad
    gx, gleak, gthreshold = fused_scan_backward(
        grad.to(ctx.saved_tensors[0].dtype), *ctx.saved_tensors, *ctx.options, wanted[1] or wanted[2]
    )
    return gx, gleak if wanted[1] else None, gthreshold if wanted[2] else None, None, None, None, None, None


fused_scan.register_autograd(_backward, setup_context=_setup)
