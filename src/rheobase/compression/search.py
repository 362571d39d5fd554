"""`search_bits`: give each layer the width it needs, within a budget of bytes.

Sensitivity is measured: with one layer quantised to b bits and all others in float, how much does the loss rise?

    D(l, b) = loss(model with layer l at b bits) - loss(float model)

Batch-norm statistics are taken anew on the same inputs before each loss, since a quantised layer changes the size of its
currents and fine-tuning would adapt to that first. The rises are taken to add up, and the best choice

    min sum_l D(l, b_l)    subject to    sum_l bytes(l, b_l) <= budget

is found exactly, by dynamic programming over the pairs (bytes, rise) that no other pair beats in both.

Source: the measure is common practice for mixed precision (e.g. HAWQ-V3, arXiv 2011.10680, solves the same knapsack).
"""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from rheobase.compression.accounting import layer_bytes
from rheobase.compression.quantise import QuantConfig, attach, choose, quantisers, weighted_layers
from rheobase.compression.quantisers import QuantiserBase, widths
from rheobase.datasets import DataSet
from rheobase.errors import LatticeError, RecipeError


class Samples(Protocol):
    """Frames uint8 `[N, T, C, H, W]` with their labels int64 `[N]`: a `FrameSet`, or anything like one."""

    @property
    def frames(self) -> NDArray[np.uint8]:
        """Counts of events."""

    @property
    def labels(self) -> NDArray[np.int64]:
        """Class of each row of `frames`."""

    def __len__(self) -> int: ...


@dataclass(frozen=True)
class BitSearch:
    """What a search found: `overrides` for `quantise_`, and what it rests on.

    `rise[layer][bits]` is the measured D(l, b); `bytes_weights` counts all weights, the layers not searched too.
    """

    overrides: dict[str, QuantiserBase]
    bytes_weights: int
    rise: dict[str, dict[int, float]]

    @property
    def bits(self) -> dict[str, int]:
        """Width of each searched layer."""
        return {name: config.bits for name, config in self.overrides.items()}


def search_bits(
    model: nn.Module,
    data: DataSet | Samples,
    budget_bytes: int,
    *,
    config: QuantConfig | None = None,
    choices: Sequence[int] = (1, 2, 4, 8),
    edges: bool = False,
    samples: int = 512,
    batch_size: int = 64,
) -> BitSearch:
    """Width of each layer for a float model, so that all packed weights take at most `budget_bytes`.

    Of a data set the validation part is used (the training part where it is empty), at most `samples` of it. The first and
    the last layer keep what `config` gives them unless `edges` are searched too, and so do layers that it overrides. The
    model is left as it is.

    Raises:
        LatticeError: the model is quantised already.
        RecipeError: no choice of widths is within the budget (the message says what the smallest takes), or the quantiser
            of `config` has none of them.
    """
    config = config or QuantConfig()
    if quantisers(model):
        raise LatticeError("search_bits starts from a float model, and this one is quantised already")
    part = (data.validation if len(data.validation) else data.train) if isinstance(data, DataSet) else data
    batches = list(_batches(part, samples, batch_size, model))
    model = copy.deepcopy(model)
    layers = weighted_layers(model)
    policy = choose(list(layers), config)
    names = list(layers)
    overridden = {name for name in names for pattern in config.overrides if fnmatchcase(name, pattern)}
    options: dict[str, dict[int, QuantiserBase]] = {}
    for name, choice in policy.items():
        if choice is None or name in overridden or (name in (names[0], names[-1]) and not edges):
            continue
        allowed = sorted(set(choices) & set(widths(choice)))
        if not allowed:
            raise RecipeError(
                f"quantiser {choice.name!r} has {', '.join(map(str, widths(choice)))} bits, "
                f"none of {', '.join(map(str, choices))}"
            )
        options[name] = {bits: choice.model_copy(update={"bits": bits}) for bits in allowed}
    fixed = sum(
        layer_bytes(layers[name], choice.bits if choice else None)
        for name, choice in policy.items()
        if name not in options
    )

    def loss() -> float:
        with _fresh_statistics(model, batches), torch.no_grad():
            total = sum(float(F.cross_entropy(model(x).mean(0), y, reduction="sum")) for x, y in batches)
        return total / sum(len(y) for _, y in batches)

    before = loss()
    rise: dict[str, dict[int, float]] = {}
    for name, each in options.items():
        rise[name] = {}
        for bits, option in each.items():
            attach(layers[name], option)
            rise[name][bits] = loss() - before
            parametrize.remove_parametrizations(layers[name], "weight", leave_parametrized=False)
    costs = {name: {bits: layer_bytes(layers[name], bits) for bits in each} for name, each in options.items()}
    found = knapsack(rise, costs, budget_bytes - fixed)
    if found is None:
        least = fixed + sum(min(each.values()) for each in costs.values())
        raise RecipeError(
            f"no choice of widths fits {budget_bytes} bytes: the smallest takes {least}, {fixed} of them in layers that are "
            f"not searched. Raise the budget{'' if edges else ', search the first and the last layer too (edges=True)'}, or prune"
        )
    return BitSearch(
        {name: options[name][bits] for name, bits in found.items()},
        fixed + sum(costs[name][bits] for name, bits in found.items()),
        rise,
    )


