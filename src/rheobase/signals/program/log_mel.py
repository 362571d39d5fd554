"""Log-mel in integers: the meaning of `templates/log_mel.c`.

    z[n] = (x[n] hann[n] + half) >> (15 - G)                          hann in 1/2^15; G fractional bits
    Z    = FFT of z[2n] + i z[2n+1], radix 2, factors in 1/2^30, every product rounded
    2X[k] = Z[k] + conj Z[M-k] - i W^k (Z[k] - conj Z[M-k])           M = F/2
    E[b] = floor + sum_k weight[b, k] (|2X[k]|^2 >> (2G + 2))         weights in 1/2^W
    y[b] = 512 log2 E[b]                                              table of 32 parts, straight lines between

`G` is the largest with which |2X| <= 2 (2^15 sum(hann) + 2) 2^G stays below 2^31: every partial sum of a transform is at most
the sum of what goes in. `W` is the largest, at most 14, with which E stays below 2^63 (by Parseval,
sum |X|^2 <= F 2^30 sum(hann^2)). A value is ln(2)/512 of the float front end's.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rheobase.errors import RecipeError
from rheobase.signals.frontends.log_mel import LogMel

Integers = NDArray[np.int64]
ROOT, HALF_ROOT = 1 << 30, 1 << 29
SLACK = 1.01  # of the bounds, for roundings
OCTAVE = 512
PARTS = 32


@dataclass(frozen=True, eq=False)
class IntegerLogMel:
    """Tables of the integer front end; `power` of the samples is in counts of 16 bits.

    Shape: `hann` int64 [length], `cosine` [F/2 + 1], `band` (the lower of two neighbouring bands that a bin belongs to) and
    `weights` [F/2 + 1] and [F/2 + 1, 2], `logarithm` [33].
    """

    bands: int
    points: int
    hop: int
    hann: Integers
    cosine: Integers
    band: Integers
    weights: Integers
    logarithm: Integers
    fraction: int  # G
    weight_bits: int  # W
    floor: int

    unit: float = math.log(2) / OCTAVE
    limit: int = 1 << 15

    @property
    def channels(self) -> int:
        """Values of a frame."""
        return self.bands

    @property
    def length(self) -> int:
        """Samples of a window."""
        return len(self.hann)

    def stream(self) -> "IntegerLogMelStream":
        """The front end before its first sample."""
        return IntegerLogMelStream(self)

    def frame(self, window: Integers) -> Integers:
        """Values of windows of samples. Shape: [..., length] -> [..., bands]."""
        M = self.points // 2
        z = np.zeros((*window.shape[:-1], self.points), np.int64)
        down = 15 - self.fraction
        z[..., : self.length] = (window * self.hann + (1 << down >> 1)) >> down
        re, im = self._transform(z[..., ::2], z[..., 1::2])
        k = np.arange(M + 1)
        here, there = k % M, (M - k) % M
        c, s = self.cosine[k], self._sine(k)
        sum_re, sum_im = re[..., here] + re[..., there], im[..., here] - im[..., there]
        dif_re, dif_im = re[..., here] - re[..., there], im[..., here] + im[..., there]
        twice_re = sum_re + ((c * dif_im - s * dif_re + HALF_ROOT) >> 30)
        twice_im = sum_im + ((-s * dif_im - c * dif_re + HALF_ROOT) >> 30)
        power = (twice_re**2 + twice_im**2) >> (2 * self.fraction + 2)
        energy = np.full((*window.shape[:-1], self.bands + 1), self.floor, np.int64)
        for bin in k:
            first = self.band[bin]
            energy[..., first : first + 2] += power[..., bin, None] * self.weights[bin]
        return self._log2(energy[..., : self.bands])

    def _sine(self, k: Integers) -> Integers:
        return self.cosine[np.abs(k - self.points // 4)]

    def _transform(self, re: Integers, im: Integers) -> tuple[Integers, Integers]:
        """The transform of M complex numbers, decimated in time."""
        M = self.points // 2
        order = reversed_bits(M)
        re, im = re[..., order].copy(), im[..., order].copy()
        size = 1
        while size < M:
            j = np.arange(size) * (M // size)
            c, s = self.cosine[j], self._sine(j)
            shape = (*re.shape[:-1], M // (2 * size), 2, size)
            re, im = re.reshape(shape), im.reshape(shape)
            b_re, b_im = re[..., 1, :], im[..., 1, :]
            t_re = (b_re * c + b_im * s + HALF_ROOT) >> 30
            t_im = (b_im * c - b_re * s + HALF_ROOT) >> 30
            a_re, a_im = re[..., 0, :], im[..., 0, :]
            re = np.stack([a_re + t_re, a_re - t_re], -2).reshape(*shape[:-3], M)
            im = np.stack([a_im + t_im, a_im - t_im], -2).reshape(*shape[:-3], M)
            size *= 2
        return re, im

    def _log2(self, energy: Integers) -> Integers:
        """`512 log2 E`, rounded, of 1 <= E < 2^63."""
        top = np.minimum(np.frexp(energy.astype(np.float64))[1].astype(np.int64) - 1, 62)
        top -= (energy >> top) == 0  # where the float was rounded up to the next power of two
        mantissa = np.where(top >= 15, energy >> np.maximum(top - 15, 0), energy << np.maximum(15 - top, 0))
        part, rest = (mantissa >> 10) & (PARTS - 1), mantissa & 1023
        rise = self.logarithm[part + 1] - self.logarithm[part]
        return top * OCTAVE + ((self.logarithm[part] + ((rise * rest + 512) >> 10) + 32) >> 6)


class IntegerLogMelStream:
    """Windows under way."""

    def __init__(self, config: IntegerLogMel) -> None:
        self.config = config
        self.waiting = np.zeros(0, np.int64)
        self.skip = 0

    def push(self, samples: NDArray[Any]) -> Integers:
        """The next samples to the frames that they complete. Shape: [l, 1] -> [w, bands]."""
        c = self.config
        x = samples[:, 0].astype(np.int64)
        passed = min(self.skip, len(x))
        self.skip -= passed
        x = np.concatenate([self.waiting, x[passed:]])
        count = max((len(x) - c.length) // c.hop + 1, 0)
        self.waiting = x[min(count * c.hop, len(x)) :]
        self.skip += max(count * c.hop - len(x), 0)
        starts = np.arange(count)[:, None] * c.hop
        return c.frame(x[starts + np.arange(c.length)])


def reversed_bits(count: int) -> Integers:
    """Numbers below a power of two with their bits in reverse order."""
    order = np.zeros(1, np.int64)
    while len(order) < count:
        order = np.concatenate([2 * order, 2 * order + 1])
    return order


def integer_log_mel(front: LogMel, unit: float) -> IntegerLogMel:
    """The integer form of a log-mel front end of samples that stand for `unit` a count.

    Raises:
        RecipeError: windows are too short or too long for 32-bit transforms, or the floor is beyond the range.
    """
    length, points = front.windows.length, front.points
    hann = np.rint((0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)) * (1 << 15))
    largest = (float(hann.sum()) + 2) * SLACK
    fraction = min(math.floor(30 - math.log2(largest)), 15)
    energy = points * float((hann**2).sum()) * SLACK
    floor = front.floor / unit**2
    weight_bits = min(math.floor(63 - math.log2(energy + floor)), 14)
    if points < 8 or fraction < 0 or weight_bits < 4:
        raise RecipeError(
            f"a log-mel window of {length} samples with a floor of {front.floor:g} has no integer form: give windows of 5 to "
            "some 30,000 samples and a floor of a quiet signal's power, such as 1e-6"
        )
    matrix = front.matrix()
    band = np.array([min(int(np.argmax(column > 0)), front.bands - 1) for column in matrix.T])
    wide = np.concatenate([matrix, np.zeros((1, matrix.shape[1]))])
    weights = np.stack([wide[band, np.arange(len(band))], wide[band + 1, np.arange(len(band))]], 1)
    return IntegerLogMel(
        front.bands,
        points,
        front.windows.hop,
        hann.astype(np.int64),
        np.rint(np.cos(2 * np.pi * np.arange(points // 2 + 1) / points) * ROOT).astype(np.int64),
        band.astype(np.int64),
        np.rint(weights * (1 << weight_bits)).astype(np.int64),
        np.rint(np.log2(1 + np.arange(PARTS + 1) / PARTS) * (1 << 15)).astype(np.int64),
        fraction,
        weight_bits,
        max(round(floor * 2**weight_bits), 1),
    )
