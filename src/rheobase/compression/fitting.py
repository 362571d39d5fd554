"""Units of integer neurons: as fine as every number they meet stays exact in float32 (below 2^24).

A neuron with a full membrane counts in the unit of each channel's weights, `|U_c| / 2^F`. `F` is the largest number of
fractional bits with which a 16-bit membrane holds 8 thresholds; where none does, the membrane takes 32 bits. Only the rounding
of thresholds and biases, the floor in the leak, and saturation change the model; and where the leak is no `1 - 2^-k`, its
rounding to m / 2^15 (to m / 2^8 with 32 bits), which `LatticeNeuron.leak` tells.

A neuron with a rounded membrane counts in one unit `2^-f` for the whole layer, because all channels share its levels:

    theta_c = ceil(theta 2^f),  b_c = round(B_c 2^f),  levels_i = round(level_i 2^f),  edges_i = ceil(edge_i 2^f)
    I_c = floor((a_c * gain_c + 2^(g-1)) / 2^g),  gain_c = round(U_c 2^(f+g))

`f` is the largest that keeps membranes and biases below 2^24 and currents below 2^31, then `g` the largest that keeps the product
below 2^31 and the gain below 2^24. A power of two leaves thresholds like 1 and 1/2 whole. For whole numbers `edge <= v` says the
same as `ceil(edge) <= v`. Saturation changes nothing here: it lies where clipping ends on the same side of every edge and
threshold. What changes the model is the rounding of levels, gains and biases, by about `2^-f`, and the floor in the leak. A leak
that is no `1 - 2^-k` goes into the levels, which then hold what is left of each a step later. Levels nearer than one unit are
moved apart to neighbouring integers.

Currents that are added, and currents that a layer with weights or a neuron reads where nobody else may turn their rows, are
brought to one unit `2^-f` for all channels:

    floor((a_c * gain_c + 2^(g-1)) / 2^g) + b_c,   gain_c = round(U_c 2^(f+g)),   b_c = round(B_c 2^f)

`f` is the largest with which every full membrane of the model takes 16 bits that hold 8 thresholds, and the sum stays below 2^23
(so that a membrane of 23 bits can be added to it). `g` is as above where that moves no result by more than 1, else the largest
that keeps the product below 2^53. A layer with weights that reads such a current may force a smaller `f`: its sums stay below
2^31.

Source: ours; requantisation by an integer factor and a rounding shift is standard practice for integer networks (Jacob et al.,
"Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", CVPR 2018).
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from rheobase.compression.lattice import (
    EXACT,
    LatticeBack,
    LatticeLinear,
    LatticeMultiThreshold,
    LatticeNeuron,
    LatticeRescale,
    LatticeRoundedNeuron,
    LatticeTimeMix,
)
from rheobase.errors import LatticeError
from rheobase.neurons import Neuron

MAX_FRACTION = 8
THRESHOLDS = 8  # that a membrane holds
SUM_LIMIT = 2.0**23 - 64  # of a sum of currents; the rest is for the roundings of what is added
LARGEST_PRODUCT = 2.0**53 - 2.0**31  # that float64 holds, and a half
FINEST = 24  # a membrane's unit is 2^-24 to 2^24
MAX_GAIN_SHIFT = MAX_LEAK_SHIFT = 30
INT32_MAX = 2**31 - 1
COARSEST = 32  # integers that the largest number of a row of a mixing must have
MOVED = 2.0**-12  # how far moving levels apart may move one, as a part of their range


@dataclass(frozen=True)
class Back:
    """What spikes bring back to their own layer: sums of integer weights, how large they get, and what one is worth.

    Shape: `bound` and `unit` are float64 `[C]`.
    """

    sums: LatticeLinear
    bound: Tensor
    unit: Tensor

    def lattice(self, per_unit: Tensor | float) -> LatticeBack | None:
        """In the membranes' integers, `per_unit` of which are 1; None where that passes 32 bits."""
        shift, gain = _gain(self.bound, self.unit * per_unit)
        return LatticeBack(self.sums, gain.float(), shift) if _fits(self.bound, gain, shift) else None


