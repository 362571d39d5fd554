"""Earlier integers beside the present ones."""

from collections.abc import Sequence

from torch import Tensor

from rheobase.compression.lattice.base import LatticeModule
from rheobase.layers import Delays


class LatticeDelay(LatticeModule):
    """Copies of the input, each some steps late, beside one another as channels, as `rheobase.layers.Delays`.

    Shape:
        `x [T, N, C, H, W] -> [T, N, K*C, H, W]`
    """

    def __init__(self, steps: Sequence[int]) -> None:
        super().__init__()
        self.delays = Delays(steps)

    @property
    def steps(self) -> tuple[int, ...]:
        """The delays."""
        return self.delays.steps

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        late: Tensor = self.delays(x)
        return late
