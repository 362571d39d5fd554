"""What a run of a model showed about its channels."""

from dataclasses import dataclass, field

import numpy as np

from rheobase.compression.pruning.labels import Channels


@dataclass(frozen=True)
class Site:
    """A neuron whose output has channels along one axis (counted from the end), by module name."""

    module: str
    axis: int
    channels: np.ndarray


@dataclass
class Trace:
    """What one run showed.

    `axes`: first channel and size of each parameter axis; `producers`: weights whose first axis makes channels, in the
    order of the run; `norms`: batch-norm weights; `frozen`: channels that must stay, and why; `rows`: sets of channels
    that must keep equal numbers (heads, equal chunks).
    """

    channels: Channels = field(default_factory=Channels)
    axes: dict[tuple[str, int], tuple[int, int]] = field(default_factory=dict)
    producers: list[str] = field(default_factory=list)
    norms: list[str] = field(default_factory=list)
    sites: dict[str, Site] = field(default_factory=dict)
    frozen: dict[int, str] = field(default_factory=dict)
    rows: list[list[frozenset[int]]] = field(default_factory=list)

    def roots(self, tensor: str, axis: int) -> np.ndarray:
        """The set of each position along an axis of a parameter or buffer.

        Shape: `[size]`.
        """
        first, size = self.axes[tensor, axis]
        return self.channels.roots(np.arange(first, first + size))

    def freeze(self, channels: set[int], reason: str) -> None:
        """Keep these channels."""
        for channel in channels - {-1}:
            self.frozen.setdefault(channel, reason)
