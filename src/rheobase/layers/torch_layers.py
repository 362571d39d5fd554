"""Torch's stateless layers for tensors with any leading axes, usually `[T, N, ...]`.

Each subclasses the torch module of the same name: same constructor, same state-dict keys, `isinstance` holds.
"""

from torch import Tensor, nn

from rheobase.layers.fold import fold


class Conv2d(nn.Conv2d):
    """`torch.nn.Conv2d` over any leading axes.

    Shape: `[..., C, H, W]` -> `[..., C_out, H_out, W_out]`.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Convolve every image."""
        return fold(super().forward, input, 3, "C, H, W")


class BatchNorm2d(nn.BatchNorm2d):
    """`torch.nn.BatchNorm2d` whose statistics run over all leading axes and space: time counts as batch.

    `y = weight * (x - mean) / sqrt(var + eps) + bias`, mean and var over (T, N, H, W). With the weight
    initialised to the firing threshold this is tdBN.

    Shape: `[..., C, H, W]` -> same.
    Source: Zheng et al., AAAI 2021, arXiv 2011.05280 (tdBN).
    """

    def forward(self, input: Tensor) -> Tensor:
        """Normalise per channel."""
        # In training every step counts towards the running variance, repeated or not.
        return fold(super().forward, input, 3, "C, H, W", once=not self.training)


class Linear(nn.Linear):
    """`torch.nn.Linear`, which already takes any leading axes; here so that one import serves.

    Shape: `[..., F]` -> `[..., F_out]`.
    """


class AvgPool2d(nn.AvgPool2d):
    """`torch.nn.AvgPool2d` over any leading axes; a hardened model turns it into a sum of spikes.

    Shape: `[..., C, H, W]` -> `[..., C, H_out, W_out]`.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Average every window."""
        return fold(super().forward, input, 3, "C, H, W")


class MaxPool2d(nn.MaxPool2d):
    """`torch.nn.MaxPool2d` over any leading axes; on spikes it is the OR of the window.

    Shape: `[..., C, H, W]` -> `[..., C, H_out, W_out]`.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Take the maximum of every window."""
        return fold(super().forward, input, 3, "C, H, W")


class GlobalAvgPool2d(nn.AdaptiveAvgPool2d):
    """Mean over space that keeps the axes, so that a head is always pool, `Flatten`, `Linear`.

    Shape: `[..., C, H, W]` -> `[..., C, 1, 1]`.
    """

    def __init__(self) -> None:
        super().__init__(1)

    def forward(self, input: Tensor) -> Tensor:
        """Average over H and W."""
        return fold(super().forward, input, 3, "C, H, W")

    def extra_repr(self) -> str:
        """Nothing to say: there are no options."""
        return ""


class Flatten(nn.Flatten):
    """Flatten the last three axes, whatever stands before them.

    Shape: `[..., C, H, W]` -> `[..., C*H*W]`.
    Raises:
        DataError: fewer than three axes.
    """

    def __init__(self) -> None:
        super().__init__(start_dim=-3)

    def forward(self, input: Tensor) -> Tensor:
        """Flatten channel, height and width."""
        return fold(_flatten, input, 3, "C, H, W")


def _flatten(x: Tensor) -> Tensor:
    return x.flatten(1)
