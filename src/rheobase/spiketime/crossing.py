"""First threshold crossing: what ReL-PSP, Mostafa, Göltz and Comsa share.

    V_j(t) = sum_i w_ij K(t - t_i)      K(x) = 0 for x <= 0, continuous
    t_j    = first t with V_j(t) = v_threshold; inf where there is none up to t_max

Between two arrivals V follows from few sums over the inputs that have arrived, and its crossing has a closed form.
Inputs are sorted, sums are prefix sums, and the first segment that holds its crossing decides; the inputs up to it are
the causal set C_j. By the implicit function theorem, for i in C_j

    dt_j/dw_ij = -K(t_j - t_i) / V'      dt_j/dt_i = w_ij K'(t_j - t_i) / V'      V' = sum_C w_ij K'(t_j - t_i)

and 0 elsewhere, V' being held at or above `slope_min`. Everything is computed in float64: a late spike is a small
difference of large sums. This file is the meaning; `events.c` computes the same for ReL-PSP, event by event.
"""

from typing import Any, Literal, NamedTuple, Protocol

import torch
from pydantic import Field
from torch import Tensor
from torch.autograd.function import once_differentiable

from rheobase.config import Config
from rheobase.spiketime.geometry import Geometry

CHUNK = 1 << 22  # numbers in one [rows, outputs, inputs] table of the reference
LATE = 1e-9  # a crossing that rounding puts this much before its segment still belongs to it


class Crossings(NamedTuple):
    """Spikes of a layer, as gradients need them.

    `last` is the place in time order of the last causal input (-1: silent), `slope` V' at the crossing, `lists` what
    the engine keeps of the order of arrival for its other passes, if anything.

    Shape: `[N, P, m]`; lists bytes
    """

    times: Tensor
    last: Tensor
    slope: Tensor
    lists: Tensor | None = None


class Engine(Protocol):
    """The three passes of a layer; times `[N, S]`, weight `[m, n]`, the rest `[N, P, m]`.

    All are float64, the weights alone may be float32: the gradient to them then has float64 or float32.

    In both gradients `scale` is dL/dt_j / V' and `at` the time at which the kernel is read; `lists` are those of the
    forward pass over the same times, or None.
    """

    def forward(self, rule: "CrossingRule", times: Tensor, weight: Tensor, geometry: Geometry) -> Crossings:
        """Spikes of the layer."""
        ...

    def to_weights(
        self,
        rule: "CrossingRule",
        times: Tensor,
        weight: Tensor,
        geometry: Geometry,
        scale: Tensor,
        at: Tensor,
        last: Tensor,
        lists: Tensor | None = None,
    ) -> Tensor:
        """-sum over samples of scale * K(at - t_i) over causal inputs, `[m, n]`."""
        ...

    def to_times(
        self,
        rule: "CrossingRule",
        times: Tensor,
        weight: Tensor,
        geometry: Geometry,
        scale: Tensor,
        at: Tensor,
        last: Tensor,
        lists: Tensor | None = None,
    ) -> Tensor:
        """Sum over outputs of scale * w_ij K'(at - t_i) over causal inputs, `[N, S]`."""
        ...


