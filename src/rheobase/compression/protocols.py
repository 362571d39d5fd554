"""Layers that hardening knows by what they offer, whatever their class."""

from typing import Protocol, runtime_checkable

from torch import Tensor


@runtime_checkable
class MixesTime(Protocol):
    """Saccadic neurons: s[t] = 1[sum over j <= t of M[t, j] x[j] >= V[t]]."""

    def mixing_matrix(self) -> Tensor:
        """M, lower-triangular.

        Shape: `[T, T]`.
        """

    def thresholds(self) -> Tensor:
        """V.

        Shape: `[T]`, or `[T, heads]`.
        """
