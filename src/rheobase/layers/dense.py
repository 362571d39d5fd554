"""A convolution that covers its whole map: every output reads every input."""

from torch import Tensor
from torch.nn import functional

from rheobase.layers.fold import fold
from rheobase.layers.torch_layers import Conv2d


class Dense(Conv2d):
    """The convolution with a kernel of the map's size, computed as the matrix product that it is.

        y[o] = sum_{c,h,w} weight[o, c, h, w] * x[c, h, w]

    It takes part as a convolution in everything else: batch-norm follows it, and quantisers and programs know it.

    Shape: `[..., C, H, W]` -> `[..., C_out, 1, 1]`.
    """

    def __init__(self, in_channels: int, out_channels: int, size: tuple[int, int] = (1, 1)) -> None:
        super().__init__(in_channels, out_channels, size, bias=False)

    def forward(self, input: Tensor) -> Tensor:
        """Multiply every map."""
        return fold(self._product, input, 3, "C, H, W")

    def _product(self, x: Tensor) -> Tensor:
        return functional.linear(x.flatten(1), self.weight.flatten(1))[..., None, None]
