"""What the families of spiking transformers share: residual branches, MLPs and widths that heads divide.

A network adds either spikes (`spike_mlp`; the sums are counts) or membranes (`membrane_mlp`; convolutions see binary spikes).
"""

from collections.abc import Callable, Sequence

from pydantic import Field, PositiveInt
from torch import Tensor, nn

from rheobase.config import Config
from rheobase.layers.conv_norm import conv_norm, named, neuron_conv_norm
from rheobase.layers.torch_layers import MaxPool2d
from rheobase.neurons import NeuronConfig


class StackOptions(Config):
    """A tokeniser of four convolutions, of which `pools` says which halve the map, and `depth` equal blocks."""

    depth: PositiveInt
    dim: PositiveInt
    heads: PositiveInt
    mlp_ratio: float = Field(default=4.0, gt=0)
    pools: str = Field(default="0011", pattern="^[01]{4}$")
    attention_threshold: float = Field(default=0.5, gt=0)


class Residual(nn.Module):
    """`y = branch(x) + shortcut(x)`; the shortcut is the identity where none is given.

    Shape: that of the branch.
    """

    def __init__(self, branch: nn.Module, shortcut: nn.Module | None = None) -> None:
        super().__init__()
        self.branch = branch
        self.shortcut = nn.Identity() if shortcut is None else shortcut

    def forward(self, x: Tensor) -> Tensor:
        """Branch plus shortcut."""
        return self.branch(x) + self.shortcut(x)


def block(attention: nn.Module, mlp: nn.Module) -> nn.Sequential:
    """A transformer block: `x = x + attention(x)`, then `x = x + mlp(x)`."""
    return named(attention=Residual(attention), mlp=Residual(mlp))


def spike_mlp(width: int, ratio: float, neuron: NeuronConfig) -> nn.Sequential:
    """Two 1x1 convolutions with `ratio` times the width between them; ends in spikes."""
    hidden = max(1, round(width * ratio))
    return named(up=conv_norm(width, hidden, neuron), down=conv_norm(hidden, width, neuron))


def membrane_mlp(width: int, ratio: float, neuron: Callable[[], nn.Module]) -> nn.Sequential:
    """As `spike_mlp`, with each neuron before its convolution; ends in currents."""
    hidden = max(1, round(width * ratio))
    return named(up=neuron_conv_norm(width, hidden, neuron()), down=neuron_conv_norm(hidden, width, neuron()))


def pooled_size(size: tuple[int, int], times: int) -> tuple[int, int]:
    """A map halved so often; odd sizes are rounded up, as `half` and convolutions of stride 2 do."""
    height, width = (-(-n // 2**times) for n in size)
    return height, width


def half(on: bool = True) -> nn.Module | None:
    """Maximum pooling to half the size, rounded up; nothing where it is not `on`."""
    return MaxPool2d(3, stride=2, padding=1) if on else None


def shared_width(dim: int, width: float, heads: int) -> int:
    """`dim` at this width, rounded to what the heads divide, at least one channel each."""
    return heads * max(1, round(dim * width / heads))


def spike_tokens(in_channels: int, widths: Sequence[int], pools: str, neuron: NeuronConfig) -> nn.Sequential:
    """Stages of a tokeniser: 3x3 convolution, batch-norm, neuron, and maximum pooling of the spikes where `pools` has a 1.

    Shape: `[T, N, in_channels, H, W]` -> spikes `[T, N, widths[-1], H', W']`.
    """
    tokens = nn.Sequential()
    for stage, (out, pool) in enumerate(zip(widths, pools, strict=True), start=1):
        tokens.add_module(f"conv{stage}", conv_norm(in_channels, out, neuron, kernel=3))
        if pool == "1":
            tokens.add_module(f"pool{stage}", MaxPool2d(3, stride=2, padding=1))
        in_channels = out
    return tokens


def growing(dim: int) -> list[int]:
    """Widths of a tokeniser's four stages: D/8, D/4, D/2, D."""
    return [max(1, dim // part) for part in (8, 4, 2, 1)]
