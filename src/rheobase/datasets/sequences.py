"""Recorded signals as frames of one pixel: front end once (cached), scaled and encoded as the training part asks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from rheobase.datasets.config import DataConfig
from rheobase.datasets.dataset import FrameSet
from rheobase.datasets.pool import Pool
from rheobase.datasets.signal_config import SignalConfig
from rheobase.datasets.split import Indices
from rheobase.errors import DataError, RecipeError, unknown
from rheobase.events import Recording
from rheobase.signals import Direct, EncoderBase, Scaling, tune
from rheobase.signals.coding import Coding, Front
from rheobase.signals.encoder import Samples
from rheobase.signals.frames import FrameEncoder

ANALOG = 1 / 64
"""What one count of an analog frame is worth: scaled signals reach from -127/64 to 127/64."""

TUNED_ON = 2_000_000
"""Samples, about, that the threshold is tuned on: the first of the training part, which is in stratified order."""


@dataclass(frozen=True)
class Recorded:
    """How recordings of a data set become frames, and the recordings of its test part by their place in it."""

    coding: Coding
    names: tuple[str, ...]
    read: Callable[[str], NDArray[np.float64]]

    def samples(self, place: int) -> NDArray[np.int16]:
        """A recording as 16-bit samples. Shape: [L]."""
        counts = np.rint(self.read(self.names[place]) / self.coding.unit)
        return np.clip(counts, -32768, 32767).astype(np.int16)


class Signals:
    """Where sequences come from: no event recordings, and every question for one is refused."""

    def recording(self, row: int) -> Recording:
        """Refuse."""
        self._refuse()

    def frames(self, recording: Recording) -> NDArray[np.uint8]:
        """Refuse."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise DataError(
            "signals have no event recordings: there are no events to add, drop or show; evaluate them without robustness"
        )


@dataclass(frozen=True, eq=False)
class Origin:
    """Recordings of one channel, and the front end that they pass.

    `sampling`: samples a second; `count`: what one count of a 16-bit sample is worth; `read` gives a recording [L] by its name.
    """

    front: Front
    sampling: float
    count: float
    read: Callable[[str], NDArray[np.float64]]


