"""DoReFa: weights squeezed by tanh into [0, 1], then rounded to even levels.

    w_q = 2*q_b( tanh(w) / (2*max|tanh w|) + 1/2 ) - 1,    q_b(x) = round(s*x)/s,    s = 2^b - 1
    b = 1:  w_q = sign(w) * mean|w|

The rounding passes the gradient unchanged and the maximum takes none, so that

    dL/dw = dL/dw_q * (1 - tanh^2 w) / max|tanh w|,    b = 1:  dL/dw = dL/dw_q

Two bits give {-1, -1/3, 1/3, 1}.

Source: Zhou et al., DoReFa-Net, arXiv 1606.06160, eq. 7-9.
"""

from typing import Literal

import torch
from torch import Tensor

from rheobase.compression.quantisers.base import Bits, Quantiser, QuantiserBase, sign, uniform_codes


class DoReFaConfig(QuantiserBase):
    """Width; the maximum (1 bit: the mean) is that of the tensor, as in the paper, or of each output channel."""

    name: Literal["dorefa"] = "dorefa"
    bits: Bits = 4
    per_channel: bool = False


class DoReFa(Quantiser):
    """Parametrisation of a weight by DoReFa."""

    config: DoReFaConfig

    def __init__(self, config: DoReFaConfig | None = None) -> None:
        super().__init__(config or DoReFaConfig())

    def integers(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Odd integers `2*s*q_b - s` and `1/s`; signs and mean|w| for one bit."""
        w, s = weight.detach(), self.levels - 1
        if s == 1:
            return sign(w), self.like(self.rows(w).abs().mean(1), w)
        largest = self._largest(w)
        return 2 * uniform_codes(torch.tanh(w) / largest, s) - s, torch.ones_like(largest) / s

    def slope(self, weight: Tensor) -> Tensor | None:
        """`(1 - tanh^2 w) / max|tanh w|`; 1 for one bit."""
        if self.levels == 2:
            return None
        return (1 - torch.tanh(weight) ** 2) / self._largest(weight)

    def _largest(self, weight: Tensor) -> Tensor:
        return self.like(torch.tanh(self.rows(weight)).abs().amax(1), weight)
