"""How many of its levels a quantised weight uses, and how evenly: the figure that motivates ReScaW."""

import torch
from torch import Tensor, nn

from rheobase.compression.quantise import latent_weight, quantisers, weighted_layers
from rheobase.compression.quantisers import Quantiser


@torch.no_grad()
def code_counts(quantiser: Quantiser, weight: Tensor) -> Tensor:
    """How many weights have each code.

    Shape: `[C_out, ...]` -> int64 `[levels]`.
    """
    return torch.bincount(quantiser.codes(weight).flatten(), minlength=quantiser.levels)


def code_usage(quantiser: Quantiser, weight: Tensor) -> float:
    """Share of its levels (`2^bits`; 3 for ternary, `2^bits - 1` for MINT) that a weight tensor uses.

    Vanilla quantisation of trained weights uses 14-32 % of the levels at 8 bit (QP-SNN).
    """
    return float((code_counts(quantiser, weight) > 0).double().mean())


def code_entropy(quantiser: Quantiser, weight: Tensor) -> float:
    """Entropy of the codes in nats, `-sum p ln p`; `ln(levels)` where all are used alike."""
    p = code_counts(quantiser, weight).double() / weight.numel()
    return float(torch.special.entr(p).sum())


def code_usages(model: nn.Module) -> dict[str, float]:
    """Share of levels used by each quantised layer (see `code_usage`)."""
    layers = weighted_layers(model)
    return {name: code_usage(q, latent_weight(layers[name])) for name, q in quantisers(model).items()}
