"""`harden`: fold batch-norm and scales, and put thresholds, biases and membranes on the integer lattice.

A weighted layer with integer weights `w` of unit `u_c`, batch-norm `y = g_c*x + h_c`, input unit `s_in` and a neuron with input
gain `q` receives the current

    I_c = U_c * a_c + B_c,    a_c = sum w*x (an integer),    U_c = q*g_c*u_c*s_in,    B_c = q*h_c

Dividing the neuron's equation by `|U_c|` and multiplying by `2^F` leaves integers:

    v' = v * 2^F/|U_c|,   theta_c = ceil(theta * 2^F/|U_c|),   b_c = round(B_c * 2^F/|U_c|),   current a_c << F

a negative `U_c` turns the sign of the row. A neuron with a rounded membrane has one unit for all channels, as its levels are
those of all channels; there `U_c` becomes an integer factor, which may be negative.

The model's graph is followed from the input on. Every value on the way is integers that stand for floats by channel,

    float = unit * integer + offset

Batch-norm and average pooling change what the integers stand for. Spikes and counts of one unit are added as they are; any other
values that are added become currents in one unit for all channels (`LatticeRescale`), and so does a current that a layer with
weights reads, or a neuron where rows cannot be turned for it alone. How units, thresholds and widths are chosen: `fitting`.

Source: the folding is standard practice for integer networks.
"""

import operator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, fx, nn

from rheobase.compression.accounting import stored_bits
from rheobase.compression.fitting import (
    INT32_MAX,
    SUM_LIMIT,
    finest_sum,
    fit,
    fit_rescale,
    fit_rounded,
    sum_fraction,
)
from rheobase.compression.graph import name_of, trace
from rheobase.compression.lattice import (
    EXACT,
    Hardened,
    IntegerWeight,
    LatticeAdd,
    LatticeConv2d,
    LatticeFlatten,
    LatticeLinear,
    LatticeModule,
    LatticeNeuron,
    LatticeOrPool,
    LatticeReadout,
    LatticeSumPool,
    Sum,
    rescaled,
)
from rheobase.compression.quantise import latent_weight, quantisers
from rheobase.compression.quantisers import Quantiser
from rheobase.errors import LatticeError
from rheobase.layers import (
    AvgPool2d,
    BatchNorm2d,
    Conv2d,
    Flatten,
    GlobalAvgPool2d,
    InputUnit,
    Linear,
    MaxPool2d,
    PadShortcut,
)
from rheobase.models import SpikingModel
from rheobase.neurons import Neuron, Recurrent
from rheobase.program.weight import BITS

INPUT_MAX = 255  # event counts arrive as uint8
ADDITIONS = (operator.add, operator.iadd, torch.add)


@dataclass(eq=False)
class _Weighted:
    """A layer with weights, whose rows may still be turned and shifted by the one neuron that reads them."""

    name: str
    values: Tensor
    quantiser: Quantiser | None  # None: weights of 0 and 1
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    groups: int = 1
    shift: int = 0
    wide: bool = False

    def module(self) -> LatticeModule:
        """The layer as it stands."""
        values = self.values.float()
        weight = (
            _stored(self.name, values, self.quantiser) if self.quantiser else IntegerWeight(values, 1, 1, 0)
        )
        if values.dim() == 2:
            return LatticeLinear(weight, self.shift, wide=self.wide)
        return LatticeConv2d(weight, self.stride, self.padding, self.shift, self.groups, wide=self.wide)


@dataclass(eq=False)
class _Value:
    """Integers in the hardened graph that stand for `unit * integer + offset`.

    Shape: `unit`, `offset`, `low` and `high` (the range of the integers) are float64 `[C]`.
    """

    place: int  # of the module that gives them; -1: the input
    shape: tuple[int, ...]  # without time and batch
    events: bool  # never negative and no current
    unit: Tensor
    offset: Tensor
    low: Tensor
    high: Tensor
    rows: _Weighted | None = None  # where they come from, if nobody else reads them

    @property
    def magnitude(self) -> Tensor:
        """Largest |integer| of each channel."""
        return torch.maximum(self.low.abs(), self.high.abs())

    @property
    def reach(self) -> Tensor:
        """Largest |float| of each channel."""
        return self.magnitude * self.unit.abs() + self.offset.abs()

    @property
    def plain(self) -> bool:
        """Whether one positive unit without offset holds for all channels."""
        return bool((self.unit == self.unit[0]).all() and self.unit[0] > 0 and (self.offset == 0).all())


