"""What attention is made of, on feature maps `[T, N, C, H, W]` whose pixels are the tokens.

A map of C channels is, for each of `heads` heads, a matrix X of L = H*W tokens by d = C/heads entries:

    X[l, i] of head h  =  map[h*d + i, row(l), column(l)]

so that projections are 1x1 convolutions and nothing is transposed between layers. These layers have no weights and no children:
tracing a model sees them whole, and the lattice and the program have one op for each.
"""

import math

from torch import Tensor, nn

from rheobase.errors import DataError, RecipeError


def heads_of(x: Tensor, heads: int) -> Tensor:
    """Tokens of every head: `[..., C, H, W]` -> `[..., heads, L, d]`.

    Raises:
        DataError: the heads do not divide the channels.
    """
    if x.dim() < 3 or x.shape[-3] % heads:
        raise DataError(
            f"{heads} heads need a map [..., C, H, W] with C a multiple of {heads}, got {list(x.shape)}"
        )
    return x.flatten(-2).unflatten(-2, (heads, -1)).transpose(-2, -1)


def map_of(x: Tensor, size: tuple[int, int]) -> Tensor:
    """The map whose tokens these are: `[..., heads, L, d]` -> `[..., heads * d, *size]`."""
    return x.transpose(-2, -1).flatten(-3, -2).unflatten(-1, size)


class _Heads(nn.Module):
    def __init__(self, heads: int) -> None:
        super().__init__()
        if heads < 1:
            raise RecipeError(f"attention needs at least one head, got {heads}")
        self.heads = heads

    def extra_repr(self) -> str:
        """Number of heads."""
        return f"heads={self.heads}"


class HeadSum(_Heads):
    """Sum over the channels of each head: how much every token spikes.

        y[h, l] = sum_i X_h[l, i]

    Shape: `[..., C, H, W]` -> `[..., heads, H, W]`.
    Raises:
        DataError: the heads do not divide the channels.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Sum within heads."""
        if x.dim() < 3 or x.shape[-3] % self.heads:
            raise DataError(f"{self.heads} heads do not divide the channels of {list(x.shape)}")
        return x.unflatten(-3, (self.heads, -1)).sum(-3)


class MapSum(nn.Module):
    """Sum over all tokens of a map.

        y[c] = sum_l x[c, l]

    Shape: `[..., C, H, W]` -> `[..., C, 1, 1]`.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Sum over height and width."""
        return x.sum((-2, -1), keepdim=True)


class Gate(nn.Module):
    """Product of a map with one of fewer channels or of one pixel: binary gates let tokens or channels pass.

        y[c, l] = gate[c // (C / C_gate), l] * x[c, l]            (a gate of one pixel holds for all tokens)

    Shape: gate `[..., C_gate, H, W]` or `[..., C_gate, 1, 1]` with C_gate dividing C, x `[..., C, H, W]` -> `[..., C, H, W]`.
    Raises:
        DataError: shapes that do not go together.
    """

    def forward(self, gate: Tensor, x: Tensor) -> Tensor:
        """Multiply."""
        channels, size = gate.shape[-3], gate.shape[-2:]
        if x.shape[-3] % channels or (size != x.shape[-2:] and size.numel() != 1):
            raise DataError(
                f"a gate {list(gate.shape[-3:])} for a map {list(x.shape[-3:])}: its channels must divide the map's, and its "
                "pixels be the map's or one"
            )
        return (x.unflatten(-3, (channels, -1)) * gate.unsqueeze(-3)).flatten(-4, -3)


class HeadMatMul(_Heads):
    """Product of two maps, head by head, as matrices of tokens by entries.

        Y_h = A_h B_h            (`transpose=None`)
        Y_h = A_h^T B_h          (`transpose="first"`: K^T V, [d, d])
        Y_h = A_h B_h^T          (`transpose="second"`: Q K^T, [L, L])

    Shape: the rows of Y are the pixels of the result and its columns the channels of a head: `[..., heads * columns, H, W]`
    with H, W those of the first map, or `[..., heads * columns, rows, 1]` where the first map is transposed.
    Raises:
        RecipeError: another `transpose`.
        DataError: the heads do not divide the channels, or the matrices do not go together.
    """

    def __init__(self, heads: int, transpose: str | None = None) -> None:
        super().__init__(heads)
        if transpose not in (None, "first", "second"):
            raise RecipeError(f"transpose must be None, 'first' or 'second', got {transpose!r}")
        self.transpose = transpose

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Multiply the matrices of each head."""
        first, second = heads_of(a, self.heads), heads_of(b, self.heads)
        size = (a.shape[-2], a.shape[-1])
        if self.transpose == "first":
            first, size = first.transpose(-2, -1), (first.shape[-1], 1)
        elif self.transpose == "second":
            second = second.transpose(-2, -1)
        if first.shape[-1] != second.shape[-2]:
            raise DataError(
                f"matrices [{first.shape[-2]}, {first.shape[-1]}] and [{second.shape[-2]}, {second.shape[-1]}] cannot be "
                f"multiplied: maps {list(a.shape)} and {list(b.shape)}, transpose={self.transpose}"
            )
        return map_of(first @ second, size)

    def extra_repr(self) -> str:
        """Heads, and what is transposed."""
        return f"heads={self.heads}, transpose={self.transpose}"


class Scale(nn.Module):
    """Multiplication by a fixed number; a power of two changes no digit.

        y = factor * x

    Shape: any -> same.
    Raises:
        RecipeError: the factor is not positive and finite.
    """

    def __init__(self, factor: float) -> None:
        super().__init__()
        if not (factor > 0 and math.isfinite(factor)):
            raise RecipeError(f"a scale must be positive and finite, got {factor}")
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        """Multiply."""
        return x * self.factor

    def extra_repr(self) -> str:
        """The factor."""
        return f"{self.factor:g}"
