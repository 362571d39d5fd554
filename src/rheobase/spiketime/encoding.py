"""Frames to spike times, at most one spike a pixel.

linear:       t = t_in (1 - x)                   brighter is earlier
logarithmic:  t = tau ln(x / (x - th)), x > th   when a leaky integrator of x reaches th
first event:  t = t_in k / T, k the first step that holds an event
coding layer: a = clip(conv(x), 0, 1), t = 1 - a
"""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from rheobase.config import Config
from rheobase.spiketime.std_ed import to_times


class LatencyConfig(Config):
    """From intensity to latency.

    `zero_pixel`: a pixel of 0 does not spike, or spikes `last`, at t_in.
    """

    form: Literal["linear", "logarithmic"] = "linear"
    t_in: float = Field(default=1.0, gt=0)
    zero_pixel: Literal["silent", "last"] = "silent"
    tau: float = Field(default=1.0, gt=0)
    threshold: float = Field(default=0.2, gt=0, lt=1)


class Latency(nn.Module):
    """Intensities in 0..1, the mean of the frames, as latencies.

    Shape: `[T, N, ...]` -> `[N, ...]`
    """

    def __init__(self, config: LatencyConfig | None = None) -> None:
        super().__init__()
        self.config = config or LatencyConfig()

    def forward(self, x: Tensor) -> Tensor:
        """Spike times."""
        c = self.config
        intensity = x.mean(0).clamp(0, 1)
        if c.form == "logarithmic":
            above = intensity > c.threshold
            ratio = torch.where(above, intensity / (intensity - c.threshold), 1)
            return torch.where(above, c.tau * ratio.log(), torch.inf)
        if c.zero_pixel == "silent":
            intensity = F.threshold(intensity, 0.0, -torch.inf)
        return c.t_in * (1 - intensity)


class FirstEvent(nn.Module):
    """The first of T frames in which a pixel has an event.

    Shape: `[T, N, ...]` -> `[N, ...]`
    """

    def __init__(self, t_in: float = 1.0) -> None:
        super().__init__()
        self.t_in = t_in

    def forward(self, x: Tensor) -> Tensor:
        """Spike times."""
        some, first = (x > 0).max(0)
        return torch.where(some, first * (self.t_in / len(x)), torch.inf).to(x.dtype)


class CodingConv2d(nn.Module):
    """The first layer of STD-ED: an ordinary convolution whose clipped activation becomes a latency.

    Shape: `[T, N, C, H, W]` -> `[N, m, H', W']`
    Source: the DTA-TTFS code.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        padding: int = 0,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, padding=padding, bias=False)
        nn.init.kaiming_normal_(self.conv.weight, nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Spike times in [0, 1)."""
        return to_times(self.conv(x.mean(0)).clamp(0, 1))