@torch.no_grad()
def harden(model: SpikingModel) -> Hardened:
    """Hardened copy of a quantised model; the model itself is left as it is.

    Shape:
        the hardened model takes `[T, N, C, H, W]` whole numbers 0..255 and gives integer logits `[T, N, K]`

    Raises:
        LatticeError: a layer has float weights, or is of a kind the lattice does not hold (ternary spikes, maximum pooling of
            currents, ...); the message names layer and reason.
    """
    builder = _Builder(model)
    values: dict[fx.Node, _Value] = {}
    for node in trace(model).nodes:
        if node.op == "output":
            return builder.finish(values[node.args[0]])
        if node.op == "placeholder":
            value = builder.input()
        else:
            inputs = [values[each] for each in node.args if isinstance(each, fx.Node)]
            if node.kwargs or len(inputs) != len(node.args):
                raise LatticeError(f"{name_of(node)!r} takes more than tensors: {node.args}, {node.kwargs}")
            if node.op == "call_module" and len(inputs) == 1:
                value = builder.layer(str(node.target), *inputs)
            elif node.op == "call_function" and node.target in ADDITIONS and len(inputs) == 2:
                value = builder.add(name_of(node), *inputs)
            else:
                raise LatticeError(
                    f"operation {name_of(node)!r} computes outside a layer, and is no addition of two tensors: it cannot be put "
                    "on the integer lattice"
                )
        values[node] = value if len(node.users) == 1 else replace(value, rows=None)
    raise LatticeError("the model returns nothing")


