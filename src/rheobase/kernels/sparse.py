"""The backward pass of linear layers and convolutions from active neurons alone.

    dL/dW[j, i] = sum_r delta[r, j] x[r, i]     pairs of an input that spiked and an output whose error is not 0
    dL/dx[r, i] = sum_j delta[r, j] W[j, i]     outputs whose error is not 0

r runs over time, batch and (convolutions) positions. The sums are those of dense arithmetic in another order. Errors
are sparse where neurons learn at events (`EventGradient`) and no batch-norm stands between, which spreads every error.
"""

import ctypes
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from rheobase.kernels.buffers import empty_strided
from rheobase.kernels.work import counting, note
from rheobase.native import CompilerError, compile_shared

SOURCE = Path(__file__).with_name("sparse.c")
FLAGS = ("-std=gnu11", "-O3", "-march=native", "-fno-math-errno")
FEW = 32  # where most errors of fewer outputs than these are not 0, listing costs more than dense products
GRAIN = 1 << 16  # elements worth one more thread


class _Pairs(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("x", "delta", "weight", "out")),
        *((name, ctypes.c_int64) for name in ("rows", "inputs", "outputs")),
        ("work", ctypes.c_void_p),
    ]


@cache
def library() -> ctypes.CDLL | None:
    """The compiled `sparse.c`, or None (after one warning) where it cannot be compiled."""
    try:
        found = ctypes.CDLL(str(_compiled()))
    except (CompilerError, OSError) as error:
        warnings.warn(f"sparse_backward falls back to dense torch: {error}", UserWarning, stacklevel=2)
        return None
    for function in (found.sparse_to_weights, found.sparse_to_inputs):
        function.argtypes, function.restype = [ctypes.POINTER(_Pairs), ctypes.c_int], ctypes.c_int
    return found


def _compiled() -> Path:
    try:
        return compile_shared([SOURCE], [*FLAGS, "-fopenmp"], "sparse-backward")
    except CompilerError:  # a compiler without OpenMP: one thread
        return compile_shared([SOURCE], FLAGS, "sparse-backward")


@contextmanager
def sparse_backward() -> Iterator[None]:
    """Within the block, layers that compute `F.linear` or `F.conv2d` go backwards from active neurons alone.

    Whatever the network: rheobase's layers, torch's, quantised ones. It takes hold of float32 on CPU, and of
    convolutions of one group with numeric padding; all else, and double backward, stays as it is. What the layers
    execute counts in `counted()`.

        with sparse_backward(), counted() as work:
            loss(model(frames)).backward()
        work.updates, work.dense[2]
    """
    with _Mode():
        yield


class _Mode(TorchFunctionMode):
    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is F.linear and _taken(*args[:2]):
            return _linear(*args, **kwargs)
        if func is F.conv2d and len(args) == 7 and not kwargs and _convolves(*args):
            return _conv2d(*args[:6])
        return func(*args, **kwargs)


def _taken(*tensors: Tensor) -> bool:
    return torch.is_grad_enabled() and all(t.is_cpu and t.dtype == torch.float32 for t in tensors)


def _convolves(x: Tensor, weight: Tensor, bias: Any, stride: Any, padding: Any, *rest: Any) -> bool:
    return rest[-1] == 1 and not isinstance(padding, str) and x.ndim == 4 and _taken(x, weight)


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    y: Tensor = _Linear.apply(x.flatten(0, -2) if x.ndim != 2 else x, weight)
    y = y.unflatten(0, x.shape[:-1]) if x.ndim != 2 else y
    return y if bias is None else y + bias


def _conv2d(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: Any, padding: Any, dilation: Any
) -> Tensor:
    """The convolution as a linear layer of each position's window; torch's own in the forward pass."""
    y: Tensor = _Conv2d.apply(x, weight, stride, padding, dilation)
    return y if bias is None else y + bias.view(-1, 1, 1)


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        if counting():
            note(0, int(x.count_nonzero()) * len(weight), dense=x.numel() * len(weight))
        return x @ weight.T

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, delta: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        gx = to_inputs(delta, weight) if ctx.needs_input_grad[0] else None
        return gx, to_weights(delta, x) if ctx.needs_input_grad[1] else None


