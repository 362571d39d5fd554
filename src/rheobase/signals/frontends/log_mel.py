"""Log-mel spectrogram: the energies of bands that are spaced as the ear spaces them.

    X[w, k] = |sum_n hann[n] x[w * hop + n] exp(-2 pi i k n / F)|^2        F: the next power of two from the window on
    y[w, b] = log(sum_k M[b, k] X[w, k] + floor)

M are triangles of height 1 whose corners are equally spaced on the mel scale `m(f) = 2595 log10(1 + f/700)`.

Source: Davis and Mermelstein, IEEE Trans. ASSP 28 (1980); the scale, O'Shaughnessy (1987).
"""

from typing import Literal, Self

import numpy as np
from pydantic import Field, model_validator

from rheobase.errors import DataError
from rheobase.signals.encoder import Samples
from rheobase.signals.frontends.base import FrontEnd, FrontStream
from rheobase.signals.frontends.windows import Windows


class LogMel(FrontEnd):
    """Log-mel bands of a signal of one channel; window and hop in seconds.

    A last window that is not whole has no frame: a second at 16 kHz gives 98 frames of 25 ms every 10 ms.

    Shape: [L, N, 1] -> [W, N, bands].
    Raises:
        ValidationError: `low < high <= sampling / 2` does not hold, or a band is narrower than the resolution.
        DataError: the signal has several channels.
    """

    name: Literal["log_mel"] = "log_mel"
    sampling: float = Field(default=16000.0, gt=0)
    bands: int = Field(default=40, ge=1)
    window: float = Field(default=0.025, gt=0)
    hop: float = Field(default=0.010, gt=0)
    low: float = Field(default=20.0, ge=0)
    high: float | None = Field(default=None, gt=0)
    """None: half the sampling rate."""

    floor: float = Field(default=1e-6, gt=0)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if not self.low < self.top <= self.sampling / 2:
            raise ValueError(
                f"bands lie in low < high <= sampling / 2, got {self.low:g}, {self.top:g} and {self.sampling / 2:g} Hz"
            )
        if round(self.window * self.sampling) < 2 or round(self.hop * self.sampling) < 1:
            raise ValueError(
                f"a window needs two samples and a hop one, got {self.window:g} and {self.hop:g} s"
            )
        empty = np.flatnonzero(self.matrix().sum(1) == 0)
        if len(empty):
            raise ValueError(
                f"band {empty[0]} is narrower than the {self.sampling / self.points:.3g} Hz that the window resolves; give "
                "fewer bands, a longer window or a higher low"
            )
        return self

    @property
    def top(self) -> float:
        """The highest frequency, Hz."""
        return self.sampling / 2 if self.high is None else self.high

    @property
    def windows(self) -> Windows:
        """Window and hop in samples."""
        return Windows(length=round(self.window * self.sampling), hop=round(self.hop * self.sampling))

    @property
    def points(self) -> int:
        """Length F of the Fourier transform."""
        return 1 << (self.windows.length - 1).bit_length()

    def matrix(self) -> Samples:
        """The triangles M. Shape: [bands, F/2 + 1]."""
        ends = 2595 * np.log10(1 + np.array([self.low, self.top]) / 700)
        corners = 700 * (10 ** (np.linspace(ends[0], ends[1], self.bands + 2) / 2595) - 1)
        frequency = np.arange(self.points // 2 + 1) * self.sampling / self.points
        left, centre, right = corners[:-2, None], corners[1:-1, None], corners[2:, None]
        up, down = (frequency - left) / (centre - left), (right - frequency) / (right - centre)
        return np.clip(np.minimum(up, down), 0, None)

    def stream(self) -> "LogMelStream":
        """Frames as soon as their window is whole."""
        return LogMelStream(self)


class LogMelStream(FrontStream):
    """Log-mel under way."""

    def __init__(self, config: LogMel) -> None:
        super().__init__()
        self.config = config
        self.windows = config.windows.stream()
        length = config.windows.length
        self.hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)
        self.matrix = config.matrix().T

    def _prepare(self, items: int, channels: int) -> None:
        if channels != 1:
            raise DataError(f"log-mel takes one channel, got {channels}; apply it to each by itself")

    def _push(self, x: Samples) -> Samples:
        windows = self.windows.push(x)
        frames = np.zeros((len(windows), x.shape[1], self.config.bands))
        for frame, window in zip(frames, windows, strict=True):  # one by one: whatever came in one chunk
            spectrum = np.fft.rfft(window[..., 0].T * self.hann, self.config.points)
            frame[:] = np.log((spectrum.real**2 + spectrum.imag**2) @ self.matrix + self.config.floor)
        return frames