def fit(
    name: str,
    bound: Tensor,
    theta: Tensor,
    bias: Tensor,
    reset: Tensor | None,
    unit: Tensor,
    layer: Neuron,
    finest: int = MAX_FRACTION,
    back: Back | None = None,
) -> tuple[LatticeNeuron, int]:
    """Neuron that counts in each channel's own unit, and the fractional bits F of its input, at most `finest`.

    `back` is what comes back to a recurrent layer.

    Shape: `bound`, `theta`, `bias` (in units of the integer weights) and `unit` are `[C]`.
    Raises:
        LatticeError: no F and width hold the neuron.
    """
    if back is not None:
        bound = bound + back.bound * back.unit / unit + 1
    for bits, saturation, leak_bits in ((16, 2**15 - 1, 15), (32, 2**22, 8)):
        leak_shift, leak_multiplier = leak_integers(float(layer.leak()), leak_bits)
        for fraction in range(finest, -1, -1):
            scale = 2.0**fraction
            # `>` on integers is `>=` one higher; `>=` rounds up, so that no spike comes early
            threshold = torch.floor(theta * scale) + 1 if layer.config.strict else torch.ceil(theta * scale)
            offset = torch.round(bias * scale)
            largest = bound * scale + offset.abs() + saturation
            if float(threshold.max()) * THRESHOLDS <= saturation and float(largest.max()) < EXACT:
                v_reset = None if reset is None else torch.round(reset / unit * scale).float()
                lattice = LatticeNeuron(
                    threshold.float(),
                    offset.float(),
                    leak_shift=leak_shift,
                    leak_multiplier=leak_multiplier,
                    v_reset=v_reset,
                    saturation=saturation,
                    bits=bits,
                    ternary=layer.config.ternary,
                )
                if back is not None:
                    lattice.back = back.lattice(scale / unit)
                    if lattice.back is None:
                        continue
                return lattice, fraction
    raise LatticeError(
        f"neuron {name!r}: thresholds up to {float(theta.max()):.0f} and currents up to {float(bound.max()):.0f} units "
        "do not fit the lattice (exact below 2^24): use fewer weight bits, or less weight decay on the batch-norm"
    )


