"""Bytes of a model, counted in packed bits: of the program that a hardened model becomes, and by the papers' formula.

The two differ in what they count. A program folds batch-norm, scales and biases into one threshold and one bias an output
channel, packs 3 bits as 4, and pads rows of codes to whole bytes. The papers count `bits` for each quantised weight and 32
for every number that training leaves in float32, batch-norm among them, and nothing for scales:

    (sum over weights of bits + 32 * (float weights + biases + batch-norm values)) / 8        (MB = 10^6 bytes)

Source: QP-SNN (ICLR 2025) and Q-SNN (ACM MM 2024), whose printed sizes the formula reproduces (benchmarks/sizes.py).
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from math import prod

import numpy as np
from torch import nn

from rheobase.compression.quantise import quantisers, weighted_layers
from rheobase.program import Program, ranges
from rheobase.program.c99.emitter import BYTES
from rheobase.program.ir import FRAME
from rheobase.program.ops import (
    Conv2d,
    Delay,
    Linear,
    MultiThreshold,
    Neuron,
    Readout,
    Rescale,
    RoundedNeuron,
    StepRescale,
    TimeMix,
)
from rheobase.program.ops.step_rescale import COUNTER
from rheobase.program.weight import BITS, packed_bytes

LOGIT = 4  # bytes of the running sum of a class


@dataclass(frozen=True)
class Bytes:
    """Bytes of a program. Scales are part of thresholds and biases: hardening folds them in."""

    weights: int  # packed codes
    thresholds: int
    biases: int  # of neurons, of rescaled currents and of the logits
    resets: int  # of hard resets
    gains: int  # of neurons that keep rounded membranes, and of rescaled currents
    tables: int  # their levels and edges, and what mixes steps
    membranes: int  # and the values of earlier steps that are mixed, and numbers of steps
    logits: int

    @property
    def constants(self) -> int:
        """What lies in flash beside the code: `Sizes.bytes_weights` of the compiled program."""
        return self.weights + self.thresholds + self.biases + self.resets + self.gains + self.tables

    @property
    def state(self) -> int:
        """What a step leaves for the next: `Sizes.bytes_membranes` of the compiled program."""
        return self.membranes + self.logits


def stored_bits(bits: int) -> int:
    """Bits that the program gives a code of `bits` bits: 1, 2, 4 or 8, so 4 for 3.

    >>> stored_bits(3)
    4
    """
    return min(width for width in BITS if width >= bits)


def account(program: Program) -> Bytes:
    """Bytes of a program by kind, counted without compiling it."""
    found = dict.fromkeys((field.name for field in fields(Bytes)), 0)
    analysis = ranges.analyse(program)
    for op, shape, each in zip(program.ops, program.shapes(), analysis, strict=True):
        if isinstance(op, Conv2d | Linear):
            found["weights"] += op.weight.bytes
        elif isinstance(op, Neuron):
            found["thresholds"] += op.threshold.nbytes
            found["biases"] += op.bias.nbytes
            found["resets"] += op.v_reset.nbytes if isinstance(op.v_reset, np.ndarray) else 0
            found["membranes"] += op.membrane_bytes(shape)
            if isinstance(op, RoundedNeuron):
                found["gains"] += op.gain.nbytes
                found["tables"] += op.table_bytes
        elif isinstance(op, MultiThreshold):
            found["thresholds"] += op.threshold.nbytes
        elif isinstance(op, Rescale) and (
            op.wire is None or op.inputs == (FRAME,)
        ):  # a shift has no constants
            found["gains"] += op.gain.nbytes
            found["biases"] += op.bias.nbytes
            found["membranes"] += COUNTER if isinstance(op, StepRescale) else 0
        elif isinstance(op, TimeMix):
            source = op.inputs[0]
            stored = f"{program.input_type}_t" if source == FRAME else analysis[source].storage
            found["thresholds"] += op.threshold.nbytes
            found["tables"] += op.mixing.nbytes
            found["membranes"] += op.state_bytes(shape, 8 * BYTES[stored])
        elif isinstance(op, Delay):
            found["tables"] += op.delays.nbytes
            found["membranes"] += op.state_bytes(shape, 8 * BYTES[each.storage])
        elif isinstance(op, Readout):
            found["biases"] += op.bias.nbytes
            found["logits"] += prod(shape) * LOGIT
    return Bytes(**found)


def published_bytes(model: nn.Module, *, counts: Callable[[str], bool] = lambda _: True) -> float:
    """Bytes of a model by the papers' formula; layers without a quantiser count 32 bits a weight.

    Works on models without data (torch's `meta` device) too. `counts(name)` leaves parameters out: a bias that batch-norm
    makes inert, say.
    """
    bits = {
        f"{name}.parametrizations.weight.original": q.config.bits for name, q in quantisers(model).items()
    }
    scales = {
        f"{name}.parametrizations.weight.0.{each}"
        for name, q in quantisers(model).items()
        for each, _ in q.named_parameters()
    }
    total = 0
    for name, parameter in model.named_parameters():
        if name not in scales and counts(name):
            total += parameter.numel() * bits.get(name, 32)
    return total / 8


def weight_bytes(model: nn.Module) -> int:
    """Bytes of the weights of a model as a program packs them; a layer without a quantiser counts 4 bytes a weight."""
    found = quantisers(model)
    return sum(
        layer_bytes(layer, found[name].config.bits if name in found else None)
        for name, layer in weighted_layers(model).items()
    )


def layer_bytes(layer: nn.Conv2d | nn.Linear, bits: int | None) -> int:
    """Bytes of one layer's weights as a program packs them; None: float32."""
    shape = tuple(layer.weight.shape)
    return 4 * prod(shape) if bits is None else packed_bytes(shape, stored_bits(bits))
