"""Several encoders on one signal, at one rate or one SNR."""

from dataclasses import dataclass

from numpy.typing import ArrayLike

from rheobase.errors import DataError, RecipeError
from rheobase.signals.build import ENCODERS, create_encoder
from rheobase.signals.encoder import EncoderBase, as_samples
from rheobase.signals.tune import Measured, measure, tune

COMPARED = tuple(name for name in ENCODERS if name != "direct")  # which has no spikes
TOLERANCE = 0.05


@dataclass(frozen=True)
class Entry:
    """What an encoder reached; `missed` says why it did not meet the target."""

    name: str
    found: Measured | None
    missed: str = ""


def compare(x: ArrayLike, *, snr: float | None = None, rate: float | None = None) -> list[Entry]:
    """Every encoder with spikes, tuned to the target where it has a threshold and as it is where not.

    Shape: x [L, N, C], best scaled to [-1, 1].
    """
    samples = as_samples(x)
    return [_entry(create_encoder(name), samples, snr, rate) for name in COMPARED]


def has_dial(encoder: EncoderBase, x: ArrayLike) -> bool:
    """Whether there is a threshold to tune."""
    try:
        encoder.dial(as_samples(x))
    except RecipeError:
        return False
    return True


def _entry(encoder: EncoderBase, x: ArrayLike, snr: float | None, rate: float | None) -> Entry:
    if not has_dial(encoder, x):
        return Entry(encoder.name, measure(encoder, x))
    try:
        return Entry(encoder.name, tune(encoder, x, snr=snr, rate=rate, tolerance=TOLERANCE))
    except DataError as error:
        return Entry(encoder.name, None, str(error))
