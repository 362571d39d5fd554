"""Which inputs an output neuron sees: one description for `Linear` and `Conv2d`.

Times travel flat, `[N, S]` with S = C*H*W; each of P output positions sees n = C*kh*kw of them through weights
`[m, n]`, so a layer's result is `[N, P, m]`. A linear layer is the convolution of a 1x1 map: P = 1, n = S.
"""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from rheobase.errors import DataError, RecipeError

Pair = tuple[int, int]


@dataclass(frozen=True)
class Geometry:
    """A convolution's input map, kernel, stride and padding.

    Raises:
        RecipeError: the kernel does not fit the padded input.
    """

    channels: int
    size: Pair = (1, 1)
    kernel: Pair = (1, 1)
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)

    def __post_init__(self) -> None:
        if min(self.out_size) < 1:
            raise RecipeError(
                f"a kernel of {self.kernel} does not fit an input of {self.size} padded by {self.padding}: "
                "use larger frames, a smaller kernel or fewer poolings"
            )

    @property
    def out_size(self) -> Pair:
        """Height and width of the output map."""
        height, width = (
            (side + 2 * pad - k) // step + 1
            for side, pad, k, step in zip(self.size, self.padding, self.kernel, self.stride, strict=True)
        )
        return height, width

    @property
    def inputs(self) -> int:
        """S: input neurons of one sample."""
        return self.channels * self.size[0] * self.size[1]

    @property
    def positions(self) -> int:
        """P: output positions, each with one neuron per output channel."""
        return self.out_size[0] * self.out_size[1]

    @property
    def fan_in(self) -> int:
        """Inputs that an output neuron away from the border sees, n."""
        return self.channels * self.kernel[0] * self.kernel[1]

    @property
    def views(self) -> int:
        """(input, position) pairs of one sample, padding left out: each is a synapse per output channel."""
        return int((input_index(self) < self.inputs).sum())

    def check(self, times: Tensor, weight: Tensor) -> None:
        """Refuse shapes that do not fit.

        Raises:
            DataError: times are not `[N, S]`, or weights not `[m, n]`.
        """
        if times.dim() != 2 or times.shape[1] != self.inputs or weight.shape[1] != self.fan_in:
            raise DataError(
                f"times [N, {self.inputs}] and weights [m, {self.fan_in}] were expected, got {list(times.shape)} "
                f"and {list(weight.shape)}: flatten each sample's times, and each output neuron's weights"
            )

    def patches(self, times: Tensor) -> Tensor:
        """What each position sees; padding never spikes.

        Shape: `[N, S]` -> `[N*P, n]`
        """
        index = input_index(self).to(times.device)
        silent = times.new_full((len(times), 1), torch.inf)
        return torch.cat([times, silent], 1)[:, index].flatten(0, 1)

    def scatter(self, values: Tensor) -> Tensor:
        """The adjoint of `patches`: what was said of each view of an input, summed.

        Shape: `[N*P, n]` -> `[N, S]`
        """
        index = input_index(self).to(values.device).flatten()
        flat = values.reshape(-1, len(index))
        return flat.new_zeros(len(flat), self.inputs + 1).index_add_(1, index, flat)[:, :-1]

    def sums(self, x: Tensor, weight: Tensor) -> Tensor:
        """Weighted sums as torch computes them; padding counts 0.

        Shape: x `[N, S]`, weight `[m, n]` -> `[N, P, m]`
        """
        if self.size == self.kernel == (1, 1):
            return (x @ weight.T).unsqueeze(1)
        maps = x.unflatten(1, (self.channels, *self.size))
        kernels = weight.unflatten(1, (self.channels, *self.kernel))
        return F.conv2d(maps, kernels, stride=self.stride, padding=self.padding).flatten(2).transpose(1, 2)


@lru_cache(maxsize=64)
def input_index(geometry: Geometry) -> Tensor:
    """Flat input index of each position's inputs, in (channel, row, column) order; S stands for padding.  [P, n]."""
    channels, (height, width) = geometry.channels, geometry.size
    (kh, kw), (sh, sw), (ph, pw) = geometry.kernel, geometry.stride, geometry.padding
    oh, ow = geometry.out_size
    y = (torch.arange(oh) * sh - ph).view(oh, 1, 1, 1, 1) + torch.arange(kh).view(1, 1, 1, kh, 1)
    x = (torch.arange(ow) * sw - pw).view(1, ow, 1, 1, 1) + torch.arange(kw).view(1, 1, 1, 1, kw)
    c = torch.arange(channels).view(1, 1, channels, 1, 1)
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    return torch.where(inside, (c * height + y) * width + x, geometry.inputs).reshape(oh * ow, -1)
