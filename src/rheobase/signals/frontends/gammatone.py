"""Gammatone filter bank: the cochlea's filters, and how strongly each responds.

    g(t) = t^3 exp(-2 pi b t) cos(2 pi f t),    b = 1.019 ERB(f),    ERB(f) = 24.7 (1 + 4.37 f / 1000)
    y[w, k] = log(mean over hop w of max(0, g_k * x)^2 + floor)

Centres f are equally spaced on the ERB scale `E(f) = 21.4 log10(1 + 4.37 f / 1000)`. Each filter is four second-order
sections, scaled to 1 at its centre.

Source: Slaney, "An efficient implementation of the Patterson-Holdsworth auditory filter bank", Apple technical report 35
(1993); bandwidths, Glasberg and Moore (1990).
"""

from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator
from scipy import signal

from rheobase.errors import DataError
from rheobase.signals.encoder import Samples
from rheobase.signals.frontends.base import FrontEnd, FrontStream
from rheobase.signals.frontends.windows import Windows


class Gammatone(FrontEnd):
    """Log energies of half-wave rectified gammatone bands; hop in seconds.

    A last hop that is not whole has no frame.

    Shape: [L, N, 1] -> [W, N, bands].
    Raises:
        ValidationError: `0 < low < high < sampling / 2` does not hold.
        DataError: the signal has several channels.
    """

    name: Literal["gammatone"] = "gammatone"
    sampling: float = Field(default=16000.0, gt=0)
    bands: int = Field(default=32, ge=1)
    hop: float = Field(default=0.010, gt=0)
    low: float = Field(default=80.0, gt=0)
    high: float = Field(default=7000.0, gt=0)
    floor: float = Field(default=1e-8, gt=0)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if not self.low < self.high < self.sampling / 2:
            raise ValueError(
                f"bands lie in low < high < sampling / 2, got {self.low:g}, {self.high:g} and {self.sampling / 2:g} Hz"
            )
        return self

    def centres(self) -> Samples:
        """Centre frequencies, Hz, rising. Shape: [bands]."""
        ends = 21.4 * np.log10(1 + 4.37e-3 * np.array([self.low, self.high]))
        return (10 ** (np.linspace(ends[0], ends[1], self.bands) / 21.4) - 1) / 4.37e-3

    def sections(self) -> Samples:
        """Second-order sections of each band, rows `b0 b1 b2 1 a1 a2`. Shape: [bands, 4, 6]."""
        t, f = 1 / self.sampling, self.centres()
        angle, decay = 2 * np.pi * f * t, 2 * np.pi * 1.019 * 24.7 * (1 + 4.37e-3 * f) * t
        shrink = np.exp(-decay)
        slant = np.array([1, -1, 1, -1]) * np.sqrt(3 + np.array([1, 1, -1, -1]) * 2**1.5)  # the four zeros
        b1 = -shrink * (np.cos(angle) + slant[:, None] * np.sin(angle))
        rows = np.zeros((self.bands, 4, 6))
        rows[..., 0], rows[..., 1] = 1.0, b1.T
        rows[..., 3], rows[..., 4], rows[..., 5] = (
            1.0,
            (-2 * np.cos(angle) * shrink)[:, None],
            (shrink**2)[:, None],
        )
        z = np.exp(1j * angle)[:, None]
        gain = (1 + rows[..., 1] / z) / (1 + rows[..., 4] / z + rows[..., 5] / z**2)
        rows[..., :3] /= np.abs(gain)[..., None]
        return rows

    @property
    def windows(self) -> Windows:
        """Hops, in samples."""
        hop = max(round(self.hop * self.sampling), 1)
        return Windows(length=hop, hop=hop)

    def stream(self) -> "GammatoneStream":
        """Frames as soon as their hop is whole."""
        return GammatoneStream(self)


class GammatoneStream(FrontStream):
    """The bank under way."""

    def __init__(self, config: Gammatone) -> None:
        super().__init__()
        self.config, self.sections, self.windows = config, config.sections(), config.windows.stream()

    def _prepare(self, items: int, channels: int) -> None:
        if channels != 1:
            raise DataError(f"a gammatone bank takes one channel, got {channels}; apply it to each by itself")
        self.state = np.zeros((self.config.bands, 4, 2, items))

    def _push(self, x: Samples) -> Samples:
        filtered = np.zeros((len(x), x.shape[1], self.config.bands))
        for band, sections in enumerate(self.sections if x.size else []):
            filtered[..., band], self.state[band] = signal.sosfilt(
                sections, x[..., 0], axis=0, zi=self.state[band]
            )
        windows = self.windows.push(np.maximum(filtered, 0) ** 2)
        return np.log(windows.mean(1) + self.config.floor)
