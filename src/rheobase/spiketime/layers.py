"""Layers from spike times to spike times: `[N, ...]`, inf = silent, no time axis and no bias."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rheobase.errors import DataError
from rheobase.spiketime.geometry import Geometry, Pair
from rheobase.spiketime.rules import Rule


class Linear(nn.Module):
    """Every neuron sees all inputs.

    Shape: `[N, n]` -> `[N, m]`
    Raises:
        DataError: the input is not `[N, n]`.
    """

    def __init__(self, in_features: int, out_features: int, rule: Rule) -> None:
        super().__init__()
        self.rule, self.in_features = rule, in_features
        self.weight = nn.Parameter(torch.empty(out_features, in_features))
        rule.start(self.weight)

    def geometry(self, times: Tensor) -> Geometry:
        """Which inputs a neuron sees."""
        return Geometry(self.in_features)

    def forward(self, times: Tensor) -> Tensor:
        """Spike times of the layer."""
        return self.rule.fire(times, self.weight, self.geometry(times), training=self.training)[:, 0]

    def extra_repr(self) -> str:
        """Sizes and rule."""
        return f"{self.in_features}, {len(self.weight)}, rule={self.rule.name}"


class Conv2d(nn.Module):
    """Every neuron sees a window of the map; padding never spikes.

    Shape: `[N, C, H, W]` -> `[N, m, H', W']`
    Raises:
        DataError: the input is not `[N, C, H, W]`.
        RecipeError: the kernel does not fit the map.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Pair,
        rule: Rule,
        *,
        stride: int | Pair = 1,
        padding: int | Pair = 0,
    ) -> None:
        super().__init__()
        self.rule, self.in_channels = rule, in_channels
        self.kernel_size, self.stride, self.padding = map(_pair, (kernel_size, stride, padding))
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, *self.kernel_size))
        rule.start(self.weight)

    def geometry(self, times: Tensor) -> Geometry:
        """Which inputs a neuron sees of maps of this size."""
        size = (times.shape[2], times.shape[3])
        return Geometry(self.in_channels, size, self.kernel_size, self.stride, self.padding)

    def forward(self, times: Tensor) -> Tensor:
        """Spike times of the layer."""
        if times.dim() != 4 or times.shape[1] != self.in_channels:
            raise DataError(
                f"a spike-time convolution expects times [N, {self.in_channels}, H, W], got {list(times.shape)}; "
                "it has no time axis"
            )
        geometry = self.geometry(times)
        fired = self.rule.fire(times.flatten(1), self.weight.flatten(1), geometry, training=self.training)
        return fired.transpose(1, 2).unflatten(2, geometry.out_size)

    def extra_repr(self) -> str:
        """Sizes and rule."""
        return (
            f"{self.in_channels}, {len(self.weight)}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"padding={self.padding}, rule={self.rule.name}"
        )


class MinPool2d(nn.Module):
    """The earliest spike of each window, `-maxpool(-t)`: inf where all are silent.

    Shape: `[N, C, H, W]` -> `[N, C, H/k, W/k]`
    """

    def __init__(self, kernel_size: int) -> None:
        super().__init__()
        self.kernel_size = kernel_size

    def forward(self, times: Tensor) -> Tensor:
        """Earliest spikes."""
        return -F.max_pool2d(-times, self.kernel_size)

    def extra_repr(self) -> str:
        """Window."""
        return str(self.kernel_size)


class Dropout(nn.Module):
    """Silences spikes with probability p in training; nothing is rescaled, since times are not sums.

    Shape: any
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, times: Tensor) -> Tensor:
        """Times, some of them inf."""
        if not self.training or self.p == 0:
            return times
        return torch.where(torch.rand_like(times) < self.p, torch.inf, times)

    def extra_repr(self) -> str:
        """Probability."""
        return f"p={self.p}"


def _pair(value: int | Pair) -> Pair:
    return (value, value) if isinstance(value, int) else value
