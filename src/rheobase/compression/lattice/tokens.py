"""What attention computes, in integers: sums within heads, gates, products of matrices, and thresholds on mixed steps."""

import torch
from torch import Tensor

from rheobase.compression.lattice.base import LatticeModule, held
from rheobase.layers.attention.driven import TokenErode
from rheobase.layers.tokens import Gate, HeadMatMul, HeadSum


class LatticeHeadSum(LatticeModule):
    """Sum over the channels of each head; `wide`: computed in float64.

    Shape:
        `x [T, N, C, H, W] -> [T, N, heads, H, W]`
    """

    def __init__(self, heads: int, *, wide: bool = False) -> None:
        super().__init__()
        self.sum, self.wide = HeadSum(heads), wide

    @property
    def heads(self) -> int:
        """Number of heads."""
        return self.sum.heads

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        summed: Tensor = self.sum(held(x, self.wide))
        return summed


class LatticeHeadOrPool(LatticeModule):
    """Maximum over neighbouring tokens and entries of each head.

    Shape:
        `x [T, N, C, H, W] -> the same`
    """

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.spread = TokenErode(heads)

    @property
    def heads(self) -> int:
        """Number of heads."""
        return self.spread.heads

    @property
    def kernel(self) -> int:
        """How many neighbours along either axis, the entry itself among them."""
        return self.spread.kernel

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        most: Tensor = self.spread(x)
        return most


class LatticeGate(LatticeModule):
    """Product of a map with one of fewer channels or of one pixel; `wide`: computed in float64.

    Shape:
        gate `[T, N, G, H, W]` or `[T, N, G, 1, 1]`, `x [T, N, C, H, W] -> [T, N, C, H, W]`
    """

    def __init__(self, *, wide: bool = False) -> None:
        super().__init__()
        self.gate, self.wide = Gate(), wide

    def forward(self, gate: Tensor, x: Tensor) -> Tensor:
        """See the class."""
        masked: Tensor = self.gate(held(gate, self.wide), held(x, self.wide))
        return masked


class LatticeHeadMatMul(LatticeModule):
    """Product of two maps as matrices, head by head; `wide`: computed in float64.

    Shape:
        as `rheobase.layers.tokens.HeadMatMul`
    """

    def __init__(self, heads: int, transpose: str | None, *, wide: bool = False) -> None:
        super().__init__()
        self.product, self.wide = HeadMatMul(heads, transpose), wide

    @property
    def heads(self) -> int:
        """Number of heads."""
        return self.product.heads

    @property
    def transpose(self) -> str | None:
        """Which factor is transposed."""
        return self.product.transpose

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """See the class."""
        multiplied: Tensor = self.product(held(first, self.wide), held(second, self.wide))
        return multiplied


class LatticeTimeMix(LatticeModule):
    """Spikes where a weighted sum of this and all earlier steps reaches a threshold; sums below 2^31 in float64:

        s[t] = [sum over j <= t of mixing[t, j] x[j] >= threshold[t]]

    Shape:
        `x [T', N, C, ...] -> spikes of the same shape`, T' <= T; `mixing` `[1 or C, T, T]` lower-triangular,
        `threshold` `[T, C]`, both float64
    """

    mixing: Tensor
    threshold: Tensor

    def __init__(self, mixing: Tensor, threshold: Tensor) -> None:
        super().__init__()
        self.register_buffer("mixing", mixing)
        self.register_buffer("threshold", threshold)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        steps = len(x)
        mixing = self.mixing[:, :steps, :steps].expand(x.shape[2], -1, -1)
        sums = torch.einsum("ctj,jnc...->tnc...", mixing, x.double())
        threshold = self.threshold[:steps, None].reshape(steps, 1, -1, *[1] * (x.dim() - 3))
        return (sums >= threshold).float()
