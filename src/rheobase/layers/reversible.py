"""Two streams of currents that can be run backwards: each sub-layer adds to the mean of the last two states.

    X_{l+1} = F_l(X_l) + (X_l + X_{l-1}) / 2,    X_{-1} = X_0
    X_{l-1} = 2 (X_{l+1} - F_l(X_l)) - X_l                          (inverse)

In floating point the inverse doubles the round-off of every step, and F_l fires spikes: an error of one unit in the last place
can flip one, after which nothing is recovered. Training with `recompute` therefore computes on integers, where nothing is lost
(X' = X * 2^20 as int32 for float32 and bfloat16, X * 2^44 as int64 for float64; F' = F rounded to them):

    X'_{l+1} = F'_l + floor((X'_l + X'_{l-1}) / 2),    b_l = (X'_l + X'_{l-1}) mod 2
    X'_{l-1} = 2 (X'_{l+1} - F'_l) + b_l - X'_l

The bit b_l, which halving loses, is all that is kept of a sub-layer: 1/32 of one of its maps. The two last states and the bits
give back every state exactly, whatever F_l is, as long as it computes the same numbers from the same input twice.

Source: the recursion, BESTformer (IJCAI 2025, arXiv 2501.05904); keeping the bits that are lost, Maclaurin et al., "Gradient-
based Hyperparameter Optimization through Reversible Learning" (ICML 2015). The published code does not invert.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from rheobase.errors import RecipeError, RheobaseError
from rheobase.layers.statistics import norms_of, statistics_kept
from rheobase.layers.tokens import Scale

DIGITS = {torch.float32: 20, torch.float64: 44}  # binary digits behind the point of the integer streams
INTEGER = {torch.float32: torch.int32, torch.float64: torch.int64}


class HalfResidual(nn.Module):
    """A step of the reversible recursion.

        y = branch(now) + (now + before) / 2

    Shape: before, now `[T, N, C, H, W]` -> same.
    """

    def __init__(self, branch: nn.Module) -> None:
        super().__init__()
        self.branch = branch
        self.halve = Scale(0.5)

    def forward(self, before: Tensor, now: Tensor) -> Tensor:
        """The next state."""
        return self.branch(now) + self.halve(now + before)


class PlainResidual(nn.Module):
    """A step of a common residual network, which reads one stream.

        y = branch(now) + now

    Shape: before, now `[T, N, C, H, W]` -> same.
    """

    def __init__(self, branch: nn.Module) -> None:
        super().__init__()
        self.branch = branch

    def forward(self, before: Tensor, now: Tensor) -> Tensor:
        """The next state."""
        return self.branch(now) + now


class TwoStreams(nn.Module):
    """Residual steps one after another; gives the last two states.

    `recompute`: in training, keep the last two states and a bit a value and step instead of all that the branches computed, and
    find the rest by inversion in the backward pass. Gradients are those of the integer arithmetic above with straight-through
    rounding. Evaluation, and training where a hook watches a layer inside (an objective that reads its spikes needs them with
    their gradient), compute with the plain layers and keep everything.

    Shape: x `[T, N, C, H, W]` -> before, now, both like x.
    Raises:
        RecipeError: `recompute` with steps that are no `HalfResidual`.
        RheobaseError: in a backward pass, inversion did not come back to x.
    """

    def __init__(self, steps: Mapping[str, nn.Module], *, recompute: bool = False) -> None:
        super().__init__()
        if recompute and not all(isinstance(step, HalfResidual) for step in steps.values()):
            raise RecipeError(
                "recompute inverts the reversible recursion, and plain residual steps have no inverse: set recompute=false"
            )
        self.recompute = recompute
        for name, step in steps.items():
            self.add_module(name, step)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The last two states."""
        training = self.training and torch.is_grad_enabled() and isinstance(x, Tensor)  # no Proxy of a tracer
        if self.recompute and training and not self._watched():
            return inverted([step.get_submodule("branch") for step in self.children()], x)
        before, now = x, x
        for step in self.children():
            before, now = now, step(before, now)
        return before, now

    def _watched(self) -> bool:
        return any(module._forward_hooks for module in self.modules() if module is not self)

    def extra_repr(self) -> str:
        """Whether activations are recomputed."""
        return f"recompute={self.recompute}"


def first_state(branches: Sequence[nn.Module], before: Tensor, now: Tensor) -> Tensor:
    """X_0 from the last two states by the inverse in floating point, whose error doubles with every branch.

    Shape: before, now `[T, N, C, H, W]` -> same.
    """
    for branch in reversed(branches):
        before, now = 2 * (now - branch(before)) - before, before
    return now


