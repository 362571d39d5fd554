"""BWN: signs scaled by the mean magnitude, the best approximation of a channel by two opposite values.

    w_b = mean_c|w| * sign(w),    dL/dw = dL/dw_b * 1{|w| <= 1}

Source: Rastegari et al., XNOR-Net (ECCV 2016), section 3.1.
"""

from typing import Literal

from torch import Tensor

from rheobase.compression.quantisers.base import Quantiser, QuantiserBase, sign


class BWNConfig(QuantiserBase):
    """One-bit weights, one scale an output channel (or a tensor)."""

    name: Literal["bwn"] = "bwn"
    bits: Literal[1] = 1
    per_channel: bool = True


class BWN(Quantiser):
    """Parametrisation of a weight by BWN."""

    config: BWNConfig

    def __init__(self, config: BWNConfig | None = None) -> None:
        super().__init__(config or BWNConfig())

    def integers(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Signs and mean|w|."""
        return sign(weight.detach()), self.like(self.rows(weight).abs().mean(1), weight)

    def slope(self, weight: Tensor) -> Tensor:
        """`1{|w| <= 1}`."""
        return (weight.abs() <= 1).to(weight.dtype)
