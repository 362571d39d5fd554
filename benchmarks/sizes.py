"""Sizes printed in QP-SNN and Q-SNN, counted from the registered networks, pruned and quantised as their papers say.

    python benchmarks/sizes.py            # the table
    python benchmarks/sizes.py --check    # also fail where a size is more than 0.02 MB off, or a parameter count differs

Pruning is `rheobase.compression.pruning.prune_` with the released ratios and a random score: which channels go does not change
how many. Counting is `rheobase.compression.published_bytes` (MB = 10^6 bytes): `bits` a quantised weight, 32 for every float
weight, bias and batch-norm value. Sources: QP-SNN (ICLR 2025) main table and released pruning ratios; Q-SNN (ACM MM 2024) and
the sizes that BSO (ICML 2025) prints for VGG-11, a network that is not registered: its plain layers stand here.
"""

import argparse
import copy
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from rheobase.compression import (
    LibraConfig,
    MaxAbsConfig,
    QuantConfig,
    ReScaWConfig,
    published_bytes,
    quantise_,
)
from rheobase.compression.pruning import PruneConfig, prune_
from rheobase.models import create_model

TOLERANCE = 0.02  # MB


def network(
    name: str, ratios: dict[str, float], *, classes: int = 10, size: int = 32, **options
) -> nn.Module:
    """A registered network without the shares of channels that `ratios` gives the groups of each layer pattern."""
    channels = options.get("in_channels", 3)
    model = create_model(
        name, num_classes=classes, input_size=(size, size), **{"in_channels": channels} | options
    )
    if any(ratios.values()):
        config = PruneConfig(score="random", ratio=0.0, overrides=ratios)
        prune_(model, config, torch.zeros(1, 1, channels, size, size))
    return model


def vgg16(early: float, late: float, **options) -> nn.Module:
    """VGG-16 of QP-SNN: conv1-7 pruned by `early`, conv8-12 by `late`, conv13 whole."""
    ratios = [early] * 7 + [late] * 5
    return network("vgg16", {f"*.conv{i}": ratio for i, ratio in enumerate(ratios, start=1)}, **options)


def vggsnn(ratios: Sequence[float]) -> nn.Module:
    """VGGSNN for DVS-CIFAR10 at 48 x 48; the last convolution stays whole."""
    patterns = {f"*.conv{i}": ratio for i, ratio in enumerate(ratios, start=1)}
    return network("vggsnn", patterns, size=48, in_channels=2)


def resnet20(stages: float, middles: float, classes: int) -> nn.Module:
    """Wide ResNet-20 with the published list `[0.1] + [stages]*3 + [middles]*16`.

    That is the stem, the outputs of stages 1 and 2, and the nine middles, of which the first takes `stages` too; the
    outputs of stage 3 stay whole. Layers that a shortcut joins are one group: any of their names speaks for all.
    """
    ratios = {
        "*.stem": 0.1 if stages else 0.0,
        "*.conv1": middles,
        "*.stage1_block1.conv1": stages,
        "*.stage1_*.conv2": stages,
        "*.stage2_*.conv2": stages,
    }
    return network("resnet20", ratios, classes=classes)


def vgg11(classes: int) -> nn.Module:
    """VGG-11 of the table of BSO: 64-128-256-256-512-512-512-512, global pooling."""
    layers: list[nn.Module] = []
    cin = 3
    for cout in (64, 128, 256, 256, 512, 512, 512, 512):
        layers += [nn.Conv2d(cin, cout, 3, padding=1, bias=False), nn.BatchNorm2d(cout)]
        cin = cout
    return nn.Sequential(*layers, nn.Linear(cin, classes))


@dataclass(frozen=True)
class Row:
    """A network and what is printed of it: MB at each width, and millions of parameters.

    `weights` counts no batch-norm: so the parameters of the ResNets and of VGGSNN are printed, those of VGG-16 with it.
    """

    name: str
    build: Callable[[], nn.Module]
    printed: dict[int, str]
    parameters: str | None = None
    weights: str | None = None
    tolerance: float = TOLERANCE


