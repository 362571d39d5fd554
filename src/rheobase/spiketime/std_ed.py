"""STD-ED: integrate and fire under a falling threshold, every layer in a window of its own.

In the frame of one layer inputs arrive in [0, 1] and neurons fire in [1, 2], so all inputs are causal:

    V_j(t) = sum_i w_ij (t - t_i)    theta(t) = 2 - t on [1, 2]
    W = sum over fired w_ij,  I = sum over fired w_ij t_i
    W - I >= 1                        t'_j = 0, at the start of the window
    1 + W > 0 and 2W - I > 0          t'_j = (2 + I)/(1 + W) - 1
    else                              silent

`t'` is the time in the frame of the next layer; in absolute time layer l (from 1) fires at l + t'. The comparison
with 2W - I is strict, so that a neuron whose inputs are all silent stays silent. Gradients exist for 0 < t' < 1:

    dt'/dI = 1/(1 + W)    dt'/dW = -(2 + I)/(1 + W)^2      each clipped to +-clip

The proxy form is the same network in activations a = 1 - t' (0 = silent), trained like any other:

    A = sum_i w_ij a_i, W over a_i > 0      a'_j = 1 if A >= 1, else 0 if A <= -W, else (W + A)/(1 + W)

An input adds 0 while it is silent and more than w_ij as soon as it fires, however late: a step, to which the exact gradient
is blind, and a silent neuron never hears that its spike is missed. `onset` is the width of a triangle below the threshold, in
which the step has a surrogate gradient: for a silent neuron's membrane at the window's end, V = W + A <= 0,

    da'/dV := (1 + V/onset)/onset,  upstream: the gradient to W of what would have been counted

0 is the exact rule of the source; the surrogate is this project's.

Source: Wei et al., Event-Driven Learning for Spiking Neural Networks, arXiv 2403.00270 (abstract); equations and
order of cases from the authors' DTA-TTFS (Temporal-Coded Spiking Neural Networks with Dynamic Firing Threshold,
ICCV 2023) and its code. That STD-ED's threshold is that of DTA-TTFS, is a reconstruction.
"""

from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.autograd.function import once_differentiable

from rheobase.config import Config
from rheobase.spiketime.event_sums import event_sums
from rheobase.spiketime.geometry import Geometry

Form = Literal["times", "proxy"]


class StdEd(Config):
    """Options of STD-ED: the form computed in training and in evaluation, and where factors of gradients are clipped.

    `sums` of the form in times: two dense products, or `events`, in order of arrival, whose backward pass visits
    (neuron that moves, input that fired) pairs alone. `onset`: how far below the threshold silent neurons learn, in the proxy
    form (0: not at all, the exact gradient).
    """

    name: Literal["std_ed"] = "std_ed"
    training: Form = "proxy"
    evaluation: Form = "times"
    sums: Literal["dense", "events"] = "dense"
    clip_times: float = Field(default=1e5, gt=0)
    clip_proxy: float = Field(default=11.0, gt=0)
    onset: float = Field(default=0.0, ge=0)

    @property
    def t_max(self) -> float:
        """The end of every window, in its own frame."""
        return 1.0

    def start(self, weight: Tensor) -> None:
        """Draw initial weights `[m, n]` in place: Kaiming normal."""
        torch.nn.init.kaiming_normal_(weight, nonlinearity="relu")

    def model_post_init(self, _context: Any) -> None:
        """Refuse what would not be computed."""
        if self.sums == "events" and "times" not in (self.training, self.evaluation):
            raise ValueError(
                "sums='events' are those of the form in times: set training='times' or evaluation='times'"
            )
        if self.onset and self.training != "proxy":
            raise ValueError(f"onset={self.onset:g} is of the proxy form: set training='proxy', or onset=0")

    def fire(self, times: Tensor, weight: Tensor, geometry: Geometry, *, training: bool = False) -> Tensor:
        """Spike times of a layer, each in its window's frame.

        Shape: times `[N, S]` in [0, 1] or inf, weight `[m, n]` -> `[N, P, m]`
        Raises:
            DataError: shapes do not fit.
        """
        geometry.check(times, weight)
        if (self.training if training else self.evaluation) == "times":
            return fire_times(times, weight, geometry, self.clip_times, self.sums)
        return fire_proxy(times, weight, geometry, self.clip_proxy, self.onset)


