"""Delays: the same integers, later."""

from dataclasses import replace

from rheobase.compression.hardening.builder import Builder
from rheobase.compression.hardening.value import Value
from rheobase.compression.lattice import LatticeDelay
from rheobase.layers import Delays


def delays(b: Builder, name: str, layer: Delays, x: Value) -> Value:
    """Every channel once a delay. What comes before the first step is 0, so integers must stand for floats without offset."""
    if bool((x.offset != 0).any()):
        x = b.in_one_unit(name, [x])[0]
    taps = len(layer.steps)
    each = {key: getattr(x, key).repeat(taps) for key in ("unit", "offset")}
    low, high = x.low.clamp(max=0).repeat(taps), x.high.clamp(min=0).repeat(taps)
    place = b.put(name, LatticeDelay(layer.steps), x)
    return replace(
        x, place=place, shape=(taps * x.shape[0], *x.shape[1:]), rows=None, low=low, high=high, **each
    )