TINY = {"classes": 200, "size": 64, "head": "flatten"}
QP_SNN = [
    Row(
        "ResNet20 C10, 6.22M",
        lambda: resnet20(0.3, 0.6, 10),
        {8: "6.27", 4: "3.16", 2: "1.61"},
        weights="6.219",
    ),
    Row(
        "ResNet20 C10, 3.87M",
        lambda: resnet20(0.35, 0.75, 10),
        {8: "3.92", 4: "1.98", 2: "1.02"},
        weights="3.873",
    ),
    Row(
        "ResNet20 C100, 6.27M",
        lambda: resnet20(0.3, 0.6, 100),
        {8: "6.45", 4: "3.35", 2: "1.79"},
        weights="6.265",
    ),
    Row(
        "ResNet20 C100, 3.92M",
        lambda: resnet20(0.35, 0.75, 100),
        {8: "4.10", 4: "2.17", 2: "1.20"},
        weights="3.919",
    ),
    Row("VGG-16 C10, 4.25M", lambda: vgg16(0.45, 0.51), {8: "4.28", 4: "2.16", 2: "1.10"}, "4.25"),
    Row("VGG-16 C10, 1.42M", lambda: vgg16(0.49, 0.80), {8: "1.45", 4: "0.74", 2: "0.39"}, "1.42"),
    Row(
        "VGG-16 C100, 2.31M",
        lambda: vgg16(0.45, 0.70, classes=100),
        {8: "2.48", 4: "1.35", 2: "0.79"},
        "2.31",
    ),
    Row(
        "VGG-16 C100, 1.68M",
        lambda: vgg16(0.45, 0.78, classes=100),
        {8: "1.85", 4: "1.04", 2: "0.63"},
        "1.68",
    ),
    Row("VGG-16 Tiny, 4.65M", lambda: vgg16(0.45, 0.51, **TINY), {8: "5.90", 4: "3.78", 2: "2.72"}, "4.65"),
    Row("VGG-16 Tiny, 3.43M", lambda: vgg16(0.45, 0.62, **TINY), {8: "4.67", 4: "3.17", 2: "2.41"}, "3.43"),
    Row(
        "VGGSNN, 1.46M",
        lambda: vggsnn([0.5] * 3 + [0.7] * 4),
        {8: "1.61", 4: "0.90", 2: "0.55"},
        weights="1.46",
    ),
    Row(
        "VGGSNN, 0.90M",
        lambda: vggsnn([0.5] * 3 + [0.8] * 4),
        {8: "1.05", 4: "0.62", 2: "0.41"},
        weights="0.90",
    ),
    Row(
        "VGGSNN, 0.25M",
        lambda: vggsnn([0.82] * 3 + [0.93] * 4),
        {8: "0.40", 4: "0.29", 2: "0.24"},
        weights="0.25",
    ),
    Row("VGG-16 C10, dense", lambda: vgg16(0, 0), {32: "58.88"}),
    Row("ResNet20 C100, dense", lambda: resnet20(0, 0, 100), {32: "68.4"}, tolerance=0.06),
]
Q_SNN = [
    Row("ResNet-19 C10, 8-bit edges", lambda: network("resnet19", {}), {1: "1.62", 32: "50.28"}, "12.57"),
    Row("ResNet-19 C100, 8-bit edges", lambda: network("resnet19", {}, classes=100), {1: "1.67"}),
]
BSO = [
    Row("VGG-11 C10, float edges", lambda: vgg11(10), {1: "1.20"}),
    Row("VGG-11 C100, float edges", lambda: vgg11(100), {1: "1.39"}),
]


def quantisation(paper: str, bits: int) -> QuantConfig | None:
    """What a paper quantises, and how; None at 32 bits."""
    if bits == 32:
        return None
    if paper == "QP-SNN":
        return QuantConfig(weights=ReScaWConfig(bits=bits), edge_bits=None)
    return QuantConfig(
        weights=LibraConfig(), edge_bits=None, edges=MaxAbsConfig(bits=8) if paper == "Q-SNN" else None
    )


def near(counted: float, printed: str, tolerance: float = 0.0) -> bool:
    """Whether a figure rounds to what is printed, or lies within a tolerance of it."""
    last_digit = 10.0 ** -len(printed.partition(".")[2])
    return abs(counted - float(printed)) <= max(tolerance, last_digit / 2) + 1e-9


def main() -> int:
    """Print the table; with `--check` give 1 where a figure differs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="fail where a printed figure is not reproduced")
    arguments = parser.parse_args()
    wrong = 0
    print(f"{'paper':7} {'network':28} {'bits':>4} {'printed MB':>10} {'counted MB':>10} {'parameters':>11}")
    for paper, rows in (("QP-SNN", QP_SNN), ("Q-SNN", Q_SNN), ("BSO", BSO)):
        for row in rows:
            built = row.build()
            norms = sum(
                p.numel() for m in built.modules() if isinstance(m, nn.BatchNorm2d) for p in m.parameters()
            )
            parameters = sum(p.numel() for p in built.parameters())
            for bits, printed in row.printed.items():
                model = copy.deepcopy(built)
                if (config := quantisation(paper, bits)) is not None:
                    quantise_(model, config)
                counted = published_bytes(model) / 1e6
                same = near(counted, printed, row.tolerance)
                same &= row.parameters is None or near(parameters / 1e6, row.parameters)
                same &= row.weights is None or near((parameters - norms) / 1e6, row.weights)
                wrong += not same
                mark = "" if same else "  differs"
                print(
                    f"{paper:7} {row.name:28} {bits:4} {printed:>10} {counted:10.3f} {parameters:11,}{mark}"
                )
    print(f"{wrong} of the figures differ" if wrong else "every figure is reproduced")
    return 1 if arguments.check and wrong else 0


if __name__ == "__main__":
    sys.exit(main())