def knapsack(
    rise: dict[str, dict[int, float]], cost: dict[str, dict[int, int]], budget: int
) -> dict[str, int] | None:
    """The width of each layer whose rises sum to least within the budget; None where even the smallest do not fit.

    >>> knapsack({"a": {2: 1.0, 8: 0.0}, "b": {2: 5.0, 8: 0.0}}, {"a": {2: 1, 8: 4}, "b": {2: 1, 8: 4}}, 5)
    {'a': 2, 'b': 8}
    """
    total, loss = np.zeros(1, np.int64), np.zeros(1)
    history: list[tuple[list[int], NDArray[np.int64], NDArray[np.int64]]] = []
    for name, options in rise.items():
        bits = list(options)
        extra = np.array([cost[name][b] for b in bits], np.int64)
        worse = np.array([options[b] for b in bits])
        totals, losses = (total[:, None] + extra).ravel(), (loss[:, None] + worse).ravel()
        order = np.lexsort((losses, totals))
        order = order[totals[order] <= budget]
        if not len(order):
            return None
        best = np.minimum.accumulate(losses[order])
        kept = order[np.concatenate(([True], losses[order][1:] < best[:-1]))]
        history.append((bits, kept // len(bits), kept % len(bits)))
        total, loss = totals[kept], losses[kept]
    chosen: dict[str, int] = {}
    state = len(loss) - 1  # along the front bytes rise and losses fall
    for name, (bits, parent, option) in zip(reversed(list(rise)), reversed(history), strict=True):
        chosen[name] = bits[option[state]]
        state = int(parent[state])
    return {name: chosen[name] for name in rise}


@contextmanager
def _fresh_statistics(model: nn.Module, batches: list[tuple[Tensor, Tensor]]) -> Iterator[None]:
    """Evaluation mode with batch-norm statistics averaged over the batches; what they were after the block."""
    norms = [
        m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.track_running_stats
    ]
    kept = [({k: v.clone() for k, v in m.named_buffers()}, m.momentum, m.training) for m in norms]
    was_training = model.training
    model.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches
        norm.train()
    try:
        if norms:
            with torch.no_grad():
                for frames, _ in batches:
                    model(frames)
        for norm in norms:
            norm.eval()
        yield
    finally:
        for norm, (buffers, momentum, training) in zip(norms, kept, strict=True):
            norm.load_state_dict(buffers, strict=False)
            norm.momentum = momentum
            norm.train(training)
        model.train(was_training)


def _batches(data: Samples, samples: int, size: int, model: nn.Module) -> Iterator[tuple[Tensor, Tensor]]:
    """Inputs float32 `[T, n, C, H, W]` and labels `[n]`, where the model is."""
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    for start in range(0, min(samples, len(data)), size):
        rows = slice(start, min(start + size, samples))
        frames = torch.from_numpy(data.frames[rows]).to(device).float().transpose(0, 1)
        yield frames, torch.from_numpy(data.labels[rows]).to(device)
