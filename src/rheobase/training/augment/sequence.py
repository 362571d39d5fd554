"""Changes of training signals along time and channels, by draws that (seed, epoch) decides.

In this order:

    stretch:   out[t] = in[round(c + (t - c)/f)], c the middle, log f uniform within ±log(1 + s); zeros from outside
    shift:     out[t + d] = in[t], d uniform in -s..s, zeros moving in
    transpose: the same over channels (of a spectrogram, over its bands: another voice)
    steps:     zeros in w neighbouring steps, w uniform in 0..m, the place uniform over those where they fit
    channels:  the same over channels
    drop:      zeros in single values, a share p of them, p uniform in 0..s

Source: of the masks, Park et al., SpecAugment, arXiv 1904.08779; of stretching, Ko et al., Interspeech 2015; transposing is a
coarse form of VTLP (Jaitly and Hinton, ICML 2013), by whole bands.
"""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from rheobase.config import Config


class SequenceAugment(Config):
    """Changes of signals.

    `shift`: they come up to so many steps earlier or later, and last up to 1 + `stretch` times as long, or as short (labels by
    step stay: do without both); `transpose`: they move up to so many channels up or down; `steps` and `channels`: up to so many
    neighbouring ones become silent; `drop`: up to that share of the single values does.
    """

    stretch: float = Field(default=0.0, ge=0, lt=1)
    shift: int = Field(default=0, ge=0)
    transpose: int = Field(default=0, ge=0)
    steps: int = Field(default=0, ge=0)
    channels: int = Field(default=0, ge=0)
    drop: float = Field(default=0.0, ge=0, lt=1)


@dataclass(frozen=True, eq=False)
class SequenceDraws:
    """What chance decided for each of n samples; None where it is not asked.

    Shape: delays and moves int [n]; factors float [n]; steps and channels float [n, 2], a width and a place in [0, 1) among
    those where it fits; drops float [n, 2], a share and the seed of which.
    """

    delays: NDArray[np.int64] | None = None
    steps: NDArray[np.float64] | None = None
    channels: NDArray[np.float64] | None = None
    factors: NDArray[np.float64] | None = None
    moves: NDArray[np.int64] | None = None
    drops: NDArray[np.float64] | None = None

    def of(self, rows: NDArray[np.int64]) -> "SequenceDraws":
        """Those of some of the samples."""
        each = (getattr(self, field.name) for field in fields(self))
        return SequenceDraws(*(None if drawn is None else drawn[rows] for drawn in each))


def draw_sequence(config: SequenceAugment, count: int, rng: np.random.Generator) -> SequenceDraws:
    """Draws for `count` samples; what a configuration does not ask for takes nothing from the stream."""
    s = config.shift
    return SequenceDraws(
        delays=rng.integers(-s, s, size=count, endpoint=True) if s else None,
        steps=_masks(config.steps, count, rng),
        channels=_masks(config.channels, count, rng),
        factors=(1 + config.stretch) ** rng.uniform(-1, 1, count) if config.stretch else None,
        moves=rng.integers(-config.transpose, config.transpose, size=count, endpoint=True)
        if config.transpose
        else None,
        drops=np.stack([rng.uniform(0, config.drop, count), rng.integers(0, 1 << 32, count)], 1)
        if config.drop
        else None,
    )


def augmented_sequence(frames: NDArray[Any], draws: SequenceDraws) -> NDArray[Any]:
    """Frames changed as drawn; those given may be changed in place.

    Shape: frames `[n, T, C, H, W]`, contiguous.
    """
    if draws.factors is not None:
        frames = stretched(frames, draws.factors)
    if draws.delays is not None:
        frames = delayed(frames, draws.delays)
    if draws.moves is not None:
        channels = frames.reshape(*frames.shape[:2], -1).swapaxes(1, 2)
        frames = np.ascontiguousarray(delayed(channels, draws.moves).swapaxes(1, 2)).reshape(frames.shape)
    if draws.steps is not None:
        mask(frames, draws.steps)
    if draws.channels is not None:
        mask(frames.reshape(*frames.shape[:2], -1).swapaxes(1, 2), draws.channels)
    if draws.drops is not None:
        for sample, (share, seed) in zip(frames, draws.drops.tolist(), strict=True):
            sample[np.random.default_rng(int(seed)).random(sample.shape, np.float32) < share] = 0
    return frames


def stretched(frames: NDArray[Any], factors: NDArray[np.float64]) -> NDArray[Any]:
    """Each sample so many times as long about its middle, the nearest step for each; zeros come from outside.

    Shape: frames `[n, T, ...]`, factors `[n]`.
    """
    T = frames.shape[1]
    middle = (T - 1) / 2
    sources = np.rint(middle + (np.arange(T) - middle) / factors[:, None]).astype(np.int64)
    found = np.stack([sample[source.clip(0, T - 1)] for sample, source in zip(frames, sources, strict=True)])
    found[(sources < 0) | (sources >= T)] = 0
    return found


def delayed(frames: NDArray[Any], delays: NDArray[np.int64]) -> NDArray[Any]:
    """Each sample's frames so many steps later, earlier where negative, zeros moving in.

    Shape: frames `[n, T, ...]`, delays `[n]`.
    """
    moved = np.zeros_like(frames)
    for target, source, delay in zip(moved, frames, delays.tolist(), strict=True):
        kept = max(len(source) - abs(delay), 0)
        ahead, behind = max(delay, 0), max(-delay, 0)
        target[ahead : ahead + kept] = source[behind : behind + kept]
    return moved


def mask(frames: NDArray[Any], spans: NDArray[np.float64]) -> None:
    """Zeros, in place, in a span of each sample's first axis.

    Shape: frames `[n, size, ...]`, spans `[n, 2]`.
    """
    for sample, (width, place) in zip(frames, spans.tolist(), strict=True):
        wide = min(int(width), len(sample))
        first = int(place * (len(sample) - wide + 1))
        sample[first : first + wide] = 0


def _masks(widest: int, count: int, rng: np.random.Generator) -> NDArray[np.float64] | None:
    if not widest:
        return None
    return np.stack([rng.integers(0, widest, size=count, endpoint=True), rng.random(count)], 1)
