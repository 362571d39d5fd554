"""The parameter of an encoder that meets a signal-to-noise ratio or a spike rate."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from rheobase.errors import DataError, RecipeError
from rheobase.signals.build import with_options
from rheobase.signals.encoder import EncoderBase, as_samples
from rheobase.signals.quality import snr as snr_of
from rheobase.signals.quality import spike_rate

GRID, HALVINGS = 41, 14  # grid steps of a factor 1.33; the last interval to 2e-5 of its value


@dataclass(frozen=True)
class Measured:
    """An encoder on a signal; `snr` in dB, None where the code cannot be decoded.

    `rate` is spikes a step and line; `per_sample` spikes a sample, which is the same where a sample takes one step.
    """

    encoder: EncoderBase
    rate: float
    per_sample: float
    snr: float | None


def measure(encoder: EncoderBase, x: ArrayLike) -> Measured:
    """Encode and, where that can be done, decode. Shape: x [L, N, C]."""
    samples = as_samples(x)
    spikes, side = encoder.encode(samples)
    snr = snr_of(samples, encoder.decode(spikes, **side)) if encoder.invertible else None
    return Measured(encoder, spike_rate(spikes), np.count_nonzero(spikes) / max(samples.size, 1), snr)


def tune(
    encoder: EncoderBase,
    x: ArrayLike,
    *,
    snr: float | None = None,
    rate: float | None = None,
    tolerance: float = 0.02,
) -> Measured:
    """The encoder with the largest threshold (the fewest spikes) that meets one target on `x` [L, N, C].

    `snr`: at least so many dB. `rate`: that rate, to `tolerance` of it. The threshold comes down from above on a
    logarithmic grid until the target is passed, then the last interval is halved; so neither measure has to be
    monotone (the SNR of a fixed threshold is not).

    Raises:
        RecipeError: not exactly one target; the encoder has no threshold, or for `snr` cannot be decoded.
        DataError: the target cannot be met on `x`; the message says what comes nearest.
    """
    if (snr is None) == (rate is None):
        raise RecipeError("tune() takes one target: snr=... (dB) or rate=... (spikes a sample)")
    if rate is not None and not 0 < rate <= 1:
        raise RecipeError(f"a rate is spikes a sample, above 0 and at most 1; got {rate:g}")
    if snr is not None and not encoder.invertible:
        raise RecipeError(f"{encoder.name} as configured cannot be decoded and has no SNR; tune its rate")
    samples = as_samples(x)
    if samples.size == 0:
        raise DataError("tune() needs samples; got none")
    field, low, high = encoder.dial(samples)

    def at(value: float) -> Measured:
        return measure(with_options(encoder, **{field: value}), samples)

    def excess(found: Measured) -> float:
        """By how much the target is passed."""
        if rate is not None:
            return found.rate - rate
        return (-math.inf if found.snr is None else found.snr) - (snr or 0.0)

    seen = _search(at, excess, low, high)
    if rate is not None:
        best = min(seen, key=lambda found: abs(excess(found)))
        met = abs(excess(best)) <= tolerance * rate
    else:
        enough = [found for found in seen if excess(found) >= 0]
        best = min(enough, key=lambda found: found.rate) if enough else max(seen, key=excess)
        met = bool(enough)
    if not met:
        target = f"spike at a rate of {rate:g}" if rate is not None else f"reach {snr:g} dB"
        nearest = f"a rate of {best.rate:.4g}" + ("" if best.snr is None else f" and {best.snr:.2f} dB")
        value = getattr(best.encoder, field)
        raise DataError(
            f"{encoder.name} cannot {target} on this signal; nearest: {nearest} at {field} = {value:.4g}"
        )
    return best


def _search(
    at: Callable[[float], Measured], excess: Callable[[Measured], float], low: float, high: float
) -> list[Measured]:
    """All that was tried: the grid from `high` down to the first pass, then halves of the last interval."""
    values = np.geomspace(high, low, GRID).tolist()
    seen: list[Measured] = []
    for value in values:
        seen.append(at(value))
        if excess(seen[-1]) >= 0:
            break
    if len(seen) == 1 or excess(seen[-1]) < 0:
        return seen
    fails, passes = values[len(seen) - 2], values[len(seen) - 1]
    for _ in range(HALVINGS):
        middle = math.sqrt(fails * passes)
        if not passes < middle < fails:
            break
        seen.append(at(middle))
        if excess(seen[-1]) >= 0:
            passes = middle
        else:
            fails = middle
    return seen
