"""What every module of a hardened model is."""

import torch
from torch import Tensor, nn

EXACT = 2**24  # float32 holds every integer of magnitude up to 2^24


class LatticeModule(nn.Module):
    """Base of the modules a hardened model is a graph of."""


class LatticeFiring(LatticeModule):
    """Base of the modules whose results are the spikes of neurons."""

    ternary: bool = False  # whether spikes may be negative


def held(x: Tensor, wide: bool) -> Tensor:
    """Integers in the float that a module computes in: float64 where its results may pass 2^24, else float32."""
    return x.to(torch.float64 if wide else torch.float32)