class _Builder:
    """The hardened graph so far: each method adds what one layer becomes, and says what its integers stand for."""

    def __init__(self, model: SpikingModel) -> None:
        self.layers = dict(model.named_modules())
        self.quantisers = quantisers(model)
        self.finest = finest_sum(model.neurons().values())
        self.input_shape = (model.config.in_channels, *model.config.input_size)
        self.nodes: list[tuple[str, LatticeModule | _Weighted, tuple[int, ...]]] = []
        self.sums: dict[str, Sum] = {}
        self.brought: dict[tuple[Any, ...], _Value] = {}

    def put(self, name: str, module: LatticeModule | _Weighted, *inputs: _Value) -> int:
        """Add a module that reads `inputs`; return its place."""
        self.nodes.append((name, module, tuple(value.place for value in inputs)))
        return len(self.nodes) - 1

    def input(self) -> _Value:
        """Frames of counts."""
        one = torch.ones(self.input_shape[0], dtype=torch.float64)
        return _Value(-1, self.input_shape, True, one, one * 0, one * 0, one * INPUT_MAX)

    def layer(self, name: str, x: _Value) -> _Value:
        """What a layer makes of `x`."""
        layer: Any = self.layers[name]
        if isinstance(layer, Conv2d | Linear):
            return self.weighted(name, layer, x)
        if isinstance(layer, PadShortcut):
            stride = (layer.stride, layer.stride)
            return self.sum(_Weighted(name, layer.weight, None, stride), torch.ones(len(layer.weight)), x, 1)
        if isinstance(layer, InputUnit):
            return replace(x, unit=x.unit * layer.unit, offset=x.offset * layer.unit)
        if isinstance(layer, BatchNorm2d):
            return self.batch_norm(name, layer, x)
        if isinstance(layer, Neuron) and not isinstance(layer, Recurrent):
            return self.neuron(name, layer, x)
        if isinstance(layer, AvgPool2d):
            return self.average(name, _plain_pool(name, layer), x)
        if isinstance(layer, GlobalAvgPool2d):
            return self.average(name, (x.shape[1], x.shape[2]), x)
        if isinstance(layer, MaxPool2d):
            return self.maximum(name, layer, x)
        if isinstance(layer, Flatten):
            places = x.shape[1] * x.shape[2]
            each = {
                key: getattr(x, key).repeat_interleave(places) for key in ("unit", "offset", "low", "high")
            }
            place = self.put(name, LatticeFlatten(), x)
            return replace(x, place=place, shape=(x.shape[0] * places,), rows=None, **each)
        if isinstance(layer, nn.Identity):
            return x
        raise LatticeError(f"layer {name!r} ({type(layer).__name__}) cannot be put on the integer lattice")

    def weighted(self, name: str, layer: nn.Conv2d | nn.Linear, x: _Value) -> _Value:
        """Sums of integer weights: their unit is that of the weights times that of `x`."""
        if name not in self.quantisers:
            raise LatticeError(
                f"layer {name!r} has float weights: call quantise_ with edge_bits=8 before harden"
            )
        quantiser = self.quantisers[name]
        values, unit = quantiser.integers(latent_weight(layer))
        rows = _Weighted(name, values.clone(), quantiser)
        if isinstance(layer, nn.Conv2d):
            if layer.dilation != (1, 1) or isinstance(layer.padding, str) or layer.padding_mode != "zeros":
                raise LatticeError(
                    f"layer {name!r}: only zero-padded convolutions with dilation=1 and padding in numbers can be hardened"
                )
            (sh, sw), (ph, pw) = layer.stride, layer.padding
            rows = replace(rows, stride=(sh, sw), padding=(ph, pw), groups=layer.groups)
        found = self.sum(rows, unit, x, quantiser.step * quantiser.levels + abs(quantiser.offset))
        if layer.bias is not None:
            found.offset = layer.bias.double()
        return found

    def sum(self, rows: _Weighted, unit: Tensor, x: _Value, widest: int) -> _Value:
        """Add weights whose codes decode to at most `widest`, fed by events, or by a current fine enough for 31 bits."""
        flat = rows.values.double().flatten(2) if rows.values.dim() > 2 else rows.values.double()[..., None]
        limit = INT32_MAX / max(float(flat.abs().sum((1, 2)).max()), widest)
        if not x.plain or (not x.events and float(x.magnitude.max()) > limit):
            x = self.in_one_unit(rows.name, [x], max(limit - 1, 1))[0]
        out = len(flat)
        # [C] to [Cout, Cin/G, 1]: what each output reads
        low, high = (
            end.reshape(rows.groups, 1, -1).expand(-1, out // rows.groups, -1).reshape(out, -1, 1)
            for end in (x.low.clamp(max=0), x.high.clamp(min=0))
        )
        positive, negative = flat.clamp(min=0), flat.clamp(max=0)
        least = (positive * low + negative * high).sum((1, 2))
        most = (positive * high + negative * low).sum((1, 2))
        rows.wide = float(torch.maximum(-least, most).max()) >= EXACT
        shape: tuple[int, ...] = (out,)
        if rows.values.dim() > 2:
            sizes = zip(x.shape[1:], rows.padding, rows.values.shape[2:], rows.stride, strict=True)
            shape = (out, *((n + 2 * p - k) // s + 1 for n, p, k, s in sizes))
        units = unit.flatten().double().expand(out) * x.unit[0]
        place = self.put(rows.name, rows, x)
        turnable = rows if x.events and rows.quantiser is not None else None
        return _Value(place, shape, False, units, units * 0, least, most, turnable)

    def batch_norm(self, name: str, layer: nn.BatchNorm2d, x: _Value) -> _Value:
        """The same integers stand for something else."""
        if layer.running_mean is None or layer.running_var is None:
            raise LatticeError(f"batch-norm {name!r} must keep running statistics to be folded")
        gain = 1 / torch.sqrt(layer.running_var.double() + layer.eps)
        shift = torch.zeros_like(gain)
        if layer.affine:
            gain, shift = gain * layer.weight.double(), layer.bias.double()
        offset = (x.offset - layer.running_mean.double()) * gain + shift
        return replace(x, unit=x.unit * gain, offset=offset)

    def neuron(self, name: str, layer: Neuron, x: _Value) -> _Value:
        """Spikes; `sums` keeps what the neuron's integers stand for."""
        if layer.config.ternary:
            raise LatticeError(
                f"neuron {name!r} fires -1 too (ternary), and the program's events are not negative: train with ternary=False"
            )
        rounded, shift = layer.config.membrane is not None, 0
        if x.events or float(x.magnitude.max()) >= EXACT or (x.rows is None and not rounded):
            x = self.in_one_unit(name, [x])[0]
        gain = float(layer.gain())
        unit, offset = x.unit * gain, x.offset * gain
        theta = torch.as_tensor(layer.threshold(), dtype=torch.float64).expand_as(unit)
        lattice: LatticeNeuron
        if rounded:
            lattice = fit_rounded(name, x.magnitude, unit, offset, theta, layer)
        elif x.rows is not None:
            unit = _turn(x.rows, unit, theta)
            reset = None if layer.v_reset is None else torch.full_like(unit, layer.v_reset)
            lattice, shift = fit(name, x.magnitude, theta / unit, offset / unit, reset, unit, layer)
            x.rows.shift = shift
        else:
            reset = None if layer.v_reset is None else torch.full_like(unit, layer.v_reset)
            lattice, _ = fit(name, x.magnitude, theta / unit, offset / unit, reset, unit, layer, finest=0)
        self.sums[name] = Sum(unit, offset, shift)
        one = torch.ones_like(unit)
        return _Value(self.put(name, lattice, x), x.shape, True, one, one * 0, one * 0, one)

    def average(self, name: str, kernel: tuple[int, int], x: _Value) -> _Value:
        """Sums of windows; their area goes into the unit."""
        area = kernel[0] * kernel[1]
        reach = float(x.magnitude.max()) * area
        if reach > INT32_MAX:
            x = self.in_one_unit(name, [x], INT32_MAX / area)[0]
        pool = LatticeSumPool(kernel, wide=reach >= EXACT)
        shape = (x.shape[0], x.shape[1] // kernel[0], x.shape[2] // kernel[1])
        low, high = x.low.clamp(max=0) * area, x.high.clamp(min=0) * area
        place = self.put(name, pool, x)
        return replace(x, place=place, shape=shape, unit=x.unit / area, low=low, high=high, rows=None)

    def maximum(self, name: str, layer: nn.MaxPool2d, x: _Value) -> _Value:
        """Largest events of windows."""
        kernel, stride, padding = (_pair(n) for n in (layer.kernel_size, layer.stride, layer.padding))
        if not (x.events and x.plain):
            raise LatticeError(
                f"layer {name!r} takes the maximum of currents: put it behind the neuron, where it is the OR of spikes"
            )
        if _pair(layer.dilation) != (1, 1) or layer.ceil_mode or layer.return_indices:
            raise LatticeError(
                f"layer {name!r}: only maximum pooling with dilation=1 and ceil_mode=False can be hardened"
            )
        sizes = zip(x.shape[1:], padding, kernel, stride, strict=True)
        shape = (x.shape[0], *((n + 2 * p - k) // s + 1 for n, p, k, s in sizes))
        return replace(x, place=self.put(name, LatticeOrPool(kernel, stride, padding), x), shape=shape)

    def add(self, name: str, first: _Value, second: _Value) -> _Value:
        """Counts of one unit as they are; everything else as currents in one unit."""
        if first.shape != second.shape:
            raise LatticeError(
                f"{name!r} adds maps of {first.shape} and {second.shape}: both must have one shape"
            )
        events = first.events and second.events and first.plain and second.plain
        if not (events and bool(first.unit[0] == second.unit[0])):
            events = False
            first, second = self.in_one_unit(name, [first, second])
        place = self.put(name, LatticeAdd(), first, second)
        low, high = first.low + second.low, first.high + second.high
        return _Value(place, first.shape, events, first.unit, first.offset, low, high)

    def in_one_unit(self, name: str, values: list[_Value], limit: float = SUM_LIMIT) -> list[_Value]:
        """`values` as currents in one power of two, without offsets, so fine that their sum stays below `limit`."""
        reach = float(sum(value.reach for value in values).max())  # type: ignore[union-attr]
        fraction = sum_fraction(reach, min(limit, SUM_LIMIT), self.finest)
        return [self.bring(name, value, fraction) for value in values]

    def bring(self, name: str, x: _Value, fraction: int) -> _Value:
        """`x` as a current in the unit `2^-fraction`, once for all that read it so."""
        unit = torch.full_like(x.unit, 2.0**-fraction)
        if not x.events and x.plain and bool(x.unit[0] == unit[0]):
            return x
        key = (x.place, fraction, tuple(x.unit.tolist()), tuple(x.offset.tolist()))
        if key not in self.brought:
            rescale = fit_rescale(x.magnitude, x.unit, x.offset, fraction)
            ends = [
                rescaled(end, rescale.gain, rescale.gain_shift, 0) + rescale.bias for end in (x.low, x.high)
            ]
            source = name if x.place < 0 else self.nodes[x.place][0]
            place = self.put(f"{source}.rescale", rescale, x)
            low, high = torch.minimum(*ends), torch.maximum(*ends)
            self.brought[key] = _Value(place, x.shape, False, unit, unit * 0, low, high)
        return self.brought[key]

    def finish(self, x: _Value) -> Hardened:
        """The graph, closed by a readout, and the unit of its logits."""
        name = self.nodes[x.place][0] if self.nodes else ""
        if x.events or len(x.shape) != 1:
            raise LatticeError(
                "the model must end with a linear layer, whose outputs become the integer logits"
            )
        unit = float(x.unit[0])
        if not bool((x.unit == unit).all()) or unit <= 0:
            raise LatticeError(
                f"layer {name!r} gives the logits: quantise it per tensor, so that all classes share one unit"
            )
        bias = torch.round(x.offset / unit)
        bound = float((x.magnitude + bias.abs()).max())
        if bound >= EXACT:
            raise LatticeError(
                f"logits of {name!r} may reach {bound:.0f}, beyond exact float32 (2^24): use fewer weight bits"
            )
        self.put(f"{name}.readout", LatticeReadout(bias.float()), x)
        nodes = [(n, m.module() if isinstance(m, _Weighted) else m, inputs) for n, m, inputs in self.nodes]
        return Hardened(nodes, self.input_shape, unit, self.sums)


def _turn(rows: _Weighted, unit: Tensor, theta: Tensor) -> Tensor:
    """Turn the sign of rows with a negative unit; return the units' magnitudes."""
    sign = torch.where(unit < 0, -1.0, 1.0)
    unit = unit.abs()
    if not bool((unit > theta * 2.0**-20).all()):
        dead = int(torch.argmin(unit / theta))
        raise LatticeError(
            f"channel {dead} of {rows.name!r} has a batch-norm gain of almost 0: its threshold in units of the weights "
            "is beyond 2^20. Train with less weight decay on the batch-norm, or prune the channel"
        )
    rows.values *= sign.float().reshape(-1, *[1] * (rows.values.dim() - 1))
    return unit


def _stored(name: str, values: Tensor, quantiser: Quantiser) -> IntegerWeight:
    """Integer weights on the quantiser's own codes, on their mirror image, or on signed codes of the next width.

    The last two are for rows whose sign a negative batch-norm gain has turned, where -n has no +n beside it (LSQ).
    """
    bits, step = stored_bits(quantiser.config.bits), quantiser.step
    top = step * (quantiser.levels - 1)
    offsets = (quantiser.offset, -quantiser.offset - top)
    lattices = [(bits, step, offset) for offset in offsets]
    lattices += [(width, step, -step * 2 ** (width - 1)) for width in BITS if width >= bits and step == 1]
    low, high = float(values.min()), float(values.max())
    for width, step, offset in lattices:
        if offset <= low and high <= offset + step * (2**width - 1):
            return IntegerWeight(values, width, step, offset)
    raise LatticeError(
        f"layer {name!r}: batch-norm turns the sign of some channels and not of others, and its weights {low:g}..{high:g} "
        "then need 9 bits: quantise it with symmetric levels (LSQConfig(symmetric=True)), or with fewer bits"
    )


def _pair(value: int | tuple[int, ...]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def _plain_pool(name: str, layer: nn.AvgPool2d) -> tuple[int, int]:
    kernel = _pair(layer.kernel_size)
    plain = _pair(layer.stride) == kernel and _pair(layer.padding) == (0, 0)
    if not plain or layer.ceil_mode or layer.divisor_override:
        raise LatticeError(
            f"layer {name!r}: only average pooling with stride = kernel and no padding becomes a sum pool"
        )
    return kernel
