"""Residual spiking blocks."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from rheobase.errors import RecipeError
from rheobase.layers.fold import fold
from rheobase.layers.torch_layers import BatchNorm2d, Conv2d
from rheobase.neurons import NeuronConfig, build_neuron


class MSBlock(nn.Module):
    """Membrane-shortcut residual block: currents are summed, so the branch's convolutions see binary spikes.

        y = BN2(conv2(LIF(BN1(conv1(LIF(x)))))) + shortcut(x)

    The shortcut is the identity, or a 1x1 convolution with batch-norm where stride or channels change.
    Batch-norm weights start at the threshold (tdBN), the second one's at 0: the block starts as its shortcut.

    Shape: `[T, N, C, H, W]` -> `[T, N, C_out, ceil(H / stride), ceil(W / stride)]`.
    Source: Hu et al., MS-ResNet, arXiv 2112.08954, fig. 2 and released code.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, neuron: NeuronConfig) -> None:
        super().__init__()
        self.neuron1 = build_neuron(neuron)
        self.conv1 = Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.norm1 = BatchNorm2d(out_channels)
        self.neuron2 = build_neuron(neuron)
        self.conv2 = Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.norm2 = BatchNorm2d(out_channels)
        nn.init.constant_(self.norm1.weight, neuron.v_threshold)
        nn.init.zeros_(self.norm2.weight)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            norm = BatchNorm2d(out_channels)
            nn.init.constant_(norm.weight, neuron.v_threshold)
            self.shortcut = nn.Sequential(Conv2d(in_channels, out_channels, 1, stride, bias=False), norm)

    def forward(self, x: Tensor) -> Tensor:
        """Branch plus shortcut."""
        branch = self.norm1(self.conv1(self.neuron1(x)))
        return self.norm2(self.conv2(self.neuron2(branch))) + self.shortcut(x)


class BasicBlock(nn.Module):
    """Residual block that ends in a neuron, after the addition: its input and its output are spikes.

        y = LIF(BN2(conv2(LIF(BN1(conv1(x))))) + shortcut(x))

    The shortcut is the identity; where stride or channels change, `pad` is `PadShortcut` (no weights) and `conv` a 1x1
    convolution with batch-norm.

    Shape: `[T, N, C, H, W]` -> `[T, N, C_out, ceil(H / stride), ceil(W / stride)]`.
    Source: He et al., CVPR 2016, fig. 2 and section 4.2 (`pad` is its option A, `conv` option B), with LIF for ReLU as in
    QP-SNN (ICLR 2025) and Q-SNN (ACM MM 2024).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int,
        neuron: NeuronConfig,
        shortcut: Literal["pad", "conv"],
    ) -> None:
        super().__init__()
        self.conv1 = Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.norm1 = BatchNorm2d(out_channels)
        self.neuron1 = build_neuron(neuron)
        self.conv2 = Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.norm2 = BatchNorm2d(out_channels)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.shortcut = (
                PadShortcut(in_channels, out_channels, stride)
                if shortcut == "pad"
                else nn.Sequential(
                    Conv2d(in_channels, out_channels, 1, stride, bias=False), BatchNorm2d(out_channels)
                )
            )
        self.neuron2 = build_neuron(neuron)

    def forward(self, x: Tensor) -> Tensor:
        """Spikes of branch plus shortcut."""
        branch = self.neuron1(self.norm1(self.conv1(x)))
        return self.neuron2(self.norm2(self.conv2(branch)) + self.shortcut(x))


class PadShortcut(nn.Module):
    """Every `stride`-th pixel, with channels of zeros around: half of those missing in front (rounded down), the rest behind.

        y[c + floor((C_out - C) / 2), i, j] = x[c, stride * i, stride * j]

    It is computed as a 1x1 convolution with a fixed `weight` of zeros and ones, a buffer, so that pruning may remove
    channels of either side without moving the others.

    Shape: `[..., C, H, W]` -> `[..., C_out, ceil(H / stride), ceil(W / stride)]`, C_out >= C.
    Source: He et al., CVPR 2016, option A; where the zeros go, the released code of QP-SNN.
    """

    weight: Tensor

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        if out_channels < in_channels:
            raise RecipeError(
                f"a shortcut without weights adds channels and cannot drop any: {in_channels} in, {out_channels} out"
            )
        self.stride = stride
        weight = torch.zeros(out_channels, in_channels, 1, 1)
        front = (out_channels - in_channels) // 2
        weight[front : front + in_channels] = torch.eye(in_channels)[..., None, None]
        self.register_buffer("weight", weight)

    def forward(self, input: Tensor) -> Tensor:
        """Pick pixels, place channels."""
        return fold(self._place, input, 3, "C, H, W")

    def _place(self, x: Tensor) -> Tensor:
        return functional.conv2d(x, self.weight, stride=self.stride)

    def extra_repr(self) -> str:
        """Channels in and out, and the stride."""
        out, into = self.weight.shape[:2]
        return f"{into}, {out}, stride={self.stride}"
