"""Data sets of short audio clips in an archive: each clip as long as all others, behind a front end, cached."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rheobase.datasets.archive import Archive
from rheobase.datasets.cache import cached
from rheobase.datasets.config import DataConfig
from rheobase.datasets.sequences import ANALOG, Origin, SignalPool
from rheobase.errors import DataError
from rheobase.signals import Direct, read_signal
from rheobase.signals.frontends import FrontEnd, LogMel

BATCH = 64


def front_of(rate: int) -> LogMel:
    """The front end where none is given: log-mel, 40 bands, 25 ms every 10 ms."""
    return LogMel(sampling=rate, bands=40, window=0.025, hop=0.010)


def clip_pool(
    config: DataConfig,
    archive: Archive,
    names: Sequence[str],
    labels: NDArray[np.int64],
    classes: tuple[str, ...],
    *,
    rate: int,
    seconds: float = 1.0,
) -> SignalPool:
    """All clips of one channel at `rate` behind the front end (log-mel unless another is given).

    Raises:
        DataError: a clip cannot be read, or has another rate or several channels.
    """
    front = config.signal.front or front_of(rate)
    length = round(seconds * rate)
    key = {"raw": archive.digest(), "front": front.model_dump(mode="json")}
    arrays = cached(
        f"{config.name}/signals",
        key,
        lambda: {"signals": behind(archive, names, front, rate, length)},
        keep=config.cache,
    )
    signals = arrays["signals"]
    unit = ANALOG if isinstance(config.signal.encoder, Direct) else 1.0
    size = (signals.shape[2], 1)
    return SignalPool(
        list(names),
        labels,
        classes,
        size,
        signals,
        input_unit=unit,
        spectrogram=True,
        origin=Origin(front, rate, 1 / 32768, lambda name: one(archive, name, rate, length)),
    )


def behind(
    archive: Archive, names: Sequence[str], front: FrontEnd, rate: int, length: int
) -> NDArray[np.float32]:
    """Clips behind a front end. Shape: [N, L', C]."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for start in range(0, len(names), BATCH):
            clips = [clip(archive, name, Path(folder), rate, length) for name in names[start : start + BATCH]]
            found.append(front.apply(np.stack(clips, 1)[..., None]).swapaxes(0, 1).astype(np.float32))
    return np.concatenate(found)


def one(archive: Archive, name: str, rate: int, length: int) -> NDArray[np.float64]:
    """One clip, as `clip`, with a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        return clip(archive, name, Path(folder), rate, length)


def clip(archive: Archive, name: str, folder: Path, rate: int, length: int) -> NDArray[np.float64]:
    """A clip of `length` samples: shorter ones end in silence, longer ones are cut. Shape: [length].

    Raises:
        DataError: it cannot be read, or has another rate or several channels.
    """
    path = folder / f"clip{Path(name).suffix}"
    path.write_bytes(archive.read(name))
    try:
        signal = read_signal(path)
    except DataError as error:
        raise DataError(str(error).replace(str(path), f"{archive!r}: {name}")) from error
    if signal.rate != rate or signal.samples.shape[1] != 1:
        raise DataError(
            f"{archive!r}: {name} has {signal.samples.shape[1]} channels at {signal.rate} Hz, expected one at {rate} Hz"
        )
    samples = signal.samples[:length, 0]
    return np.pad(samples, (0, length - len(samples)))
