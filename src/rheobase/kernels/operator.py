"""The fused scan as torch sees it: an operator for tracing, and a lighter autograd function for eager calls."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from rheobase.kernels import fused
from rheobase.kernels.options import ScanOptions

Parameter = float | Tensor


def _reduce(sums: Tensor, values: tuple[Parameter, Parameter]) -> list[Tensor | None]:
    """The sums [2, channels] in the shape and dtype of leak and threshold; None for a number."""
    return [
        (total if value.numel() == total.numel() else total.sum()).reshape(value.shape).to(value.dtype)
        if isinstance(value, Tensor)
        else None
        for total, value in zip(sums, values, strict=True)
    ]


def _kernels(x: Tensor) -> Any:
    """The module that runs on x's device: `forward` and `backward` of `fused` or `triton_scan`."""
    if x.is_cpu:
        return fused
    from rheobase.kernels import triton_scan

    return triton_scan


@torch.library.custom_op("rheobase::neuron_scan", mutates_args=())
def fused_scan(
    x: Tensor,
    leak: Tensor,
    threshold: Tensor,
    v_reset: float | None,
    detach_reset: bool,
    strict: bool,
    surrogate: str,
    shape: float,
    ternary: bool,
    membrane: str | None,
    membrane_bits: int,
    membrane_numbers: Sequence[float],
    mask: str | None,
    band: float,
    event_local: bool,
) -> Tensor:
    """The scan of `reference.py` in one pass over memory; the options are those of `ScanOptions`.

    Shape: x [T, N, C, ...] float32, bfloat16 or float16; leak and threshold [] or [C]; spikes like x.
    """
    options = ScanOptions(
        v_reset,
        detach_reset,
        strict,
        surrogate,
        shape,
        ternary,
        membrane,
        membrane_bits,
        membrane_numbers,
        mask,
        band,
        event_local,
    )
    spikes: Tensor = _kernels(x).forward(x, leak, threshold, options)
    return spikes


@torch.library.custom_op("rheobase::neuron_scan_backward", mutates_args=())
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
    ternary: bool,
    membrane: str | None,
    membrane_bits: int,
    membrane_numbers: Sequence[float],
    mask: str | None,
    band: float,
    event_local: bool,
    want_sums: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients to x, leak and threshold; the last two are zeros unless `want_sums`."""
    options = ScanOptions(
        v_reset,
        detach_reset,
        strict,
        surrogate,
        shape,
        ternary,
        membrane,
        membrane_bits,
        membrane_numbers,
        mask,
        band,
        event_local,
    )
    gx, sums = _kernels(x).backward(grad, x, leak, threshold, options, want_sums)
    if sums is None:
        return gx, torch.zeros_like(leak), torch.zeros_like(threshold)
    gleak, gthreshold = _reduce(sums, (leak, threshold))
    assert gleak is not None and gthreshold is not None
    return gx, gleak, gthreshold


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
    saved = ctx.saved_tensors  # once: what recomputation has unpacked is gone the second time
    gx, gleak, gthreshold = fused_scan_backward(
        grad.to(saved[0].dtype), *saved, *ctx.options, wanted[1] or wanted[2]
    )
    return gx, gleak if wanted[1] else None, gthreshold if wanted[2] else None, *[None] * len(ctx.options)


fused_scan.register_autograd(_backward, setup_context=_setup)


class _Eager(torch.autograd.Function):
    """The same computation without the operator's dispatch, which costs more than a small scan."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, leak: Parameter, threshold: Parameter, options: ScanOptions) -> Tensor:
        ctx.save_for_backward(x, *(value for value in (leak, threshold) if isinstance(value, Tensor)))
        ctx.options = options
        ctx.numbers = tuple(None if isinstance(value, Tensor) else value for value in (leak, threshold))
        spikes: Tensor = _kernels(x).forward(x, leak, threshold, options)
        return spikes

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, *saved = ctx.saved_tensors
        left = iter(saved)
        leak, threshold = (next(left) if number is None else number for number in ctx.numbers)
        wanted = ctx.needs_input_grad[1:3]
        gx, sums = _kernels(x).backward(grad, x, leak, threshold, ctx.options, any(wanted))
        if sums is None:
            return gx, None, None, None
        gleak, gthreshold = _reduce(sums, (leak, threshold))
        return gx, gleak if wanted[0] else None, gthreshold if wanted[1] else None, None


def _plain(value: Any) -> bool:
    return not isinstance(value, Tensor) or type(value) in (Tensor, torch.nn.Parameter)


def _traced() -> bool:
    """Whether something watches the calls (compile, export, vmap, a dispatch mode), so that it must see the operator."""
    return (
        torch.compiler.is_compiling()
        or torch._C._are_functorch_transforms_active()
        or torch._C._len_torch_dispatch_stack() > 0
    )


def _tensor(value: Parameter, x: Tensor) -> Tensor:
    return value if isinstance(value, Tensor) else torch.tensor(value, dtype=torch.float32, device=x.device)


def scan(x: Tensor, leak: Parameter, threshold: Parameter, options: ScanOptions) -> Tensor:
    """Spikes of the fused scan, known to autograd; arguments as checked by `neuron_scan`."""
    if _traced() or not all(map(_plain, (x, leak, threshold))):
        return fused_scan(x, _tensor(leak, x), _tensor(threshold, x), *options)
    spikes: Tensor = _Eager.apply(x, leak, threshold, options)
    return spikes
