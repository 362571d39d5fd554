"""The hardened graph as it grows."""

from typing import Any

import torch
from torch import Tensor

from rheobase.compression.fitting import SUM_LIMIT, finest_sum, fit_rescale, sum_fraction
from rheobase.compression.hardening.value import Rows, Value
from rheobase.compression.lattice import (
    EXACT,
    Hardened,
    LatticeAdd,
    LatticeModule,
    LatticeReadout,
    LatticeRescale,
    Sum,
    shifted_product,
)
from rheobase.compression.quantise import quantisers
from rheobase.errors import LatticeError
from rheobase.models import SpikingModel
from rheobase.program.ir import InputType


class Builder:
    """The hardened graph so far, and how values come to one unit."""

    def __init__(self, model: SpikingModel, input_type: InputType) -> None:
        self.quantisers = quantisers(model)
        self.finest = finest_sum(model.neurons().values())
        self.input_shape = (model.config.in_channels, *model.config.input_size)
        self.input_type = input_type
        self.nodes: list[tuple[str, LatticeModule | Rows, tuple[int, ...]]] = []
        self.sums: dict[str, Sum] = {}
        self.brought: dict[tuple[Any, ...], Value] = {}

    def put(self, name: str, module: LatticeModule | Rows, *inputs: Value) -> int:
        """Add a module that reads `inputs`; return its place."""
        self.nodes.append((name, module, tuple(value.place for value in inputs)))
        return len(self.nodes) - 1

    def input(self) -> Value:
        """Frames of counts."""
        one = torch.ones(self.input_shape[0], dtype=torch.float64)
        ends = torch.iinfo(getattr(torch, self.input_type))
        return Value(-1, self.input_shape, True, one, one * 0, one * ends.min, one * ends.max)

    def add(self, name: str, first: Value, second: Value) -> Value:
        """Counts of one unit as they are; everything else as currents in one unit."""
        if first.shape != second.shape:
            raise LatticeError(
                f"{name!r} adds maps of {first.shape} and {second.shape}: both must have one shape"
            )
        events = (
            first.events and second.events and first.plain and second.plain and first.signed == second.signed
        )
        if not (events and bool(first.unit[0] == second.unit[0])):
            events = False
            first, second = self.in_one_unit(name, [first, second])
        place = self.put(name, LatticeAdd(), first, second)
        low, high = first.low + second.low, first.high + second.high
        return Value(place, first.shape, events, first.unit, first.offset, low, high)

    def in_one_unit(self, name: str, values: list[Value], limit: float = SUM_LIMIT) -> list[Value]:
        """`values` as currents in one power of two, without offsets, so fine that their sum stays below `limit`."""
        reach = float(sum(value.reach for value in values).max())  # type: ignore[union-attr]
        fraction = sum_fraction(reach, min(limit, SUM_LIMIT), self.finest)
        return [self.bring(name, value, fraction) for value in values]

    def bring(self, name: str, x: Value, fraction: int) -> Value:
        """`x` as a current in the unit `2^-fraction`, once for all that read it so."""
        unit = torch.full_like(x.unit, 2.0**-fraction)
        if not x.events and x.plain and bool(x.unit[0] == unit[0]):
            return x
        key = (x.place, fraction, tuple(x.unit.tolist()), tuple(x.offset.tolist()))
        if key not in self.brought:
            source = name if x.place < 0 else self.nodes[x.place][0]
            self.brought[key] = self.rescaled(f"{source}.rescale", x, x.unit, x.offset, fraction)
        return self.brought[key]

    def rescaled(self, name: str, x: Value, unit: Tensor, offset: Tensor, fraction: int) -> Value:
        """Integers that stand for `unit * integer + offset` as a current in the unit `2^-fraction`.

        Shape: `unit` and `offset` are float64 `[C]`, or `[T, C]` where they change from step to step.
        """
        module = fit_rescale(x.magnitude, unit, offset, fraction)
        gain, bias = (each.reshape(-1, x.shape[0]) for each in (module.gain, module.bias))
        ends = torch.cat([shifted_product(end, gain, module.gain_shift) + bias for end in (x.low, x.high)])
        one = torch.full_like(x.unit, 2.0**-fraction)
        return Value(self.put(name, module, x), x.shape, False, one, one * 0, ends.amin(0), ends.amax(0))

    def shifted(self, name: str, x: Value, shift: int) -> Value:
        """Events, or integers of any units, as a current `shift` bits higher."""
        scale = torch.full_like(x.unit, 2.0**shift)
        place = self.put(f"{name}.current", LatticeRescale(scale.float(), 0 * scale.float(), 0), x)
        low, high, unit = x.low * scale, x.high * scale, x.unit / scale
        return Value(place, x.shape, False, unit, x.offset, low, high)

    def finish(self, x: Value) -> Hardened:
        """The graph, closed by a readout, and the unit of its logits: a common one where classes have their own, coarser
        where float32 would not hold them.
        """
        name = self.nodes[x.place][0] if self.nodes else ""
        if x.events or len(x.shape) != 1:
            raise LatticeError(
                "the model must end with a linear layer, whose outputs become the integer logits"
            )
        unit = float(x.unit[0])
        one = bool((x.unit == unit).all()) and unit > 0
        if not one or float((x.magnitude + (x.offset / unit).abs()).max()) >= EXACT - 1:
            x = self.in_one_unit(name, [x])[0]
            unit = float(x.unit[0])
        bias = torch.round(x.offset / unit)
        self.put(f"{name}.readout", LatticeReadout(bias.float()), x)
        nodes = [(n, m.module() if isinstance(m, Rows) else m, inputs) for n, m, inputs in self.nodes]
        return Hardened(nodes, self.input_shape, unit, self.sums, self.input_type)
