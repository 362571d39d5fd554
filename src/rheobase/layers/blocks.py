"""Residual spiking blocks."""

from torch import Tensor, nn

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