def inverted(branches: Sequence[nn.Module], x: Tensor) -> tuple[Tensor, Tensor]:
    """The last two states of the integer recursion; its backward pass inverts it.

    The states are NaN where a value is not finite or the integers cannot hold it (beyond 2^11 in float32), so that the loss
    shows it.

    Shape: x `[T, N, C, H, W]` -> before, now, same.
    """
    parameters = [p for branch in branches for p in branch.parameters() if p.requires_grad]
    before, now = _Inverted.apply(x, tuple(branches), *parameters)
    return before, now


class _Inverted(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, branches: tuple[nn.Module, ...], *parameters: Tensor
    ) -> tuple[Tensor, Tensor]:
        kind = x.device.type
        ctx.branches, ctx.dtype = branches, x.dtype
        ctx.autocast = {
            "device_type": kind,
            "enabled": torch.is_autocast_enabled(kind),
            "dtype": torch.get_autocast_dtype(kind),
        }
        wide = torch.promote_types(x.dtype, torch.float32)
        before = now = to_integers(x, wide)
        reach = (
            x.abs().amax().to(wide)
        )  # no state is larger: a mean is not, and a branch adds at most its own largest value
        bits = []
        with torch.autocast(**ctx.autocast, cache_enabled=False):
            for branch in branches:
                f = branch(to_floats(now, wide))
                reach = reach + f.abs().amax()
                odd = (before ^ now) & 1
                bits.append(pack(odd))
                # (a & b) + ((a ^ b) >> 1) is floor((a + b) / 2) that cannot overflow
                before, now = now, to_integers(f, wide) + (before & now) + ((before ^ now) >> 1)
        ctx.save_for_backward(before, now, *bits)
        ctx.wide = wide
        held = torch.where(
            reach < 2.0 ** (torch.iinfo(now.dtype).bits - 1 - DIGITS[wide]), 0.0, torch.nan
        ).to(wide)
        return (to_floats(before, wide) + held).to(x.dtype), (to_floats(now, wide) + held).to(x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g_before: Tensor, g_now: Tensor) -> tuple[Tensor | None, ...]:
        before, now, *bits = ctx.saved_tensors
        wide = ctx.wide
        g_before, g_now = g_before.to(wide), g_now.to(wide)
        found: list[Tensor | None] = []
        for branch, bit in zip(reversed(ctx.branches), reversed(bits), strict=True):
            state = to_floats(before, wide).requires_grad_()
            parameters = [p for p in branch.parameters() if p.requires_grad]
            with (
                torch.enable_grad(),
                torch.autocast(**ctx.autocast, cache_enabled=False),
                statistics_kept(norms_of(branch)),
            ):
                f = branch(state)
            before, now = 2 * (now - to_integers(f.detach(), wide)) + unpack(bit, now) - before, before
            g_state, *g_parameters = torch.autograd.grad(
                f, (state, *parameters), g_now.to(f.dtype), allow_unused=True
            )
            del f, state
            half = g_now / 2
            g_now, g_before = g_before + half + (0 if g_state is None else g_state), half
            found = [*g_parameters, *found]
        if not torch.equal(before, now):
            raise RheobaseError(
                "inversion did not come back to the state it started from: a layer gave other numbers when it was computed again "
                "(dropout, or kernels that are not deterministic). Set recompute=false, or call "
                "torch.use_deterministic_algorithms(True)"
            )
        return (g_now + g_before).to(ctx.dtype), None, *found


def to_integers(x: Tensor, wide: torch.dtype) -> Tensor:
    """`round(x * 2^digits)`, contiguous, so that a second computation meets the same memory layout and kernels."""
    return torch.round(x.to(wide) * 2.0 ** DIGITS[wide]).to(INTEGER[wide]).contiguous()


def to_floats(x: Tensor, wide: torch.dtype) -> Tensor:
    """`x * 2^-digits`."""
    return x.to(wide) * 2.0 ** -DIGITS[wide]


def pack(bits: Tensor) -> Tensor:
    """Eight values of 0 or 1 a byte.

    Shape: any -> `[ceil(n / 8)]` uint8.
    """
    flat = bits.flatten().to(torch.uint8)
    flat = torch.nn.functional.pad(flat, (0, -len(flat) % 8)).view(-1, 8)
    return (flat << torch.arange(8, dtype=torch.uint8, device=flat.device)).sum(1, dtype=torch.uint8)


def unpack(packed: Tensor, like: Tensor) -> Tensor:
    """The values of `pack`, in the shape and type of `like`."""
    flat = (packed[:, None] >> torch.arange(8, dtype=torch.uint8, device=packed.device)) & 1
    return flat.flatten()[: like.numel()].view(like.shape).to(like.dtype)
