"""What all encoders share: a frozen configuration with `encode`, `stream` and `decode`.

Signals are `[L, N, C]`: time, batch, channels. A code is the spikes and, named, what a decoder needs beside them.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rheobase.config import Config
from rheobase.errors import DataError, RecipeError

Samples = NDArray[np.float64]
Spikes = NDArray[Any]  # int8, but for direct coding, whose "spikes" are currents
Side = Mapping[str, Samples]
LARGEST = 1e150  # so that differences, thresholds and squares stay finite


class Code(NamedTuple):
    """Spikes and what is needed beside them: `decode(code.spikes, **code.side)`.

    Shape: spikes [L, N, C] ([L*T, N, C] where a sample takes T steps); every array of `side` [N, C].
    """

    spikes: Spikes
    side: Side


def as_samples(x: ArrayLike) -> Samples:
    """`x` as float64, checked: `[L, N, C]`, finite, not beyond 1e150.

    Raises:
        DataError: it is no numbers, of another shape, or holds NaN, infinity or larger values.
    """
    try:
        samples = np.ascontiguousarray(x, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"a signal is an array of numbers [L, N, C]; got {type(x).__name__} ({error})"
        ) from error
    if np.iscomplexobj(x):
        raise DataError("a signal is real; got complex numbers: take .real, or abs()")
    if samples.ndim != 3:
        raise DataError(
            f"a signal is [L, N, C] (time, batch, channels); got shape {samples.shape}"
            + {1: ": for one channel give x[:, None, None]", 2: ": for [L, C] give x[:, None]"}.get(
                samples.ndim, ""
            )
        )
    if samples.size and not max(samples.max(), -samples.min()) <= LARGEST:  # false for NaN too
        where = np.argwhere(~(np.abs(samples) <= LARGEST))[0]
        value = samples[tuple(where)]
        raise DataError(
            f"sample {where[0]} of item {where[1]}, channel {where[2]} is {value:g}; samples are finite and within "
            f"{LARGEST:g}: cut or interpolate the gap, or scale the signal"
        )
    return samples


class Stream(ABC):
    """An encoder under way: `push` takes the next samples and gives spikes, `finish` the last ones.

    Chunks may have any length, also 0. All spikes, one after the other, equal those of `encode` on all samples.
    `side` holds what a decoder needs, from the first sample on.
    """

    def __init__(self, side: Side):
        self.side: dict[str, Samples] = dict(side)
        self._shape: tuple[int, int] | None = None
        self._started = False

    def push(self, chunk: ArrayLike) -> Spikes:
        """The next samples `[l, N, C]` to the spikes that they settle.

        Raises:
            DataError: the chunk is no signal, or N or C differ from those of the chunks before.
        """
        x = as_samples(chunk)
        if self._shape is None:
            self._shape = x.shape[1:]
            self._prepare(*self._shape)
        if x.shape[1:] != self._shape:
            raise DataError(
                f"chunk of shape {x.shape}: the stream began with [l, {self._shape[0]}, {self._shape[1]}]"
            )
        if len(x) == 0 or self._started:
            return self._push(x)
        self._started = True
        return self._first(x)

    def finish(self) -> Spikes:
        """Spikes that were waiting for samples that will not come; empty for all but BSA and HSA."""
        if self._shape is None:
            raise DataError("a stream that saw no chunk has no shape yet: push at least an empty one")
        return self._last()

    def _prepare(self, items: int, channels: int) -> None:  # noqa: B027
        """Called once, when N and C are known."""

    def _first(self, x: Samples) -> Spikes:
        """The first chunk with a sample in it."""
        return self._push(x)

    @abstractmethod
    def _push(self, x: Samples) -> Spikes:
        """Every later chunk, and empty ones."""

    def _last(self) -> Spikes:
        return self._push(np.zeros((0, *(self._shape or (0, 0)))))


class StartedStream(Stream):
    """A stream that compares with where the signal began: sample 0 has no spike and is `side["start"]`."""

    def _prepare(self, items: int, channels: int) -> None:
        self.side["start"] = np.zeros((items, channels))

    def _first(self, x: Samples) -> Spikes:
        self.side["start"] = x[0].copy()
        self._start(x[0].reshape(-1))
        return np.concatenate([np.zeros((1, *x.shape[1:]), np.int8), self._push(x[1:])])

    @abstractmethod
    def _start(self, first: Samples) -> None:
        """Set the state from the first sample `[N*C]`."""

    def _push(self, x: Samples) -> Spikes:
        spikes = np.zeros(x.shape, np.int8)
        if spikes.size:
            self._run(x.reshape(len(x), -1), spikes.reshape(len(x), -1))
        return spikes

    @abstractmethod
    def _run(self, x: Samples, spikes: Spikes) -> None:
        """Samples `[l, N*C]`, contiguous, to spikes, written in place; carries the state."""


class EncoderBase(Config):
    """A frozen configuration that turns signals into spikes, whole or in chunks, and back where that can be done."""

    name: str

    @property
    def invertible(self) -> bool:
        """Whether `decode` gives the signal back (approximately) from spikes and side."""
        return True

    def dial(self, x: Samples) -> tuple[str, float, float]:
        """The field that trades spikes for accuracy, and the range of it that makes sense for `x`.

        Raises:
            RecipeError: there is no such field.
        """
        raise RecipeError(f"{self.name} has no threshold to tune; its steps and range are set by hand")

    def calibrate(self, x: Samples) -> dict[str, Samples]:
        """What depends on the whole signal and a stream must be given in advance; `[N, C]` each."""
        return {}

    def encode(self, x: ArrayLike) -> Code:
        """The code of a whole signal.

        Shape: x [L, N, C] -> spikes [L, N, C], int8 in {-1, 0, 1}.
        Raises:
            DataError: x is no signal (see `as_samples`).
        """
        samples = as_samples(x)
        stream = self.stream(**self.calibrate(samples))
        spikes, rest = stream.push(samples), stream.finish()
        return Code(np.concatenate([spikes, rest]) if len(rest) else spikes, stream.side)

    def stream(self, **given: Samples) -> Stream:
        """An encoder that takes the signal in chunks; `given` is what `calibrate` finds, where it finds anything.

        Raises:
            RecipeError: something that depends on the whole signal is neither given nor set.
        """
        raise NotImplementedError

    def decode(self, spikes: ArrayLike, **side: Any) -> Samples:
        """The signal that spikes and side stand for.

        Shape: spikes [L, N, C], side [N, C] -> [L, N, C].
        Raises:
            DataError: the code cannot be decoded, or spikes and side do not fit.
        """
        raise DataError(f"{self.name} cannot be decoded: its spikes do not say by how much the signal moved")

    def _wanted(self, given: Mapping[str, Samples], *names: str) -> None:
        """Refuse a stream that lacks what `calibrate` would have found."""
        missing, spare = sorted(set(names) - set(given)), sorted(set(given) - set(names))
        if missing:
            raise RecipeError(
                f"{self.name} takes {', '.join(missing)} from the whole signal, which a stream does not have: set it in "
                f"the configuration, or give stream(**encoder.calibrate(x)) with an earlier signal x"
            )
        if spare:
            raise RecipeError(f"{self.name}: stream() has no {', '.join(spare)}")


def as_spikes(spikes: ArrayLike) -> NDArray[np.int8]:
    """`spikes` as contiguous int8 `[L, N, C]`.

    Raises:
        DataError: another shape, or values other than -1, 0, 1.
    """
    array = np.asarray(spikes)
    if array.ndim != 3:
        raise DataError(f"spikes are [L, N, C] (time, batch, channels); got shape {array.shape}")
    if not np.isin(array, (-1, 0, 1)).all():
        raise DataError("spikes are -1, 0 or 1; other values are no spikes of these encoders")
    return np.ascontiguousarray(array, dtype=np.int8)


def row(value: ArrayLike, what: str, shape: tuple[int, ...]) -> Samples:
    """A number or an array of `side` as `[N, C]`.

    Raises:
        DataError: it does not fit the spikes.
    """
    array = np.asarray(value, dtype=np.float64)
    try:
        return np.broadcast_to(array, shape[1:])
    except ValueError as error:
        raise DataError(
            f"{what} has shape {array.shape}, spikes {shape}: expected {shape[1:]} or a number"
        ) from error


def integrate(spikes: ArrayLike, start: ArrayLike, step: ArrayLike) -> Samples:
    """`x[n] = x[n-1] + step * s[n]` from x[-1] = start: what step-forward, moving window and the like decode by.

    The sums are taken one after the other, as the encoders take theirs. Shape: [L, N, C].
    """
    codes = as_spikes(spikes)
    moves = codes * row(step, "step", codes.shape)
    if len(moves):
        moves[0] += row(start, "start", codes.shape)
    return np.add.accumulate(moves, axis=0)
