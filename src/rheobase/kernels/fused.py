"""The fused scan on CPU: `scan.c` compiled on first use and called through ctypes."""

import ctypes
import warnings
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from rheobase.kernels.buffers import empty_strided
from rheobase.kernels.layout import channel_runs, time_major_dense
from rheobase.kernels.options import ScanOptions, staircase, surrogate_numbers
from rheobase.native import CompilerError, compile_shared

SOURCE = Path(__file__).with_name("scan.c")
# No contraction: leak * v + x must round twice, as torch's does, or spikes at the threshold differ.
# OpenMP: the runtime torch has loaded, so that the scan runs on torch's threads.
FLAGS = (
    "-std=gnu11",
    "-O2",
    "-ftree-vectorize",
    "-fvect-cost-model=dynamic",
    "-march=native",
    "-ffp-contract=off",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-fno-strict-aliasing",
)
THREADED = "-fopenmp"
DTYPES = {torch.float32: 0, torch.bfloat16: 1, torch.float16: 2}
GRAIN = 1 << 15  # elements worth one more thread


class _Stairs(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_float * 256) for name in ("levels", "edges")),
        *((name, ctypes.c_float) for name in ("centre", "half")),
        *((name, ctypes.c_int32) for name in ("bits", "curved")),
    ]


class _Scan(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("x", "grad", "out", "leak", "threshold", "sums", "stairs")),
        *((name, ctypes.c_int64) for name in ("T", "n", "channels", "inner")),
        *((name, ctypes.c_int32) for name in ("dtype", "hard", "detach", "strict", "surrogate", "ternary")),
        ("event_local", ctypes.c_int32),
        *((name, ctypes.c_float) for name in ("v_reset", "a", "b", "low", "high")),
    ]


@cache
def library() -> ctypes.CDLL | None:
    """The compiled `scan.c`, or None (after one warning) where it cannot be compiled."""
    try:
        found = ctypes.CDLL(str(_compiled()))
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


def _compiled() -> Path:
    try:
        return compile_shared([SOURCE], [*FLAGS, THREADED], "neuron-scan", ["-lm"])
    except CompilerError:  # a compiler without OpenMP: one thread
        return compile_shared([SOURCE], FLAGS, "neuron-scan", ["-lm"])


def _parameter(value: float | Tensor, channels: int) -> Tensor | ctypes.Array[ctypes.c_float]:
    """`value` in float32 memory: one number, or one for each of `channels`."""
    if not isinstance(value, Tensor):
        return (ctypes.c_float * channels)(*[value] * channels)
    flat = value.detach().to(torch.float32).reshape(-1)
    return flat.expand(channels).contiguous()


@cache
def _tables(name: str, bits: int, numbers: tuple[float, ...]) -> _Stairs:
    stairs = staircase(name, bits, numbers)
    return _Stairs(stairs.levels, stairs.edges, stairs.centre, stairs.half, bits, stairs.curved)


def _stairs(options: ScanOptions) -> _Stairs | None:
    """The membrane quantiser in C's memory, which the cache keeps."""
    if options.membrane is None:
        return None
    return _tables(options.membrane, options.membrane_bits, tuple(options.membrane_numbers))


def _address(memory: Tensor | ctypes.Array[ctypes.c_float]) -> int:
    return memory.data_ptr() if isinstance(memory, Tensor) else ctypes.addressof(memory)


def _call(
    x: Tensor,
    grad: Tensor | None,
    leak: float | Tensor,
    threshold: float | Tensor,
    options: ScanOptions,
    want_sums: bool,
) -> tuple[Tensor, Tensor | None]:
    """Run the C kernel: spikes if grad is None, else the gradient to x and the sums [2, channels] or None."""
    native = library()
    if native is None:
        raise CompilerError("the fused neuron scan was called without a C compiler")
    if x.numel() == 0:
        return torch.empty_like(x), None
    source = x if time_major_dense(x) else x.contiguous()
    if grad is not None and grad.stride() != source.stride():
        grad = empty_strided(source.shape, source.stride(), source.dtype).copy_(grad)
    out = empty_strided(source.shape, source.stride(), source.dtype)
    channels, inner = channel_runs(source, leak, threshold)
    leaks, thresholds = _parameter(leak, channels), _parameter(threshold, channels)
    steps, elements = source.shape[0], source.numel()
    threads = max(1, min(torch.get_num_threads(), elements // GRAIN))
    sums = torch.zeros(threads, 2, channels, dtype=torch.float64) if want_sums else None
    stairs = _stairs(options)
    loop, a, b = surrogate_numbers(options.surrogate, options.shape)
    scan = _Scan(
        source.data_ptr(),
        None if grad is None else grad.data_ptr(),
        out.data_ptr(),
        _address(leaks),
        _address(thresholds),
        None if sums is None else sums.data_ptr(),
        None if stairs is None else ctypes.addressof(stairs),
        steps,
        elements // steps,
        channels,
        inner,
        DTYPES[source.dtype],
        options.v_reset is not None,
        options.detach_reset,
        options.strict,
        loop,
        options.ternary,
        options.event_local,
        options.v_reset or 0.0,
        a,
        b,
        *options.window,
    )
    if (native.scan_forward if grad is None else native.scan_backward)(scan, threads):
        raise MemoryError("the neuron scan found no memory for its scratch")
    if source is not x:
        out = torch.empty_like(x).copy_(out)
    return out, None if sums is None else sums.sum(0)


def forward(x: Tensor, leak: float | Tensor, threshold: float | Tensor, options: ScanOptions) -> Tensor:
    """Spikes, in the memory layout of `torch.empty_like(x)`."""
    return _call(x, None, leak, threshold, options, False)[0]


def backward(
    grad: Tensor,
    x: Tensor,
    leak: float | Tensor,
    threshold: float | Tensor,
    options: ScanOptions,
    want_sums: bool,
) -> tuple[Tensor, Tensor | None]:
    """The gradient to x, and with `want_sums` the gradients to leak and threshold, summed to [2, channels]."""
    return _call(x, grad, leak, threshold, options, want_sums)