class CrossingRule(Config):
    """A neuron that fires once, when its potential first reaches `v_threshold`.

    `silent` says how a neuron that does not fire learns (its upstream gradient is that of a spike at t_max):
    `none`; `t_max_gradient`: dt_j/dw_ij = -silent_rate * K(t_max - t_i); `push`: -silent_rate times
    the share of samples in which it is silent is added to the gradient of all its weights.
    """

    v_threshold: float = Field(default=1.0, gt=0)
    t_max: float | None = Field(default=None, gt=0)
    slope_min: float = Field(default=0.05, ge=0)
    silent: Literal["none", "t_max_gradient", "push"] = "none"
    silent_rate: float = Field(default=0.01, gt=0)
    init_sum: float = 1.0
    """Mean of a neuron's initial sum of weights; they are drawn from N(init_sum/n, init_std^2/n)."""
    init_std: float = Field(default=1.0, ge=0)

    def model_post_init(self, _context: Any) -> None:
        """Refuse what cannot be computed."""
        if self.silent == "t_max_gradient" and self.t_max is None:
            raise ValueError("silent='t_max_gradient' reads the potential at t_max; give t_max, e.g. 6.0")

    # What a rule says of itself.

    def segments(self, w: Tensor, start: Tensor, end: Tensor) -> tuple[Tensor, Tensor]:
        """Whether each segment holds its upward crossing, given that no earlier one did, and when.

        Shape: w `[R, m, n]` in order of arrival; start (arrivals) and end (the next ones, inf after the last)
        `[R, 1, n]` -> bool and times `[R, m, n]`
        """
        raise NotImplementedError

    def kernel(self, x: Tensor) -> Tensor:
        """K(x) for x >= 0."""
        raise NotImplementedError

    def slope(self, x: Tensor) -> Tensor:
        """K'(x) for x >= 0."""
        raise NotImplementedError

    # What layers call.

    def start(self, weight: Tensor) -> None:
        """Draw initial weights `[m, n]` in place."""
        fan_in = weight[0].numel()
        torch.nn.init.normal_(weight, self.init_sum / fan_in, self.init_std / fan_in**0.5)

    def engine(self, times: Tensor) -> Engine:
        """What computes this rule where `times` lie."""
        return Reference()

    def fire(
        self,
        times: Tensor,
        weight: Tensor,
        geometry: Geometry,
        *,
        training: bool = False,
        engine: Engine | None = None,
    ) -> Tensor:
        """Spike times of a layer, the same in training and evaluation.

        Shape: times `[N, S]`, weight `[m, n]` -> `[N, P, m]`, in the dtype of `times`; inf = silent.
        Raises:
            DataError: shapes do not fit.
        """
        geometry.check(times, weight)
        fired: Tensor = _Fire.apply(times.double(), weight, self, geometry, engine or self.engine(times))
        return fired.to(times.dtype)


class ClosedForm(CrossingRule):
    """A rule whose potential between arrivals is a function of weighted sums of `features` of arrived inputs."""

    def features(self, times: Tensor) -> tuple[Tensor, ...]:
        """Factors f(t_i) whose weighted sums determine V."""
        raise NotImplementedError

    def potential(self, sums: tuple[Tensor, ...], t: Tensor) -> Tensor:
        """V(t), no further input arriving."""
        raise NotImplementedError

    def solve(self, sums: tuple[Tensor, ...]) -> Tensor:
        """The upward crossing, no further input arriving; nan where there is none."""
        raise NotImplementedError

    def segments(self, w: Tensor, start: Tensor, end: Tensor) -> tuple[Tensor, Tensor]:
        """The solution lies in the segment, or V has reached the threshold by its end.

        The second finds a crossing that coincides with the next arrival, whatever rounding makes of `solve`.
        """
        sums = tuple((w * f).cumsum(-1) for f in self.features(start))
        t = self.solve(sums)
        hit = (t >= start - LATE) & (t <= end) | (self.potential(sums, end) >= self.v_threshold)
        return hit, torch.where(t.isnan(), end, t).clamp(start, end)


class _Fire(torch.autograd.Function):
    """Times and weights to spike times, differentiated event by event."""

    @staticmethod
    def forward(
        ctx: Any, times: Tensor, weight: Tensor, rule: CrossingRule, geometry: Geometry, engine: Engine
    ) -> Tensor:
        found = engine.forward(rule, times, weight, geometry)
        ctx.save_for_backward(times, weight, *found)
        ctx.rule, ctx.geometry, ctx.engine = rule, geometry, engine
        return found.times

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        times, weight, at, last, slope, lists = ctx.saved_tensors
        rule, geometry, engine = ctx.rule, ctx.geometry, ctx.engine
        fired = last >= 0
        scale = torch.where(fired, grad / slope.clamp(min=rule.slope_min), 0)
        gt = gw = None
        if ctx.needs_input_grad[0]:
            gt = engine.to_times(rule, times, weight, geometry, scale, at, last, lists)
        if ctx.needs_input_grad[1]:
            if rule.silent == "t_max_gradient":
                arrived = (geometry.patches(times) < rule.t_max).sum(1).view(*at.shape[:2], 1) - 1
                scale = torch.where(fired, scale, grad * rule.silent_rate)
                at = torch.where(fired, at, rule.t_max)
                last = torch.where(fired, last, arrived.to(last.dtype))
            gw = engine.to_weights(rule, times, weight, geometry, scale, at, last, lists)
            if rule.silent == "push":
                gw -= rule.silent_rate * (~fired).double().mean((0, 1)).unsqueeze(1)
        return gt, gw, None, None, None


