"""How fast signals become spikes, and which encoder keeps most of real signals at equal rate.

    python benchmarks/encoders.py [--channels 64] [--rounds 7] [--out F.csv] [--check]
    RHEOBASE_DATA=DIR python benchmarks/encoders.py --quality [--recordings 20] [--out F.csv] [--check]

Speed: samples a second of the C kernels, of plain NumPy, and of a plain Python loop over a list of numbers, all
giving the same spikes. Quality: every encoder is tuned to the same spike rate on each recording by itself; SNR is
mean and standard deviation over recordings, and `over SF` the paired difference to step-forward. `rate 0.3 at most` is
the best threshold of all that keep to the rate: more spikes are not always a better code. Speech needs the
package soundfile; what is not in RHEOBASE_DATA is left out. The ECG is no raw recording: it is rebuilt from the
level-crossing spikes of QTDB by summing and smoothing them.
"""

import io
import os
import statistics
import zipfile
from collections.abc import Callable
from pathlib import Path

import bench
import numpy as np
import scipy.io

from rheobase.errors import DataError
from rheobase.signals import (
    BSA,
    HSA,
    TAE,
    EncoderBase,
    MovingWindow,
    Scaling,
    SendOnDelta,
    StepForward,
    TemporalContrast,
    measure,
    native,
    tune,
)
from rheobase.signals.build import with_options

SPEED = {
    "tae": TAE(th0=0.05),
    "step_forward": StepForward(threshold=0.05),
    "send_on_delta": SendOnDelta(delta=0.05),
    "moving_window": MovingWindow(threshold=0.05),
    "bsa": BSA(offset=-4.0),
    "hsa": HSA(offset=-4.0),
}
QUALITY = {
    "tae": TAE(),
    "tae, alpha 1.5": TAE(alpha=1.5),
    "step_forward": StepForward(),
    "send_on_delta": SendOnDelta(),
    "moving_window": MovingWindow(),
    "temporal_contrast": TemporalContrast(),
    "bsa": BSA(),
    "hsa": HSA(),
}
RATES = (0.1, 0.3)


def loop_tae(x: list[float], c: TAE) -> list[int]:
    base, last, th = x[0], 0, c.th0
    alpha, least, most = c.alpha, c.least, c.most
    spikes = [0]
    for value in x[1:]:
        if value > base + th:
            s, base = 1, base + th
        elif value < base - th:
            s, base = -1, base - th
        else:
            s = 0
        th = min(th * alpha, most) if s and s == last else max(th / alpha, least)
        last = s
        spikes.append(s)
    return spikes


def loop_step_forward(x: list[float], c: StepForward) -> list[int]:
    base, th, spikes = x[0], c.threshold, []
    for value in x:
        if value > base + th:
            base += th
            spikes.append(1)
        elif value < base - th:
            base -= th
            spikes.append(-1)
        else:
            spikes.append(0)
    return spikes


def loop_send_on_delta(x: list[float], c: SendOnDelta) -> list[int]:
    sent, delta, spikes = x[0], c.delta, []
    for value in x:
        if value - sent >= delta:
            sent += delta
            spikes.append(1)
        elif value - sent <= -delta:
            sent -= delta
            spikes.append(-1)
        else:
            spikes.append(0)
    return spikes


def loop_moving_window(x: list[float], c: MovingWindow) -> list[int]:
    th, w, spikes = c.threshold, c.window, [0]
    for n in range(1, len(x)):
        past = x[n - w : n] if n > w else x[:n]
        mean = sum(past) / len(past)
        spikes.append(1 if x[n] > mean + th else -1 if x[n] < mean - th else 0)
    return spikes


def loop_bsa(x: list[float], c: BSA) -> list[int]:
    h, x, spikes = c.filter().tolist(), [value - c.offset for value in x], [0] * len(x)
    for n in range(len(x) - len(h) + 1):
        apart = whole = 0.0
        for j, tap in enumerate(h):
            apart += abs(x[n + j] - tap)
            whole += abs(x[n + j])
        if apart <= c.threshold * whole:
            spikes[n] = 1
            for j, tap in enumerate(h):
                x[n + j] -= tap
    return spikes


def loop_hsa(x: list[float], c: HSA) -> list[int]:
    h, x, spikes = c.filter().tolist(), [value - c.offset for value in x], [0] * len(x)
    for n in range(len(x) - len(h) + 1):
        if all(x[n + j] >= tap for j, tap in enumerate(h)):
            spikes[n] = 1
            for j, tap in enumerate(h):
                x[n + j] -= tap
    return spikes


LOOPS: dict[str, Callable] = {name: globals()[f"loop_{name}"] for name in SPEED}


