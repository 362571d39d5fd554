"""`lower`: a trained spike-time model on the grid.

Weights are rounded to int8, scale = max|w|/127 for each neuron; a neuron whose largest weight is below a sixteenth of its
layer's takes that sixteenth, so that thresholds stay small. A readout has one scale, or its classes could not be compared.
The ceiling of ReL-PSP's threshold loses nothing: U is whole.
"""

from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rheobase.errors import LatticeError
from rheobase.models.spike_time import SpikeTimeClassifier
from rheobase.spiketime.encoding import FirstEvent, Latency
from rheobase.spiketime.layers import Conv2d, Dropout, Linear, MinPool2d
from rheobase.spiketime.program.ir import INT32_MAX, SILENT, Encoder, Kind, Layer, Pool, Program, Readout
from rheobase.spiketime.readout import WindowEnd
from rheobase.spiketime.rel_psp import RelPsp
from rheobase.spiketime.std_ed import StdEd

TICKS = 128
LEVELS = 127
FLOOR = 1 / 16


def lower(model: SpikeTimeClassifier, *, T: int = 1, ticks: int = TICKS, name: str = "model") -> Program:
    """The integer program of a model that reads T frames; `ticks` are one unit of time (a window, for STD-ED).

    Raises:
        LatticeError: the model has a rule without a program, no end of time, inputs outside STD-ED's window, or sums that
            could pass 32 bits.
    """
    config = model.config
    shape = (config.in_channels, *config.input_size)
    modules = dict(model.features.named_children())
    rule = _rule(modules)
    kind: Kind
    if isinstance(rule, StdEd):
        kind, horizon = "std_ed", ticks
    elif rule.t_max is None:
        raise LatticeError("a program needs an end of time: give the rule t_max, e.g. 6.0, and train with it")
    else:
        kind, horizon = "rel_psp", int(ticks * rule.t_max)
    encoder = _encoder(model, modules.pop("encoder"), T, ticks, horizon, kind)
    layers: list[Layer | Pool] = []
    maps = torch.zeros(1, *shape)  # silent or not: only its shape is read
    for label, module in modules.items():
        if isinstance(module, Linear | Conv2d):
            layers.append(_layer(label, module, maps, kind, ticks, horizon))
        elif isinstance(module, MinPool2d):
            layers.append(Pool(label, tuple(maps.shape[1:]), module.kernel_size))
        elif not isinstance(module, nn.Flatten | Dropout):
            raise LatticeError(f"{label}: a {type(module).__name__} has no integer form")
        maps = maps.flatten(1) if isinstance(module, nn.Flatten) else maps
        if layers and not isinstance(module, nn.Flatten | Dropout):
            maps = torch.zeros(1, *layers[-1].shape)
            maps = maps.flatten(1) if isinstance(module, Linear) else maps
    readout = None
    if isinstance(model.head, WindowEnd):
        weight = model.head.weight.detach().double()
        scale = _positive(weight.abs().max()) / LEVELS
        readout = Readout("readout", _int8(weight / scale), model.head.form)
    program = Program(name, kind, ticks, horizon, shape, encoder, tuple(layers), readout)
    program.validate()
    return program


def _rule(modules: dict[str, nn.Module]) -> RelPsp | StdEd:
    for module in modules.values():
        if isinstance(module, Linear | Conv2d):
            rule = module.rule
            if isinstance(rule, RelPsp | StdEd):
                return rule  # that of all layers
            raise LatticeError(
                f"{rule.name} has no integer form: spikes of rel_psp and std_ed alone follow from sums"
            )
    raise LatticeError("a program needs a layer of neurons that fire; the model has none")


def _encoder(
    model: SpikeTimeClassifier, module: nn.Module, T: int, ticks: int, horizon: int, kind: Kind
) -> Encoder:
    """The encoder's times at the nearest ticks; a ReL-PSP neuron never learns of inputs after the horizon."""
    form: Literal["latency", "first_event"]
    if isinstance(module, FirstEvent):
        form, times = "first_event", torch.arange(T, dtype=torch.float64) * (module.t_in / T)
    elif isinstance(module, Latency):
        mean = torch.arange(255 * T + 1, dtype=torch.float64) / T
        unit = 1.0 if model.input is None else model.input.unit
        form, times = "latency", module((mean * unit).unsqueeze(0))
    else:
        raise LatticeError(
            f"a {type(module).__name__} has no integer form: encode with latencies or first events"
        )
    tick = (times * ticks + 0.5).floor()
    if kind == "std_ed" and bool(((tick > horizon) & tick.isfinite()).any()):
        raise LatticeError(
            "STD-ED's inputs spike within [0, 1]: train with an encoder whose t_in is at most 1"
        )
    return Encoder(form, T, tick.where(tick <= horizon, SILENT).numpy().astype(np.uint16))


def _layer(name: str, module: Any, maps: Tensor, kind: Kind, ticks: int, horizon: int) -> Layer:
    weight = module.weight.detach().double().flatten(1)
    largest = weight.abs().amax(1)
    scale = largest.clamp(min=FLOOR * _positive(weight.abs().max())) / LEVELS
    q = _int8(weight / scale.unsqueeze(1))
    if kind == "rel_psp":
        beyond = horizon * np.abs(q.astype(np.int64)).sum(1) + 1  # a threshold out of reach
        threshold = np.minimum((module.rule.v_threshold * ticks / scale).ceil().numpy(), beyond)
    else:
        threshold = (ticks / scale).round().numpy()
    threshold = np.clip(threshold, 1, INT32_MAX).astype(np.int32)
    return Layer(name, module.geometry(maps), q, threshold)


def _positive(largest: Tensor) -> float:
    """The largest weight of a layer; 1 where all are 0."""
    return float(largest) or 1.0


def _int8(x: Tensor) -> NDArray[np.int8]:
    return x.round().numpy().astype(np.int8)
