"""What one count of an input is worth."""

from torch import Tensor, nn

from rheobase.layers.fold import fold


class InputUnit(nn.Module):
    """`y = unit * x`: bytes as a data set holds them become the numbers that a network is trained on.

    Hardening folds it into the first thresholds, so an integer program reads the bytes.

    Shape: `[T, N, C, H, W]` -> same.
    """

    def __init__(self, unit: float) -> None:
        super().__init__()
        self.unit = unit

    def forward(self, input: Tensor) -> Tensor:
        """Scale; an input that repeats along time does so after."""
        return fold(lambda x: x * self.unit, input, 3, "C, H, W")

    def extra_repr(self) -> str:
        """The unit."""
        return f"{self.unit:g}"