@dataclass(frozen=True, eq=False)
class SignalPool(Pool):
    """Signals of one length behind their front end. Shape: signals: float32 [N, L, C].

    The training part is cut into pieces of T steps, one every `hop` steps (None: one piece from the start); validation and
    test keep whole signals, so that one decision is made of each. A signal shorter than T steps ends in silence.
    """

    signals: NDArray[np.float32]
    hop: int | None = field(default=None, kw_only=True)
    spectrogram: bool = field(default=False, kw_only=True)
    """Whether channels are bands in order, which then are the height of a frame."""
    origin: Origin | None = field(default=None, kw_only=True)
    """What lies in front of the front end, where recordings of one channel come from the data set."""

    def parts(self, config: DataConfig, rows: Sequence[Indices]) -> list[FrameSet]:
        """Scale and encode with what the first part (training) asks for, and deal out."""
        scaling, encoder = self._fitted(config, rows[0])
        return [
            self._part(config, some, scaling, encoder, pieces=i == 0 and self.hop is not None)
            for i, some in enumerate(rows)
        ]

    def coding(self, config: DataConfig, rows: Indices) -> Coding:
        """How a recording becomes frames: scaled and encoded as the rows (of the training part) ask.

        Raises:
            DataError: nothing is known of what lies in front of the front end.
        """
        if self.origin is None:
            raise DataError(
                f"{self.title or config.name} has no recordings of one channel to encode one by one"
            )
        scaling, encoder = self._fitted(config, rows)
        return Coding(
            front=self.origin.front,
            scaling=scaling,
            encoder=encoder,  # type: ignore[arg-type]
            pool=config.signal.pool,
            sampling=self.origin.sampling,
            unit=self.origin.count,
        )

    def _fitted(self, config: DataConfig, rows: Indices) -> tuple[Scaling, EncoderBase]:
        scaling = Scaling.fit(_as_signal(self.signals[rows]))
        some = rows[: max(TUNED_ON // self.signals[0].size, 1)]
        return scaling, tuned(config.signal, scaling.apply(_as_signal(self.signals[some])))

    def _part(
        self, config: DataConfig, rows: Indices, scaling: Scaling, encoder: EncoderBase, *, pieces: bool
    ) -> FrameSet:
        frames = encoded(self.signals[rows], scaling, encoder, config.signal.pool)
        names, labels, T = [self.names[i] for i in rows], self.labels[rows], config.T
        if pieces and frames.shape[1] > T:
            starts = range(0, frames.shape[1] - T + 1, self.hop or T)
            frames = np.concatenate([frames[:, start : start + T] for start in starts])
            names = [f"{name}@{start}" for start in starts for name in names]
            labels = np.tile(labels, len(starts))
        elif self.hop is None or frames.shape[1] < T:
            frames = _lasting(frames, T)
        if self.spectrogram:
            frames = frames.swapaxes(2, 3)
        return FrameSet(np.ascontiguousarray(frames), labels, tuple(names), Signals())


def tuned(how: SignalConfig, x: Samples) -> EncoderBase:
    """The encoder with its threshold tuned to the rate asked for on x [L, N, C]; codes of values have no threshold.

    Raises:
        DataError: the rate cannot be met.
    """
    encoder: EncoderBase = how.encoder
    if isinstance(encoder, Direct | FrameEncoder) or how.rate is None:
        return encoder
    return tune(encoder, x, rate=how.rate).encoder


def encoded(
    signals: NDArray[np.float32], scaling: Scaling, encoder: EncoderBase, pool: int
) -> NDArray[np.int8]:
    """Frames of signals; a code of k steps a sample and m lines a channel makes k L steps and m C channels of them.

    Shape: [N, L, C] -> int8 [N, ceil(k L / pool), m C, 1, 1].
    """
    N, C = len(signals), signals.shape[2] * getattr(encoder, "lines", 1)
    L = signals.shape[1] * getattr(encoder, "steps", 1)
    steps = -(-L // pool)
    frames = np.zeros((N, steps * pool, C), np.int8)
    for start in range(0, N, 256):
        some = scaling.apply(_as_signal(signals[start : start + 256]))
        values, missing = encoder.encode(some).spikes, steps * pool - L
        if isinstance(encoder, Direct):
            whole = np.concatenate([values, values[-1:].repeat(missing, 0)])
            values = np.rint(np.clip(whole / ANALOG, -127, 127))
        else:
            values = np.concatenate([values, np.zeros((missing, *values.shape[1:]))])
        frames[start : start + 256] = values.swapaxes(0, 1)
    parts = frames.reshape(N, steps, pool, C)
    analog = isinstance(encoder, Direct)
    pooled = np.rint(parts.mean(2)) if analog else np.clip(parts.sum(2, dtype=np.int16), -1, 1)
    return pooled.astype(np.int8)[..., None, None]


def _lasting(frames: NDArray[np.int8], T: int) -> NDArray[np.int8]:
    """Exactly T steps: cut, or silent at the end. Shape: [N, steps, ...] -> [N, T, ...]."""
    silence = np.zeros((len(frames), max(T - frames.shape[1], 0), *frames.shape[2:]), np.int8)
    return np.concatenate([frames[:, :T], silence], 1)


def _as_signal(rows: NDArray[np.float32]) -> Samples:
    """[N, L, C] -> [L, N, C]."""
    return rows.swapaxes(0, 1).astype(np.float64)


def check_options(config: DataConfig, splits: Sequence[str] | None = ("official",)) -> None:
    """Refuse what means nothing for signals, before any of them is read; `splits` None: they are known once it is.

    Raises:
        RecipeError: no such split, or an option of event binning.
    """
    if splits is not None and config.split not in splits:
        raise RecipeError(unknown(f"split of {config.name}", config.split, splits))
    if config.size is not None or config.binning != "time":
        option = "size" if config.size is not None else "binning"
        raise RecipeError(f"data.{option} is about events, and {config.name} has signals: leave it out")