class _Conv2d(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: Any, padding: Any, dilation: Any) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.window = {"stride": stride, "padding": padding, "dilation": dilation}
        y = F.conv2d(x, weight, None, **ctx.window)
        if counting():
            seen = F.unfold((x != 0).float(), weight.shape[2:], **ctx.window)
            note(0, int(seen.sum(dtype=torch.float64)) * len(weight), dense=seen.numel() * len(weight))
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        kernel, flat = weight.shape[2:], weight.flatten(1)
        delta = grad.flatten(2).transpose(1, 2).flatten(0, 1)  # [N*P, m]
        gx = gw = None
        if ctx.needs_input_grad[0]:
            windows = to_inputs(delta, flat).unflatten(0, (len(x), -1)).transpose(1, 2)
            gx = F.fold(windows, x.shape[2:], kernel, **ctx.window)
        if ctx.needs_input_grad[1]:
            seen = F.unfold(x, kernel, **ctx.window).transpose(1, 2).flatten(0, 1)  # [N*P, n]
            gw = to_weights(delta, seen).view_as(weight)
        return gx, gw, None, None, None


def to_weights(delta: Tensor, x: Tensor) -> Tensor:
    """The gradient to the weights, `delta^T x`.

    Shape: delta `[R, m]`, x `[R, n]`, float32 on CPU -> `[m, n]`
    """
    if _dense(delta):
        if counting():
            active = (delta != 0).sum(1).dot((x != 0).sum(1))
            note(2, int(active), lanes=delta.shape[1] * x.numel(), dense=delta.shape[1] * x.numel())
        return delta.T @ x
    out = empty_strided([delta.shape[1], x.shape[1]], [x.shape[1], 1], torch.float32)
    pairs, lanes = _run("sparse_to_weights", delta, out, x=x, rows=len(x), inputs=x.shape[1])
    note(2, pairs, lanes=lanes, dense=len(x) * out.numel())
    return out


def to_inputs(delta: Tensor, weight: Tensor) -> Tensor:
    """The gradient to the inputs, `delta W`.

    Shape: delta `[R, m]`, weight `[m, n]`, float32 on CPU -> `[R, n]`
    """
    if _dense(delta):
        if counting():
            active = int(delta.count_nonzero()) * weight.shape[1]
            note(1, active, lanes=len(delta) * weight.numel(), dense=len(delta) * weight.numel())
        return delta @ weight
    out = empty_strided([len(delta), weight.shape[1]], [weight.shape[1], 1], torch.float32)
    pairs, lanes = _run(
        "sparse_to_inputs", delta, out, weight=weight, rows=len(delta), inputs=weight.shape[1]
    )
    note(1, pairs, lanes=lanes, dense=len(delta) * weight.numel())
    return out


def _dense(delta: Tensor) -> bool:
    """Whether a dense product is the faster way, as for the classes of a network; or the only one."""
    few = delta.shape[1] < FEW and 2 * int(delta.count_nonzero()) > delta.numel()
    return few or library() is None


def _run(
    name: str, delta: Tensor, out: Tensor, *, rows: int, inputs: int, **tensors: Tensor
) -> tuple[int, int]:
    """Call a kernel; returns active pairs and those it computed."""
    work = (ctypes.c_int64 * 2)()
    held = {"delta": delta, "out": out} | tensors
    held = {key: value.detach().contiguous() for key, value in held.items()}
    pairs = _Pairs(
        **{key: value.data_ptr() for key, value in held.items()},
        rows=rows,
        inputs=inputs,
        outputs=delta.shape[1],
        work=ctypes.addressof(work),
    )
    threads = max(1, min(torch.get_num_threads(), delta.numel() // GRAIN))
    if getattr(library(), name)(pairs, threads):
        raise MemoryError("the sparse backward pass found no memory for its lists")
    return work[0], work[1]