def walk(length: int, channels: int) -> np.ndarray:
    """Sums of slow sines and a little noise, within -2 and 2. Shape: [L, 1, C]."""
    rng = np.random.default_rng(0)
    t = np.arange(length)[:, None]
    waves = [
        np.sin(2 * np.pi * t * rng.uniform(1e-4, 5e-3, channels) + rng.uniform(0, 6, channels)) for _ in "ab"
    ]
    return (sum(waves) * 0.9 + 0.02 * rng.normal(size=(length, channels)))[:, None]


def plainly(encoder: EncoderBase, x: np.ndarray) -> Callable[[], np.ndarray]:
    """What runs where there is no compiler."""

    def run() -> np.ndarray:
        os.environ[native.VARIABLE] = "numpy"
        try:
            return encoder.encode(x).spikes
        finally:
            del os.environ[native.VARIABLE]

    return run


def speed(channels: int, rounds: int) -> tuple[list[bench.Row], list[bench.Goal]]:
    wide, one = walk(1_000_000 // channels, channels), walk(500_000, 1)
    short, numbers = walk(1_000, channels), walk(50_000, 1)[:, 0, 0]
    sizes = {f"C, {channels} channels": wide.size, "C, 1 channel": one.size}
    sizes |= {f"NumPy, {channels} channels": short.size, "Python loop": numbers.size}
    rows = []
    for name, encoder in SPEED.items():
        listed, loop = numbers.tolist(), LOOPS[name]
        assert loop(listed, encoder) == encoder.encode(numbers[:, None, None]).spikes[:, 0, 0].tolist()
        np.testing.assert_array_equal(plainly(encoder, short)(), encoder.encode(short).spikes)
        runs = [
            lambda encoder=encoder: encoder.encode(wide),
            lambda encoder=encoder: encoder.encode(one),
            plainly(encoder, short),
            lambda encoder=encoder, loop=loop, listed=listed: loop(listed, encoder),
        ]
        times = bench.interleaved(dict(zip(sizes, runs, strict=True)), rounds)
        row: bench.Row = {"what": f"{name}, million samples/s"}
        for column, samples in sizes.items():
            row[column] = samples / times.median(column) / 1e6
            if column != "Python loop":
                ratio = times.ratio("Python loop", column) or 0.0
                row[f"{column}, times the loop"] = ratio * samples / numbers.size
        rows.append(row)
    tae, column = rows[0], f"C, {channels} channels"
    goals = [
        bench.Goal(f"TAE in {column}, million samples/s", tae[column], 50),
        bench.Goal(f"TAE in {column}, times a Python loop", tae[f"{column}, times the loop"], 100),
    ]
    return rows, goals


def speech(root: Path, count: int) -> list[np.ndarray]:
    """Whole seconds from evenly spaced places of the archive, mean 0. Shape: [16000, 1, 1]."""
    import soundfile

    with zipfile.ZipFile(root / "speech_commands_v2_test.zip") as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".flac"))
        clips = []
        for start in range(count):  # the first whole second at or after each place
            for name in names[start * len(names) // count :]:
                x, _ = soundfile.read(io.BytesIO(archive.read(name)), dtype="float64")
                if len(x) == 16000 and np.ptp(x) > 0:
                    clips.append(x[:, None, None])
                    break
    return clips


def log_mel(x: np.ndarray) -> np.ndarray:
    """40 mel bands of 25 ms every 10 ms, log10. Shape: [16000, 1, 1] -> [101, 1, 40]."""
    padded = np.pad(x[:, 0, 0], 200)
    frames = np.stack([padded[n : n + 400] for n in range(0, len(padded) - 399, 160)]) * np.hanning(400)
    power = np.abs(np.fft.rfft(frames, 512)) ** 2
    mel = np.linspace(*(2595 * np.log10(1 + np.array([20, 8000]) / 700)), 42)
    edges = 700 * (10 ** (mel / 2595) - 1)
    rise = (np.fft.rfftfreq(512, 1 / 16000)[None] - edges[:-2, None]) / np.diff(edges)[:-1, None]
    fall = (edges[2:, None] - np.fft.rfftfreq(512, 1 / 16000)[None]) / np.diff(edges)[1:, None]
    return np.log10(power @ np.clip(np.minimum(rise, fall), 0, None).T + 1e-6)[:, None]


def eeg(root: Path, count: int) -> list[np.ndarray]:
    """Segments of all five sets in turn. Shape: [4097, 1, 1]."""
    with zipfile.ZipFile(root / "bonn_eeg.zip") as archive:
        names = sorted(name for name in archive.namelist() if name.lower().endswith(".txt"))
        chosen = [names[place * len(names) // count] for place in range(count)]
        return [np.array(archive.read(name).split(), float)[:, None, None] for name in chosen]


def ecg(root: Path, count: int) -> list[np.ndarray]:
    """Two leads: sums of the up and down crossings, smoothed over 9 samples, less a drift. Shape: [1101, 1, 2].

    The crossings were not of fixed levels, so the sums drift; the mean over 201 samples is taken off.
    """
    spikes = scipy.io.loadmat(root / "qtdb" / "QTDB_train.mat")["x"].astype(float)
    leads = np.cumsum(spikes[..., 0::2] - spikes[..., 1::2], axis=1)
    smooth, drift = (
        np.lib.stride_tricks.sliding_window_view(leads, n, axis=1).mean(axis=-1) for n in (9, 201)
    )
    smooth = smooth[:, 96:-96] - drift
    return [smooth[place * len(smooth) // count][:, None] for place in range(count)]


FAMILIES: dict[str, Callable[[Path, int], list[np.ndarray]]] = {
    "speech": speech,
    "speech, log-mel": lambda root, count: [log_mel(clip) for clip in speech(root, count)],
    "EEG": eeg,
    "ECG, rebuilt": ecg,
}


def quality(root: Path, count: int) -> tuple[list[bench.Row], list[bench.Goal]]:
    rows: list[bench.Row] = []
    small: float | None = None
    for family, read in FAMILIES.items():
        try:
            recordings = read(root, count)
        except (ImportError, OSError) as error:
            print(f"{family} left out: {error}")
            continue
        scaling = Scaling.centre(np.concatenate(recordings))
        signals = [scaling.apply(x) for x in recordings]
        if family == "speech, log-mel":
            pairs = [(measure(TAE(th0=0.02), x), measure(StepForward(threshold=0.02), x)) for x in signals]
            small = statistics.mean((a.snr or 0.0) - (b.snr or 0.0) for a, b in pairs)
        for rate in RATES:
            reached = {name: [_snr(encoder, x, rate) for x in signals] for name, encoder in QUALITY.items()}
            rows += _rows(f"{family}, rate {rate:g}", reached)
        best = {name: [_best(encoder, x, RATES[-1]) for x in signals] for name, encoder in QUALITY.items()}
        rows += _rows(f"{family}, rate {RATES[-1]:g} at most", best)
    goals = [bench.Goal("log-mel at a threshold of .02: SNR of TAE over step-forward, dB", small, 3)]
    return rows, goals


def _snr(encoder: EncoderBase, x: np.ndarray, rate: float) -> float | None:
    try:
        return tune(encoder, x, rate=rate, tolerance=0.05).snr
    except DataError:
        return None


def _best(encoder: EncoderBase, x: np.ndarray, rate: float) -> float | None:
    """The highest SNR of 60 thresholds, of those that spike at this rate or less."""
    field, low, high = encoder.dial(x)
    values = np.geomspace(max(low, high / 1e3), high, 60).tolist()
    found = [measure(with_options(encoder, **{field: value}), x) for value in values]
    return max((one.snr for one in found if one.snr is not None and one.rate <= rate), default=None)


def _rows(what: str, reached: dict[str, list[float | None]]) -> list[bench.Row]:
    base = reached["step_forward"]
    return [{"what": f"{what}: {name}", **_summary(values, base)} for name, values in reached.items()]


def _summary(values: list[float | None], base: list[float | None]) -> bench.Row:
    """Mean and deviation of what was reached, and of the difference to step-forward on the same recordings."""
    found = [value for value in values if value is not None]
    differences = [a - b for a, b in zip(values, base, strict=True) if a is not None and b is not None]
    row: bench.Row = {"recordings": len(found)}
    for column, numbers in (("SNR dB", found), ("over SF dB", differences)):
        row[column] = statistics.mean(numbers) if numbers else None
        row[f"{column}, deviation"] = statistics.stdev(numbers) if len(numbers) > 1 else None
    row["better than SF"] = sum(difference > 0 for difference in differences)
    return row


def main() -> None:
    parser = bench.parser("Signals to spikes: speed, and SNR at equal rate on real signals.", rounds=7)
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument(
        "--quality", action="store_true", help="SNR on recordings in RHEOBASE_DATA instead of speed"
    )
    parser.add_argument("--recordings", type=int, default=20, help="recordings of each kind")
    options = parser.parse_args()
    if not options.quality:
        rows, goals = speed(options.channels, options.rounds)
    elif root := os.environ.get("RHEOBASE_DATA"):
        rows, goals = quality(Path(root), options.recordings)
    else:
        parser.error("--quality needs RHEOBASE_DATA, the folder of the recordings")
    bench.finish("encoders", rows, goals, options)


if __name__ == "__main__":
    main()
