"""Phase coding: the bits of a value, largest first; the spike of step k weighs 2^-k.

    u ~ sum_k 2^-k s[k],  k = 1..T;   the code is round(u * 2^T), at most 2^T - 1

|error| <= 2^-(T+1) in units of u, and 2^-T at the very top.

Source: Kim et al., "Deep neural networks with weighted spikes" (2018).
"""

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field

from rheobase.signals.encoder import Samples, Spikes
from rheobase.signals.frames import FrameEncoder


class Phase(FrameEncoder):
    """Phase coding with `steps` bits a sample."""

    name: Literal["phase"] = "phase"
    steps: int = Field(default=8, ge=1, le=32)

    def frames(self, x: Samples) -> Spikes:
        """The bits, largest first. Shape: [L, N, C] -> [L, T, N, C]."""
        code = np.minimum(np.rint(self.unit(x) * 2.0**self.steps), 2.0**self.steps - 1).astype(np.int64)
        shifts = np.arange(self.steps - 1, -1, -1)[:, None, None]
        return ((code[:, None] >> shifts) & 1).astype(np.int8)

    def decode(self, spikes: ArrayLike, **side: Any) -> Samples:
        """The weighted sum. Shape: spikes [L*T, N, C] -> [L, N, C]."""
        weights = 0.5 ** np.arange(1, self.steps + 1)
        return self.value(np.einsum("ltnc,t->lnc", self.by_sample(spikes), weights))