def finest_sum(neurons: Iterable[Neuron]) -> int:
    """Fractional bits of a sum of currents with which each full membrane that may count in them fits 16 bits."""
    thetas = [
        float(torch.as_tensor(neuron.threshold()).max()) / float(neuron.gain())
        for neuron in neurons
        if neuron.config.membrane is None
    ]
    found = (math.floor(math.log2(((2**15 - 1) // THRESHOLDS - 1) / theta)) for theta in thetas)
    return max(min(found, default=FINEST), -FINEST)


def sum_fraction(reach: float, limit: float, finest: int) -> int:
    """Largest number f of fractional bits, at most `finest`, that keeps currents up to `reach` below `limit`.

    >>> sum_fraction(3.0, 2.0**10, 24)
    8
    """
    return finest if reach == 0 else max(min(finest, math.floor(math.log2(limit / reach))), -FINEST)


def fit_rescale(bound: Tensor, unit: Tensor, offset: Tensor, fraction: int) -> LatticeRescale:
    """Module that brings integers of a `unit` and an `offset` by channel to the unit `2^-fraction` without offset.

    Shape: `bound` (largest magnitude of the integers) float64 `[C]`; `unit` and `offset` float64 `[C]`, or `[T, C]` by step.
    """
    factor = unit * 2.0**fraction
    shift, gain = _gain(bound, factor)
    if not _fits(bound, gain, shift) or float(bound.max()) > 2.0 ** (shift + 1):
        shift, gain = _gain(bound, factor, LARGEST_PRODUCT)
    while shift > 0 and not bool((gain % 2).any()):  # as short as can be
        shift, gain = shift - 1, gain / 2
    return LatticeRescale(gain.float(), torch.round(offset * 2.0**fraction).float(), shift)


def leak_integers(leak: float, bits: int) -> tuple[int | None, int | None]:
    """Shift and multiplier of a leak: none for 1, k alone for `1 - 2^-k`, else s = bits and `round(leak * 2^bits)`.

    >>> leak_integers(0.75, 15), leak_integers(0.6, 15)
    ((2, None), (15, 19661))
    """
    if leak == 1:
        return None, None
    shift = round(-math.log2(1 - leak))
    if shift <= MAX_LEAK_SHIFT and math.isclose(1 - leak, 2.0**-shift, rel_tol=1e-6):
        return shift, None
    return bits, round(leak * 2**bits)


def fit_rounded(
    name: str,
    bound: Tensor,
    unit: Tensor,
    bias: Tensor,
    theta: Tensor,
    layer: Neuron,
    back: Back | None = None,
) -> LatticeRoundedNeuron:
    """Neuron that keeps codes of its membrane, in the finest unit that fits; `back` is what comes back to a recurrent layer.

    Shape: `bound` (largest |sum|), `unit` (of the sums, may be negative), `bias` and `theta` are float64 `[C]`.
    Raises:
        LatticeError: no unit keeps every number exact and the levels in their places.
    """
    if float(bound.max()) < EXACT:
        for fraction in range(FINEST, -FINEST - 1, -1):
            lattice = _rounded(2.0**fraction, bound, unit, bias, theta, layer, back)
            if lattice is not None:
                return lattice
    current = float((bound * unit.abs() + bias.abs()).max())
    raise LatticeError(
        f"neuron {name!r}: currents up to {current:.3g} (sums up to {float(bound.max()):.0f}) leave no unit that tells the "
        f"levels of its membrane apart ({layer.config.membrane!r}): use fewer weight or membrane bits, or less weight decay "
        "on the batch-norm"
    )


def fit_levels(levels: int, unit: Tensor, offset: Tensor) -> LatticeMultiThreshold:
    """The integers at which `round(clip(x, 0, levels))` of `x = unit a + offset` takes its next value, halves to even:

        y >= k  where  x >= k - 1/2 (k even) or x > k - 1/2 (k odd)

    so nothing is rounded that the float model does not round.

    Shape: `unit` (positive) and `offset` are float64 `[C]`; integers are below 2^24, what lies beyond is out of reach.
    """
    level = torch.arange(1, levels + 1, dtype=torch.float64)[:, None]
    theta = (level - 0.5 - offset) / unit
    nearest = torch.round(theta)
    # what float division left a hair beside an integer is that integer
    theta = torch.where((theta - nearest).abs() <= theta.abs() * 2.0**-40, nearest, theta)
    theta = torch.where(level % 2 == 0, torch.ceil(theta), torch.floor(theta) + 1)
    return LatticeMultiThreshold(theta.clamp(-EXACT, EXACT).float())


def fit_mix(
    name: str, bound: Tensor, unit: Tensor, offset: Tensor, mixing: Tensor, thresholds: Tensor
) -> LatticeTimeMix:
    """Thresholds on mixed steps, each step in the finest unit `2^-k` of its row whose sums stay below 2^31.

        m[t, j] = round(M[t, j] 2^k),  theta[t, c] = ceil((V[t] - B_c sum over j of M[t, j]) / U_c 2^k)

    Shape: `bound` (largest |integer|), `unit` (positive) and `offset` are float64 `[C]`;
    `mixing` `[T, T]` or `[C, T, T]`, `thresholds` `[T]` or `[T, C]`.
    Raises:
        LatticeError: the mixing is no lower triangle, or what is mixed is too large to tell its numbers apart.
    """
    steps, each = len(thresholds), mixing if mixing.dim() == 3 else mixing[None]
    if each.shape not in ((1, steps, steps), (len(unit), steps, steps)) or bool((each.triu(1) != 0).any()):
        raise LatticeError(
            f"neuron {name!r} must mix all channels, or each, by one lower triangle of as many steps as it has thresholds, got "
            f"{list(mixing.shape)} for {len(unit)} channels and {steps} thresholds"
        )
    largest = float(bound.max())
    rows, scales = zip(*(_mixing_row(name, row, largest) for row in each.flatten(0, 1)), strict=True)
    scale = torch.tensor(scales, dtype=torch.float64).reshape(-1, steps).T  # [T, 1 or C]
    theta = (thresholds.reshape(steps, -1) - each.sum(2).T * offset) / unit * scale
    # what float division left a hair above an integer is that integer; out of reach is out of reach
    theta = torch.ceil(theta - theta.abs() * 2.0**-40).clamp(-INT32_MAX, INT32_MAX)
    return LatticeTimeMix(torch.stack(rows).reshape(each.shape), theta)


def _mixing_row(name: str, row: Tensor, largest: float) -> tuple[Tensor, float]:
    """A row as integers whose sums of values up to `largest` stay below 2^31 - 1, and what multiplied it."""
    reach = float(row.abs().sum()) * max(largest, 1.0)
    if reach == 0:
        return row, 1.0
    power = min(math.floor(math.log2((INT32_MAX - 1) / reach)), MAX_GAIN_SHIFT)
    rounded = torch.round(row * 2.0**power)
    if float(rounded.abs().sum()) * largest > INT32_MAX - 1:  # the roundings pass a limit almost reached
        power -= 1
        rounded = torch.round(row * 2.0**power)
    if float(rounded.abs().max()) < COARSEST:
        raise LatticeError(
            f"neuron {name!r} mixes values up to {largest:.0f}, which leaves its mixing {float(rounded.abs().max()):.0f} steps: "
            "sum fewer spikes before it, or use more heads"
        )
    return rounded, 2.0**power


def _rounded(
    scale: float,
    bound: Tensor,
    unit: Tensor,
    bias: Tensor,
    theta: Tensor,
    layer: Neuron,
    back: Back | None,
) -> LatticeRoundedNeuron | None:
    """The neuron in units of `1 / scale`, or None where that is too fine for the numbers or too coarse for the levels."""
    membrane = layer.config.membrane
    assert membrane is not None, "the caller looked"
    threshold = torch.floor(theta * scale) + 1 if layer.config.strict else torch.ceil(theta * scale)
    offset = torch.round(bias * scale)
    leak_shift, leak_multiplier = leak_integers(leak := float(layer.leak()), 0)
    left = (
        1.0 if leak_multiplier is None else leak
    )  # of a level, which the table holds as it will be a step later
    wanted = torch.tensor(membrane.levels(), dtype=torch.float64) * (scale * left)
    levels = _apart(wanted)
    edges = torch.ceil(torch.tensor(membrane.edges(), dtype=torch.float64) * scale)
    # rounded as edges are: a reset onto an edge stays on it
    v_reset = None if layer.v_reset is None else math.ceil(layer.v_reset * scale)
    if float((levels - wanted).abs().max()) > 0.5 + float(wanted[-1] - wanted[0]) * MOVED:
        return None
    # a clipped membrane fires or not as it would have, and what a reset then leaves lies beyond the same edges
    below = 1 - float(edges[0])
    beyond = max(float(edges[-1]), below if layer.config.ternary else 0.0, 0.0)
    top = float(threshold.max()) + beyond
    saturation = max(top, float(edges[-1]), below, float(levels.abs().max()), abs(v_reset or 0))
    if max(saturation, float(offset.abs().max())) >= EXACT:
        return None
    gain_shift, gain = _gain(bound, unit * scale)
    current = (bound * gain.abs() + 2.0**gain_shift / 2) / 2.0**gain_shift + 1
    if back is not None:
        current = current + back.bound * back.unit * scale + 1
    reach = float((current + offset.abs()).max()) + saturation
    if not _fits(bound, gain, gain_shift) or reach > INT32_MAX:
        return None
    found = LatticeRoundedNeuron(
        threshold.float(),
        offset.float(),
        gain=gain.float(),
        gain_shift=gain_shift,
        levels=levels.float(),
        edges=edges.float(),
        leak_shift=leak_shift if leak_multiplier is None else None,
        v_reset=None if v_reset is None else torch.tensor(float(v_reset)),
        saturation=int(saturation),
        bits=membrane.bits,
        ternary=layer.config.ternary,
    )
    if back is not None:
        found.back = back.lattice(scale)
        if found.back is None:
            return None
    return found


def _apart(levels: Tensor) -> Tensor:
    """Different integers nearest to rising levels that hold 0; 0 stays, the others give way to it.

    Shape: float64 `[L]` to the same.
    """
    rounded, zero = torch.round(levels), int(torch.searchsorted(levels, 0.0))
    up, down = rounded[zero:], -rounded[: zero + 1].flip(0)
    # l_i = max(l_i, l_(i-1) + 1) is the running maximum of l_i - i
    up, down = (
        torch.cummax(part - torch.arange(len(part)), 0).values + torch.arange(len(part))
        for part in (up, down)
    )
    return torch.cat([-down[1:].flip(0), up])


def _gain(bound: Tensor, factor: Tensor, limit: float = INT32_MAX) -> tuple[int, Tensor]:
    """The largest shift g (at least 0), and `round(factor * 2^g)`, with products below `limit` and gains below 2^24."""
    largest = max(float((bound * factor.abs()).max()) / limit, float(factor.abs().max()) / EXACT)
    shift = MAX_GAIN_SHIFT if largest == 0 else min(max(math.floor(-math.log2(largest)), 0), MAX_GAIN_SHIFT)
    gain = torch.round(factor * 2.0**shift)
    if shift > 0 and not _fits(bound, gain, shift, limit):
        # the roundings pass a limit that the numbers almost reach
        shift, gain = shift - 1, torch.round(factor * 2.0 ** (shift - 1))
    return shift, gain


def _fits(bound: Tensor, gain: Tensor, shift: int, limit: float = INT32_MAX) -> bool:
    product = float((bound * gain.abs()).max()) + 2**shift / 2
    return product <= limit and float(gain.abs().max()) < EXACT
