"""An anchor-free spiking head: every cell of every map says what stands there, and how far its sides are.

    s_0 = maps of the backbone;  s_d = LIF(BN(conv3x3(s_{d-1}))),  d = 1..depth        spikes, at each time step
    r = mean over t of s_depth
    class logits = W_c r,   distances = stride * softplus(W_b r),   centre-ness = W_o r

A distance is that from the middle of the cell to the left, upper, right or lower side of the box. The readouts are linear, so
the mean over time may be taken before or after them.

Source: Tian et al., FCOS (ICCV 2019, arXiv 1904.01355), with spiking layers for ReLU, one trunk instead of two, weights of each
level its own, and softplus for the exponential.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from rheobase.config import Config
from rheobase.errors import RecipeError
from rheobase.layers import BatchNorm2d, Conv2d
from rheobase.models.features import MultiScale
from rheobase.neurons import Neuron, NeuronConfig, build_neuron, preset

PRIOR = 0.01
"""The probability that a fresh head gives every class in every cell."""


class HeadConfig(Config):
    """Channels and layers of the trunk of each level, its neuron (None: the backbone's), and which maps it reads.

    `strides`: those of the maps to read; None takes the maps of stride 4 and more, or the coarsest where there is none.
    """

    width: int = Field(default=64, ge=1)
    depth: int = Field(default=2, ge=1)
    neuron: str | NeuronConfig | None = None
    strides: tuple[int, ...] | None = Field(default=None, min_length=1)


@dataclass(frozen=True, eq=False)
class Grid:
    """The cells of all levels, one level after the other, row by row.

    Shape: points (x, y of the middle of each cell, in pixels of the input) [A, 2]; strides [A].
    """

    points: Tensor
    strides: Tensor


@dataclass(frozen=True, eq=False)
class Predictions:
    """What the head says of every cell, for the window as a whole.

    Shape: logits [N, A, K]; boxes (pixels) [N, A, 4]; centreness (logit) [N, A].
    """

    logits: Tensor
    boxes: Tensor
    centreness: Tensor
    grid: Grid


class Level(nn.Module):
    """Trunk and readouts of one map.

    Shape: `[T, N, C, H, W]` -> raw outputs `[N, K + 5, H, W]`: classes, distances, centre-ness.
    """

    def __init__(self, channels: int, num_classes: int, width: int, depth: int, neuron: NeuronConfig) -> None:
        super().__init__()
        self.trunk = nn.Sequential()
        for layer in range(1, depth + 1):
            self.trunk.add_module(f"conv{layer}", Conv2d(channels, width, 3, padding=1, bias=False))
            self.trunk.add_module(f"norm{layer}", BatchNorm2d(width))
            self.trunk.add_module(f"neuron{layer}", build_neuron(neuron))
            channels = width
        self.readout = Conv2d(width, num_classes + 5, 1)
        nn.init.normal_(self.readout.weight, std=0.01)
        assert self.readout.bias is not None
        nn.init.zeros_(self.readout.bias)
        nn.init.constant_(self.readout.bias[:num_classes], -math.log((1 - PRIOR) / PRIOR))

    def forward(self, x: Tensor) -> Tensor:
        """Raw outputs of every cell."""
        return self.readout(self.trunk(x).mean(0))


class DetectionModel(nn.Module):
    """A backbone and a head of `num_classes` kinds of objects.

    Shape: x `[T, N, C, H, W]` -> `Predictions`.
    Raises:
        RecipeError: the head asks for a stride that the backbone has no map of.
    """

    def __init__(self, backbone: MultiScale, num_classes: int, config: HeadConfig | None = None) -> None:
        super().__init__()
        self.backbone, self.num_classes, self.config = backbone, num_classes, config or HeadConfig()
        self.used = _used(backbone.strides, self.config.strides)
        self.strides = [backbone.strides[i] for i in self.used]
        neuron = self.config.neuron
        chosen = preset(neuron) if isinstance(neuron, str) else neuron or backbone.config.neuron_config
        self.levels = nn.ModuleList(
            Level(backbone.channels[i], num_classes, self.config.width, self.config.depth, chosen)
            for i in self.used
        )

    def forward(self, x: Tensor) -> Predictions:
        """What every cell says."""
        maps = self.backbone(x)
        raw = [level(maps[i]) for i, level in zip(self.used, self.levels, strict=True)]
        grid = make_grid([found.shape[-2:] for found in raw], self.strides, x.device)
        flat = torch.cat([found.flatten(2) for found in raw], 2).transpose(1, 2).float()  # [N, A, K + 5]
        logits, sides, centreness = flat.split([self.num_classes, 4, 1], -1)
        distances = grid.strides[:, None] * F.softplus(sides)
        boxes = torch.cat([grid.points - distances[..., :2], grid.points + distances[..., 2:]], -1)
        return Predictions(logits, boxes, centreness.squeeze(-1), grid)

    def neurons(self) -> dict[str, Neuron]:
        """Neuron modules by name, in forward order."""
        return {name: module for name, module in self.named_modules() if isinstance(module, Neuron)}


def make_grid(
    sizes: Sequence[Sequence[int]], strides: Sequence[int], device: torch.device | str = "cpu"
) -> Grid:
    """The cells of maps `[H, W]` of these sizes; cell (i, j) of stride s has its middle at ((j + 1/2) s, (i + 1/2) s)."""
    points, own = [], []
    for (height, width), stride in zip(sizes, strides, strict=True):
        y, x = torch.meshgrid(
            torch.arange(height, device=device), torch.arange(width, device=device), indexing="ij"
        )
        points.append((torch.stack([x, y], -1).flatten(0, 1) + 0.5) * stride)
        own.append(torch.full((height * width,), float(stride), device=device))
    return Grid(torch.cat(points), torch.cat(own))


def _used(available: Sequence[int], wanted: Sequence[int] | None) -> list[int]:
    """Which of the backbone's maps the head reads, finest first."""
    if wanted is None:
        wanted = [stride for stride in available if stride >= 4] or [max(available)]
    missing = sorted(set(wanted) - set(available))
    if missing:
        raise RecipeError(
            f"the head asks for maps of stride {missing[0]}; the backbone has {sorted(available)}: name strides among these, "
            "or other layers in features_only"
        )
    return sorted((list(available).index(stride) for stride in set(wanted)), key=lambda i: available[i])