class Reference:
    """The rule written with sorts and prefix sums, on any device; memory is bounded by chunks of outputs."""

    def __init__(self, chunk: int = CHUNK) -> None:
        self.chunk = chunk

    def forward(self, rule: CrossingRule, times: Tensor, weight: Tensor, geometry: Geometry) -> Crossings:
        """Spikes, last causal inputs and slopes."""
        start, order = geometry.patches(times).sort(dim=1, stable=True)  # [R, n], R = N*P
        arrived = start.isfinite()
        end = torch.cat([start[:, 1:], start.new_full((len(start), 1), torch.inf)], 1).unsqueeze(1)
        ts = torch.where(arrived, start, 0).unsqueeze(1)  # [R, 1, n]
        parts = []
        for rows in self._outputs(ts, weight):
            w = weight[rows].double()[:, order].transpose(0, 1) * arrived.unsqueeze(1)  # [R, m', n]
            hit, t = rule.segments(w, ts, end)
            some, k = (hit & arrived.unsqueeze(1)).max(-1, keepdim=True)  # the first hit
            t = t.gather(-1, k)
            limit = torch.inf if rule.t_max is None else rule.t_max
            some = some & t.isfinite() & (t <= limit)
            causal = (torch.arange(w.shape[-1], device=k.device) <= k) & some
            slope = (torch.where(causal, rule.slope((t - ts).clamp(min=0).nan_to_num(0, 0)), 0) * w).sum(-1)
            parts.append((torch.where(some, t, torch.inf)[..., 0], torch.where(some, k, -1)[..., 0], slope))
        fired, last, slopes = (
            torch.cat(part, 1).unflatten(0, (len(times), -1)) for part in zip(*parts, strict=True)
        )
        return Crossings(fired, last.int(), slopes)

    def to_weights(
        self,
        rule: CrossingRule,
        times: Tensor,
        weight: Tensor,
        geometry: Geometry,
        scale: Tensor,
        at: Tensor,
        last: Tensor,
        lists: Tensor | None = None,
    ) -> Tensor:
        """-sum scale * K over causal pairs."""
        seen, rank = _ranked(times, geometry)
        scale, at, last = (x.flatten(0, 1).unsqueeze(-1) for x in (scale, at, last))
        parts = []
        for rows in self._outputs(seen, at[0]):
            causal = rank <= last[:, rows]
            x = torch.where(causal, at[:, rows] - seen, 0)
            parts.append(-(scale[:, rows] * rule.kernel(x) * causal).sum(0))
        return torch.cat(parts)

    def to_times(
        self,
        rule: CrossingRule,
        times: Tensor,
        weight: Tensor,
        geometry: Geometry,
        scale: Tensor,
        at: Tensor,
        last: Tensor,
        lists: Tensor | None = None,
    ) -> Tensor:
        """Sum of scale * w * K' over causal pairs."""
        seen, rank = _ranked(times, geometry)
        scale, at, last = (x.flatten(0, 1).unsqueeze(-1) for x in (scale, at, last))
        total = torch.zeros_like(seen[:, 0])
        for rows in self._outputs(seen, weight):
            causal = rank <= last[:, rows]
            x = torch.where(causal, at[:, rows] - seen, 0)
            total += (scale[:, rows] * weight[rows].double() * rule.slope(x) * causal).sum(1)
        return geometry.scatter(total)

    def _outputs(self, seen: Tensor, weight: Tensor) -> list[slice]:
        """Chunks of output neurons."""
        step = max(1, self.chunk // max(seen.numel(), 1))
        return [slice(i, i + step) for i in range(0, len(weight), step)]


def _ranked(times: Tensor, geometry: Geometry) -> tuple[Tensor, Tensor]:
    """What each position sees, and the place of each input in time order; `[R, 1, n]` both."""
    seen = geometry.patches(times)
    rank = seen.argsort(dim=1, stable=True).argsort(dim=1)
    return seen.unsqueeze(1), rank.unsqueeze(1)
