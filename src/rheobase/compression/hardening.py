"""`harden`: fold batch-norm and scales, and put thresholds, biases and membranes on the integer lattice.

A weighted layer with integer weights `w` of unit `u_c`, batch-norm `y = g_c*x + h_c`, input unit `s_in` and a neuron with input
gain `q` receives the current

    I_c = U_c * a_c + B_c,    a_c = sum w*x (an integer),    U_c = q*g_c*u_c*s_in,    B_c = q*h_c

Dividing the neuron's equation by `|U_c|` and multiplying by `2^F` leaves integers:

    v' = v * 2^F/|U_c|,   theta_c = ceil(theta * 2^F/|U_c|),   b_c = round(B_c * 2^F/|U_c|),   current a_c << F

a negative `U_c` turns the sign of the row. A neuron with a rounded membrane has one unit for all channels, as its levels are
those of all channels; there `U_c` becomes an integer factor, which may be negative. How units, thresholds and widths are
chosen: `fitting`.

Source: the folding is standard practice for integer networks.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rheobase.compression.accounting import stored_bits
from rheobase.compression.chain import forward_chain
from rheobase.compression.fitting import fit, fit_rounded
from rheobase.compression.lattice import (
    EXACT,
    Hardened,
    IntegerWeight,
    LatticeConv2d,
    LatticeFlatten,
    LatticeLinear,
    LatticeModule,
    LatticeNeuron,
    LatticeReadout,
    LatticeSumPool,
    Sum,
)
from rheobase.compression.quantise import latent_weight, quantisers
from rheobase.compression.quantisers import Quantiser
from rheobase.errors import LatticeError
from rheobase.layers import AvgPool2d, BatchNorm2d, Conv2d, Flatten, GlobalAvgPool2d, InputUnit, Linear
from rheobase.models import SpikingModel
from rheobase.neurons import Neuron
from rheobase.program.weight import BITS

INPUT_MAX = 255  # event counts arrive as uint8


@dataclass
class _Pending:
    """A weighted layer whose output nobody has consumed yet: `U * (w * x) + B` per output channel."""

    name: str
    layer: nn.Conv2d | nn.Linear
    values: Tensor
    quantiser: Quantiser
    unit: Tensor
    offset: Tensor

    def bound(self, input_max: int) -> Tensor:
        """Largest |accumulator| of each output channel."""
        flat = self.values.flatten(1)
        return torch.maximum(flat.clamp(min=0).sum(1), -flat.clamp(max=0).sum(1)) * input_max


@torch.no_grad()
def harden(model: SpikingModel) -> Hardened:
    """Hardened copy of a quantised model; the model itself is left as it is.

    Shape:
        the hardened model takes `[T, N, C, H, W]` whole numbers 0..255 and gives integer logits `[T, N, K]`

    Raises:
        LatticeError: a layer has float weights, or is of a kind the lattice does not hold (residual additions, max pooling,
            ternary spikes, ...); the message names layer and reason.
    """
    scales = quantisers(model)
    modules = dict(model.named_modules())
    builder = _Builder(model.config.input_size)
    for name in forward_chain(model):
        layer = modules[name]
        if isinstance(layer, Conv2d | Linear):
            if name not in scales:
                raise LatticeError(
                    f"layer {name!r} has float weights: call quantise_ with edge_bits=8 before harden"
                )
            builder.weighted(name, layer, *scales[name].integers(latent_weight(layer)), scales[name])
        elif isinstance(layer, InputUnit):
            builder.input_unit = layer.unit
        elif isinstance(layer, BatchNorm2d):
            builder.batch_norm(name, layer)
        elif isinstance(layer, Neuron):
            builder.neuron(name, layer)
        elif isinstance(layer, AvgPool2d):
            builder.pool(name, _plain_pool(name, layer))
        elif isinstance(layer, GlobalAvgPool2d):
            builder.pool(name, None)
        elif isinstance(layer, Flatten):
            builder.flatten(name)
        else:
            raise LatticeError(
                f"layer {name!r} ({type(layer).__name__}) cannot be put on the integer lattice"
            )
        builder.map = _map_after(layer, builder.map)
    chain, scale = builder.finish()
    return Hardened(chain, (model.config.in_channels, *model.config.input_size), scale, builder.sums)


def _plain_pool(name: str, layer: nn.AvgPool2d) -> tuple[int, int]:
    def pair(value: int | tuple[int, int]) -> tuple[int, int]:
        return (value, value) if isinstance(value, int) else value

    kernel = pair(layer.kernel_size)
    if (
        pair(layer.stride) != kernel
        or pair(layer.padding) != (0, 0)
        or layer.ceil_mode
        or layer.divisor_override
    ):
        raise LatticeError(
            f"layer {name!r}: only average pooling with stride = kernel and no padding becomes a sum pool"
        )
    return kernel


class _Builder:
    """Consumes the layers of a chain one by one and keeps the unit and range of what flows between them."""

    def __init__(self, input_size: tuple[int, int]) -> None:
        self.chain: list[tuple[str, LatticeModule]] = []
        self.sums: dict[str, Sum] = {}
        self.pending: _Pending | None = None
        self.input_unit = 1.0
        self.input_max = INPUT_MAX
        self.map = input_size

    def weighted(
        self, name: str, layer: nn.Conv2d | nn.Linear, values: Tensor, unit: Tensor, quantiser: Quantiser
    ) -> None:
        self._expect_nothing_pending(name)
        if isinstance(layer, nn.Conv2d):
            plain = layer.groups == 1 and layer.dilation == (1, 1) and not isinstance(layer.padding, str)
            if not plain or layer.padding_mode != "zeros":
                raise LatticeError(
                    f"layer {name!r}: only zero-padded convolutions with groups=1, dilation=1 can be hardened"
                )
        rows = unit.flatten().double().expand(values.shape[0])
        bias = torch.zeros(values.shape[0]) if layer.bias is None else layer.bias
        self.pending = _Pending(name, layer, values.clone(), quantiser, rows * self.input_unit, bias.double())

    def batch_norm(self, name: str, layer: nn.BatchNorm2d) -> None:
        p = self.pending
        if p is None or layer.running_mean is None or layer.running_var is None:
            raise LatticeError(
                f"batch-norm {name!r} must follow a convolution and keep running statistics to be folded"
            )
        gain = 1 / torch.sqrt(layer.running_var.double() + layer.eps)
        shift = torch.zeros_like(gain)
        if layer.affine:
            gain, shift = gain * layer.weight.double(), layer.bias.double()
        p.unit = p.unit * gain
        p.offset = (p.offset - layer.running_mean.double()) * gain + shift

    def neuron(self, name: str, layer: Neuron) -> None:
        if (p := self.pending) is None:
            raise LatticeError(f"neuron {name!r} must follow a convolution or linear layer to be hardened")
        _plain_neuron(name, layer)
        gain = float(layer.gain())
        unit, offset = p.unit * gain, p.offset * gain
        theta = torch.as_tensor(layer.threshold(), dtype=torch.float64).expand_as(unit)
        bound = p.bound(self.input_max).double()
        lattice: LatticeNeuron
        if layer.config.membrane is not None:
            lattice, shift = fit_rounded(name, bound, unit, offset, theta, layer), 0
        else:
            lattice, shift = self._in_weight_units(name, bound, unit, offset, theta, layer)
            unit = unit.abs()  # rows of negative ones are turned
        self.sums[name] = Sum(unit, offset, shift)
        self._emit_weighted(shift)
        self.chain.append((name, lattice))
        self.input_unit, self.input_max = 1.0, 1

    def _in_weight_units(
        self,
        name: str,
        bound: Tensor,
        unit: Tensor,
        offset: Tensor,
        theta: Tensor,
        layer: Neuron,
    ) -> tuple[LatticeNeuron, int]:
        p = self.pending
        assert p is not None
        sign = torch.where(unit < 0, -1.0, 1.0)
        unit = unit.abs()
        if not bool((unit > theta * 2.0**-20).all()):
            dead = int(torch.argmin(unit / theta))
            raise LatticeError(
                f"channel {dead} of {p.name!r} has a batch-norm gain of almost 0: its threshold in units of the weights "
                "is beyond 2^20. Train with less weight decay on the batch-norm, or prune the channel"
            )
        p.values *= sign.float().reshape(-1, *[1] * (p.values.dim() - 1))
        reset = None if layer.v_reset is None else torch.full_like(unit, layer.v_reset)
        return fit(name, bound, theta / unit, offset / unit, reset, unit, layer)

    def pool(self, name: str, kernel: tuple[int, int] | None) -> None:
        self._expect_nothing_pending(name)
        kernel = kernel or self.map
        self.chain.append((name, LatticeSumPool(kernel)))
        area = kernel[0] * kernel[1]
        self.input_unit, self.input_max = self.input_unit / area, self.input_max * area

    def flatten(self, name: str) -> None:
        self._expect_nothing_pending(name)
        self.chain.append((name, LatticeFlatten()))

    def finish(self) -> tuple[list[tuple[str, LatticeModule]], float]:
        """The chain, closed by a readout, and the unit of its logits."""
        if (p := self.pending) is None or not isinstance(p.layer, nn.Linear):
            raise LatticeError(
                "the model must end with a linear layer, whose outputs become the integer logits"
            )
        unit = float(p.unit[0])
        if not bool((p.unit == unit).all()):
            raise LatticeError(
                f"layer {p.name!r} gives the logits: quantise it per tensor, so that all classes share one unit"
            )
        bias = torch.round(p.offset / unit)
        bound = float((p.bound(self.input_max) + bias.abs()).max())
        if bound >= EXACT:
            raise LatticeError(
                f"logits of {p.name!r} may reach {bound:.0f}, beyond exact float32 (2^24): use fewer weight bits"
            )
        name = p.name
        self._emit_weighted(0)
        self.chain.append((f"{name}.readout", LatticeReadout(bias.float())))
        return self.chain, unit

    def _emit_weighted(self, shift: int) -> None:
        p = self.pending
        assert p is not None
        weight = _stored(p.name, p.values.float(), p.quantiser)
        if isinstance(p.layer, nn.Conv2d):
            (ph, pw), stride = _padding(p.layer), p.layer.stride
            self.chain.append((p.name, LatticeConv2d(weight, (stride[0], stride[1]), (ph, pw), shift)))
        else:
            self.chain.append((p.name, LatticeLinear(weight, shift)))
        self.pending = None

    def _expect_nothing_pending(self, name: str) -> None:
        if self.pending is not None:
            raise LatticeError(
                f"layer {name!r} takes the output of {self.pending.name!r}: a neuron must stand between them"
            )


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


def _padding(layer: nn.Conv2d) -> tuple[int, int]:
    assert not isinstance(layer.padding, str), "refused when the layer was met"
    return layer.padding[0], layer.padding[1]


def _map_after(layer: nn.Module, size: tuple[int, int]) -> tuple[int, int]:
    """Height and width of the map after a layer (the area of a global pooling window goes into the unit)."""
    if isinstance(layer, Conv2d):
        pads = _padding(layer)
        h, w = (
            (n + 2 * p - k) // s + 1
            for n, p, k, s in zip(size, pads, layer.kernel_size, layer.stride, strict=True)
        )
        return h, w
    if isinstance(layer, AvgPool2d):
        kernel = _plain_pool("", layer)
        return size[0] // kernel[0], size[1] // kernel[1]
    return (1, 1) if isinstance(layer, GlobalAvgPool2d) else size


def _plain_neuron(name: str, layer: Neuron) -> None:
    """Refuse what the program's neuron does not compute."""
    if layer.config.ternary:
        raise LatticeError(
            f"neuron {name!r} fires -1 too (ternary), and the program's events are not negative: train with ternary=False"
        )
