"""Neurons: thresholds, biases and membranes on the lattice."""

from dataclasses import replace

import torch
from torch import Tensor

from rheobase.compression.fitting import Back, fit, fit_levels, fit_mix, fit_rounded
from rheobase.compression.hardening.builder import Builder
from rheobase.compression.hardening.value import Rows, Value
from rheobase.compression.lattice import EXACT, LatticeLinear, LatticeModule, Sum
from rheobase.compression.protocols import MixesTime
from rheobase.compression.quantise import latent_weight
from rheobase.errors import LatticeError
from rheobase.layers import SpikeFiring
from rheobase.neurons import Neuron, Recurrent
from rheobase.neurons.saccadic import SaccadicNeuron, folded_thresholds
from rheobase.program.ops.multi_threshold import MOST_LEVELS

COUNTED = 2.0**-12  # of a threshold: what one count must weigh for a membrane of 16 bits to count in counts


def neuron(b: Builder, name: str, layer: Neuron, x: Value) -> Value:
    """Spikes; `sums` keeps what the neuron's integers stand for.

    Turning rows turns no membrane, so bias, thresholds of either sign and levels stay where they are.
    """
    return _fired(b, name, layer, x, None)


def recurrent(b: Builder, name: str, layer: Recurrent, x: Value) -> Value:
    """As `neuron`; what comes back is brought from the unit of its own weights to that of the membranes."""
    if x.shape[1:] not in ((), (1, 1)):
        raise LatticeError(f"layer {name!r} is recurrent and takes [C, 1, 1], its input is {x.shape}")
    inner = f"{name}.recurrent"
    if inner not in b.quantisers:
        raise LatticeError(f"layer {inner!r} has float weights: call quantise_ before harden")
    quantiser = b.quantisers[inner]
    values, unit = quantiser.integers(latent_weight(layer.recurrent))
    sums = Rows(inner, values.clone(), quantiser).module()
    assert isinstance(sums, LatticeLinear), "weights of two axes"
    worth = unit.flatten().double().expand(len(values)) * float(layer.gain())
    return _fired(b, name, layer, x, Back(sums, values.double().abs().sum(1), worth))


def _fired(b: Builder, name: str, layer: Neuron, x: Value, back: Back | None) -> Value:
    if float(x.magnitude.max()) >= EXACT:
        x = b.in_one_unit(name, [x])[0]
    make = _full if layer.config.membrane is None else _rounded
    return make(b, name, layer, x, back)


def mixes_time(b: Builder, name: str, layer: MixesTime, x: Value) -> Value:
    """Spikes of thresholds on mixed steps."""
    if not x.rising:
        x = b.in_one_unit(name, [x])[0]
    mixing, thresholds = layer.mixing_matrix().detach().double(), layer.thresholds().detach().double()
    if isinstance(layer, SaccadicNeuron) and layer.config.infer == "decoupled":
        thresholds, mixing = folded_thresholds(mixing, thresholds), torch.eye(len(thresholds)).double()
    return _spikes(b, name, fit_mix(name, x.magnitude, x.unit, x.offset, mixing, thresholds), x)


def spike_firing(b: Builder, name: str, layer: SpikeFiring, x: Value) -> Value:
    """Thresholds in each channel's own unit, or in the common one of currents; the norm goes into the unit of what is fired."""
    if layer.levels > MOST_LEVELS:
        raise LatticeError(f"layer {name!r} fires up to {layer.levels}, and a program at most {MOST_LEVELS}")
    turned = x.rows is not None and x.turns and bool((x.unit != 0).all())
    if float(x.magnitude.max()) >= EXACT or not (turned or x.rising):
        x = b.in_one_unit(name, [x])[0]
    elif turned and x.rows is not None:
        x.rows.turn(x.unit)
        x = replace(x, unit=x.unit.abs())
    b.sums[name] = Sum(x.unit, x.offset, 0, 1 / layer.norm)
    place = b.put(name, fit_levels(layer.levels, x.unit, x.offset), x)
    one = torch.ones_like(x.unit)
    return Value(place, x.shape, True, one / layer.norm, one * 0, one * 0, one * layer.levels)


def _full(b: Builder, name: str, layer: Neuron, x: Value, back: Back | None) -> Value:
    """A neuron that counts in each channel's own unit, or in the common one of currents that others read too."""
    gain = float(layer.gain())
    theta = torch.as_tensor(layer.threshold(), dtype=torch.float64).expand_as(x.unit)
    own = x.rows is not None and (x.turns or x.rising)
    counts = x.events and x.rising and bool((x.unit * gain > theta * COUNTED).all())
    if not own and not counts:
        x = b.in_one_unit(name, [x])[0]
    unit, offset = x.unit * gain, x.offset * gain
    if own and x.rows is not None:
        unit = _turned(x.rows, unit, theta)
    reset = None if layer.v_reset is None else torch.full_like(unit, layer.v_reset)
    finest = {} if own or counts else {"finest": 0}
    lattice, shift = fit(
        name, x.magnitude, theta / unit, offset / unit, reset, unit, layer, back=back, **finest
    )
    b.sums[name] = Sum(unit, offset, shift)
    if own and x.rows is not None:
        x.rows.shift = shift
    elif counts:
        x = b.shifted(name, x, shift)
    return _spikes(b, name, lattice, x, layer.config.ternary)


def _rounded(b: Builder, name: str, layer: Neuron, x: Value, back: Back | None) -> Value:
    """A neuron with one unit for all channels, whose gains bring the sums to it."""
    gain = float(layer.gain())
    unit, offset = x.unit * gain, x.offset * gain
    theta = torch.as_tensor(layer.threshold(), dtype=torch.float64).expand_as(unit)
    lattice = fit_rounded(name, x.magnitude, unit, offset, theta, layer, back)
    b.sums[name] = Sum(unit, offset, 0)
    return _spikes(b, name, lattice, b.shifted(name, x, 0) if x.events else x, layer.config.ternary)


def _spikes(b: Builder, name: str, lattice: LatticeModule, x: Value, ternary: bool = False) -> Value:
    one = torch.ones_like(x.unit)
    return Value(b.put(name, lattice, x), x.shape, True, one, one * 0, -one if ternary else one * 0, one)


def _turned(rows: Rows, unit: Tensor, theta: Tensor) -> Tensor:
    """Turn the sign of rows with a negative unit; return the units' magnitudes."""
    rows.turn(unit)
    unit = unit.abs()
    if not bool((unit > theta * 2.0**-20).all()):
        dead = int(torch.argmin(unit / theta))
        raise LatticeError(
            f"channel {dead} of {rows.name!r} has a batch-norm gain of almost 0: its threshold in units of the weights "
            "is beyond 2^20. Train with less weight decay on the batch-norm, or prune the channel"
        )
    return unit