def to_activations(times: Tensor) -> Tensor:
    """A = 1 - t, 0 where silent."""
    return torch.where(times.isfinite(), 1 - times, 0)


def to_times(activations: Tensor) -> Tensor:
    """T = 1 - a, inf where a = 0."""
    return torch.where(activations > 0, 1 - activations, torch.inf)


def fire_times(
    times: Tensor, weight: Tensor, geometry: Geometry, clip: float, sums: Literal["dense", "events"] = "dense"
) -> Tensor:
    """The form in spike times.

    Shape: times `[N, S]`, weight `[m, n]` -> `[N, P, m]`, in the dtype of `times`
    """
    if sums == "events":
        W, I = event_sums(times, weight, geometry)  # noqa: E741
    else:
        fired = times.isfinite()
        W = geometry.sums(fired.to(times.dtype), weight)
        I = geometry.sums(torch.where(fired, times, 0), weight)  # noqa: E741
    t: Tensor = _Times.apply(W, I, clip)
    return t.to(times.dtype)


def fire_proxy(times: Tensor, weight: Tensor, geometry: Geometry, clip: float, onset: float = 0.0) -> Tensor:
    """The form in activations, from times to times.

    Shape: times `[N, S]`, weight `[m, n]` -> `[N, P, m]`
    """
    fired, activations = inputs(times, learns=onset > 0)
    t: Tensor = _Proxy.apply(geometry.sums(fired, weight), geometry.sums(activations, weight), clip, onset)
    return t


def inputs(times: Tensor, *, learns: bool) -> tuple[Tensor, Tensor]:
    """1 where an input fired, and its activation 1 - t; with `learns` silence gets the gradient of the spike that is missing.

    Shape: any, twice
    """
    found: tuple[Tensor, Tensor] = _Inputs.apply(times, learns)
    return found


class _Times(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, W: Tensor, I: Tensor, clip: float) -> Tensor:  # noqa: E741
        early = W - I >= 1
        fires = ~early & (1 + W > 0) & (2 * W - I > 0)
        ctx.save_for_backward(W, I, fires)
        ctx.clip = clip
        return torch.where(early, 0, ((2 + I) / (1 + W) - 1).where(fires, torch.inf))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        W, I, fires = ctx.saved_tensors  # noqa: E741
        return *_chain(grad, fires, W, -(2 + I), ctx.clip), None


class _Inputs(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, times: Tensor, learns: bool) -> tuple[Tensor, Tensor]:
        fired = times.isfinite()
        ctx.save_for_backward(fired)
        ctx.learns = learns
        return fired.to(times.dtype), to_activations(times)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, to_fired: Tensor, to_a: Tensor) -> tuple[Tensor, None]:
        (fired,) = ctx.saved_tensors
        return torch.where(fired, -to_a, -to_fired if ctx.learns else 0), None


class _Proxy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, W: Tensor, A: Tensor, clip: float, onset: float) -> Tensor:
        inside = (A < 1) & (A > -W)
        ctx.save_for_backward(W, A, inside)
        ctx.clip, ctx.onset = clip, onset
        return to_times(torch.where(A >= 1, 1, ((W + A) / (1 + W)).where(inside, 0)))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        W, A, inside = ctx.saved_tensors
        to_W, to_A = _chain(-grad, inside, W, 1 - A, ctx.clip)
        if ctx.onset:
            V = W + A
            silent = (V <= 0) & (A < 1)
            missing = -grad * torch.where(silent, (1 + V / ctx.onset).clamp(min=0) / ctx.onset, 0)
            to_W, to_A = to_W + missing, to_A + missing
        return to_W, to_A, None, None


def _chain(grad: Tensor, moves: Tensor, W: Tensor, over_square: Tensor, clip: float) -> tuple[Tensor, Tensor]:
    """Gradients to W and to the other sum: factors over_square/(1+W)^2 and 1/(1+W), clipped, where the spike moves."""
    one_plus = torch.where(moves, 1 + W, 1)
    to_W = grad * (over_square / one_plus**2).clamp(-clip, clip)
    to_sum = grad * (1 / one_plus).clamp(-clip, clip)
    return to_W.where(moves, 0), to_sum.where(moves, 0)
