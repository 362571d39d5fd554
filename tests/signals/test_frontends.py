"""Front ends: what they compute, and that chunks of any length give what the whole signal gives."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from rheobase.errors import DataError
from rheobase.signals.frontends import (
    BandPass,
    Bands,
    Chain,
    Gammatone,
    LogMel,
    Notch,
    Standardise,
    Windows,
)

RATE = 1000.0
FRONTS = {
    "log_mel": LogMel(sampling=RATE, bands=6, window=0.032, hop=0.010),
    "long hop": LogMel(sampling=RATE, bands=4, window=0.020, hop=0.050),
    "gammatone": Gammatone(sampling=RATE, bands=5, low=50, high=400, hop=0.010),
    "band_pass": BandPass(sampling=RATE, low=4, high=38),
    "low_pass": BandPass(sampling=RATE, high=30, order=3),
    "notch": Notch(sampling=RATE),
    "bands": Bands(sampling=RATE),
    "standardise": Standardise(mean=(0.5,), deviation=(2.0,)),
    "chain": Chain(
        stages=(
            Notch(sampling=RATE),
            BandPass(sampling=RATE, low=20),
            LogMel(sampling=RATE, bands=4, window=0.032),
        )
    ),
}


def noise(samples: int, items: int = 2, channels: int = 1, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(samples, items, channels))


def sine(frequency: float, samples: int = 4000, rate: float = RATE) -> np.ndarray:
    return np.sin(2 * np.pi * frequency * np.arange(samples) / rate)[:, None, None]


@pytest.mark.parametrize("name", FRONTS)
@given(lengths=st.lists(st.integers(0, 90), max_size=12), seed=st.integers(0, 99))
@settings(max_examples=25)
def test_chunks_give_what_the_whole_gives(name: str, lengths: list[int], seed: int) -> None:
    x = noise(sum(lengths), seed=seed)
    stream, parts, start = FRONTS[name].stream(), [], 0
    parts.append(stream.push(x[:0]))
    for length in lengths:
        parts.append(stream.push(x[start : start + length]))
        start += length
    parts.append(stream.finish())
    assert np.array_equal(np.concatenate(parts), FRONTS[name].apply(x))


@given(
    length=st.integers(1, 20),
    hop=st.integers(1, 30),
    lengths=st.lists(st.integers(0, 40), min_size=1, max_size=8),
)
@settings(max_examples=60)
def test_windows_are_those_of_a_loop(length: int, hop: int, lengths: list[int]) -> None:
    x, windows = noise(sum(lengths), 2, 3), Windows(length=length, hop=hop)
    slow = [x[start : start + length] for start in range(0, len(x) - length + 1, hop)]
    stream = windows.stream()
    chunks = [stream.push(chunk) for chunk in np.split(x, np.cumsum(lengths)[:-1])]
    found = np.concatenate(chunks)
    assert found.shape == (len(slow), length, 2, 3) and windows.count(len(x)) == len(slow)
    assert all(np.array_equal(a, b) for a, b in zip(found, slow, strict=True))
    assert np.array_equal(windows.cut(x), found)


def test_log_mel_is_the_sum_written_out() -> None:
    config = LogMel(sampling=RATE, bands=5, window=0.020, hop=0.010, low=30)
    x, F = noise(60), 32
    n = np.arange(20)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * n / 20)
    expected = np.zeros((5, 2, 5))
    for w in range(5):
        for item in range(2):
            piece = x[10 * w : 10 * w + 20, item, 0] * hann
            power = [abs((piece * np.exp(-2j * np.pi * k * n / F)).sum()) ** 2 for k in range(17)]
            expected[w, item] = np.log(config.matrix() @ power + 1e-6)
    np.testing.assert_allclose(config.apply(x), expected, rtol=1e-9)


def test_mel_corners() -> None:
    """Triangles rise from one centre to the next, so that neighbours add to 1 between the first and the last centre."""
    matrix = LogMel(bands=20, window=0.032).matrix()
    assert matrix.shape == (20, 257) and matrix.min() >= 0 and matrix.max() <= 1
    peaks = matrix.argmax(1)
    assert (np.diff(peaks) > 0).all()
    np.testing.assert_allclose(matrix[:, peaks[0] + 1 : peaks[-1]].sum(0), 1, rtol=1e-12)


@pytest.mark.parametrize("band", [0, 3, 7])
def test_gammatone_bands_answer_their_frequency(band: int) -> None:
    config = Gammatone(sampling=16000.0, bands=8, low=100, high=6000)
    x = sine(config.centres()[band], 8000, 16000.0)
    last = config.apply(x)[-1, 0]
    assert last.argmax() == band
    # a half-wave rectified sine of height 1 has mean square 1/4
    np.testing.assert_allclose(
        last[band], np.log(0.25), atol=0.05
    )  # the last hop is no whole number of periods


def test_gammatone_impulse_response() -> None:
    """The cascade is the filter of the equation, up to its gain, where the bandwidth is small against the rate."""
    from scipy.signal import sosfilt

    config = Gammatone(sampling=16000.0, bands=3, low=300, high=2000)
    impulse = np.zeros(800)
    impulse[0] = 1.0
    t = np.arange(800) / 16000
    for f, sections in zip(config.centres(), config.sections(), strict=True):
        b = 1.019 * 24.7 * (1 + 4.37e-3 * f)
        wanted = t**3 * np.exp(-2 * np.pi * b * t) * np.cos(2 * np.pi * f * t)
        found = sosfilt(sections, impulse)
        assert np.corrcoef(found, wanted)[0, 1] > 0.995


@pytest.mark.parametrize(
    ("front", "passes", "stops"),
    [
        (BandPass(sampling=RATE, low=4, high=38), 12.0, 200.0),
        (BandPass(sampling=RATE, high=30), 5.0, 200.0),
        (BandPass(sampling=RATE, low=60), 200.0, 5.0),
        (Notch(sampling=RATE, frequency=50, quality=10), 20.0, 50.0),
    ],
)
def test_filters_pass_and_stop(front, passes: float, stops: float) -> None:
    kept, gone = (np.abs(front.apply(sine(f))[2000:]).max() for f in (passes, stops))
    assert 0.9 < kept < 1.05 and gone < 0.05


def test_bands_lie_beside_their_channel() -> None:
    x = np.concatenate([sine(10), sine(2)], 2)
    y = Bands(sampling=RATE).apply(x)
    assert y.shape == (4000, 1, 12)
    assert np.array_equal(y[..., 0], x[..., 0]) and np.array_equal(y[..., 6], x[..., 1])
    size = np.abs(y[2000:, 0]).max(0)
    assert size[1:6].argmax() == 2 and size[7:12].argmax() == 0  # alpha, delta
    assert Bands(sampling=RATE, raw=False).apply(x).shape == (4000, 1, 10)


def test_standardise_of_what_it_was_fitted_on() -> None:
    x = noise(500, 3, 2) * [2.0, 0.1] + [1.0, -5.0]
    y = Standardise.fit(x).apply(x)
    np.testing.assert_allclose(y.mean((0, 1)), 0, atol=1e-12)
    np.testing.assert_allclose(y.std((0, 1)), 1)
    assert np.array_equal(Standardise.fit(np.ones((5, 1, 1))).apply(np.ones((5, 1, 1))), np.zeros((5, 1, 1)))


def test_errors_say_what_to_do() -> None:
    with pytest.raises(DataError, match="apply it to each by itself"):
        LogMel().apply(noise(100, 1, 2))
    with pytest.raises(DataError, match="takes one channel"):
        Gammatone().apply(noise(100, 1, 2))
    with pytest.raises(DataError, match="the signal has 3 channels"):
        Standardise(mean=(0.0,), deviation=(1.0,)).apply(noise(10, 1, 3))
    with pytest.raises(DataError, match="push at least an empty one"):
        Notch(sampling=RATE).stream().finish()
    stream = BandPass(sampling=RATE, low=4).stream()
    stream.push(noise(5))
    with pytest.raises(DataError, match=r"the stream began with \[l, 2, 1\]"):
        stream.push(noise(5, 3))
    with pytest.raises(DataError, match="fitted on samples"):
        Standardise.fit(noise(0))
    for bad in (
        lambda: BandPass(sampling=RATE),
        lambda: BandPass(sampling=RATE, low=40, high=4),
        lambda: BandPass(sampling=RATE, high=600),
        lambda: Notch(sampling=RATE, frequency=500),
        lambda: LogMel(low=5000, high=4000),
        lambda: LogMel(bands=200),
        lambda: Gammatone(high=9000),
        lambda: Chain(stages=()),
    ):
        with pytest.raises(ValidationError):
            bad()
