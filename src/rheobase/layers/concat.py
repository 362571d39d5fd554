"""Two maps as one."""

import torch
from torch import Tensor, nn

from rheobase.errors import DataError


class Concat(nn.Module):
    """The channels of one map, then those of another.

    Shape: `[..., C1, H, W]`, `[..., C2, H, W]` -> `[..., C1 + C2, H, W]`.
    Raises:
        DataError: the maps differ in more than their channels.
    """

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Join along the channels."""
        if first.shape[:-3] != second.shape[:-3] or first.shape[-2:] != second.shape[-2:]:
            raise DataError(
                f"maps {list(first.shape)} and {list(second.shape)} must agree in all axes but their channels [..., C, H, W]"
            )
        return torch.cat([first, second], -3)
