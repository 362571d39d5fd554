"""Sizes printed in QP-SNN and Q-SNN, counted from the networks built and quantised as their papers say.

    python benchmarks/sizes.py            # the table
    python benchmarks/sizes.py --check    # also fail where a size is more than 0.02 MB off, or a parameter count differs

The shapes alone are needed: networks are plain torch modules on the `meta` device, which holds no numbers, already as wide as
pruning leaves them. Counting is `rheobase.compression.published_bytes` (MB = 10^6 bytes): `bits` a quantised weight, 32 for every
float weight, bias and batch-norm value. Sources: QP-SNN (ICLR 2025) main table and released pruning ratios; Q-SNN (ACM MM 2024)
and the sizes that BSO (ICML 2025) prints for VGG-11.
"""

import argparse
import math
import sys
from collections.abc import Callable, Iterator, Sequence
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

TOLERANCE = 0.02  # MB


def kept(channels: int, ratio: float) -> int:
    """Channels that pruning leaves, `floor(C * (1 - r))`, at least one."""
    return max(1, math.floor(channels * (1 - ratio) + 1e-9))


def conv(cin: int, cout: int, kernel: int = 3, *, bias: bool = False) -> Iterator[nn.Module]:
    yield nn.Conv2d(cin, cout, kernel, padding=kernel // 2, bias=bias)
    yield nn.BatchNorm2d(cout)


def vgg(widths: Sequence[int], inputs: int, classes: int, *, cin: int = 3, bias: bool = False) -> nn.Module:
    """Convolutions with batch-norm, and a linear layer on `inputs` values of each channel."""
    layers: list[nn.Module] = []
    for cout in widths:
        layers += conv(cin, cout, bias=bias)
        cin = cout
    return nn.Sequential(*layers, nn.Linear(cin * inputs, classes))


def vgg16(early: float, late: float, classes: int = 10, inputs: int = 1) -> nn.Module:
    """VGG-16 of QP-SNN, pruned: conv1-7 by `early`, conv8-12 by `late`, conv13 whole."""
    dense = [64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]
    ratios = [early] * 7 + [late] * 5 + [0.0]
    return vgg([kept(c, r) for c, r in zip(dense, ratios, strict=True)], inputs, classes)


def vggsnn(ratios: Sequence[float]) -> nn.Module:
    """VGGSNN for DVS-CIFAR10 at 48 x 48: eight convolutions, a 3 x 3 map into the linear layer."""
    dense = [64, 128, 256, 256, 512, 512, 512, 512]
    return vgg([kept(c, r) for c, r in zip(dense, [*ratios, 0.0], strict=True)], 9, 10, cin=2)


def resnet20(ratios: Sequence[float], classes: int) -> nn.Module:
    """Wide ResNet-20 of QP-SNN; `ratios` are those of conv0, the outputs of stages 1 and 2, and the nine middles."""
    outputs = [kept(c, r) for c, r in zip((128, 256, 512), (*ratios[1:3], 0.0), strict=True)]
    middles = iter(ratios[3:])
    cin = kept(64, ratios[0])
    layers = list(conv(3, cin))
    for dense, cout in zip((128, 256, 512), outputs, strict=True):
        for _ in range(3):
            middle = kept(dense, next(middles))
            layers += [*conv(cin, middle), *conv(middle, cout)]  # the shortcut has no weights
            cin = cout
    return nn.Sequential(*layers, nn.Linear(cin, classes))


def resnet20_pruned(stages: float, middles: float, classes: int) -> nn.Module:
    """ResNet-20 with the published list `[0.1] + [stages]*3 + [middles]*16`."""
    return resnet20([0.1, stages, stages, stages, *[middles] * 8], classes)


def resnet19(classes: int) -> nn.Module:
    """ResNet-19 of Q-SNN: stem of 128, stages 128, 256, 512 of 3, 3, 2 blocks, a 1x1 convolution where the shape changes."""
    cin = 128
    layers = list(conv(3, cin))
    for cout, blocks in ((128, 3), (256, 3), (512, 2)):
        for block in range(blocks):
            layers += [*conv(cin, cout), *conv(cout, cout)]
            if block == 0 and cin != cout:
                layers += conv(cin, cout, 1)
            cin = cout
    return nn.Sequential(*layers, nn.Linear(cin, classes))


def vgg11(classes: int) -> nn.Module:
    """VGG-11 of the table of BSO: 64-128-256-256-512-512-512-512, global pooling."""
    return vgg([64, 128, 256, 256, 512, 512, 512, 512], 1, classes)


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


QP_SNN = [
    Row(
        "ResNet20 C10, 6.22M",
        lambda: resnet20_pruned(0.3, 0.6, 10),
        {8: "6.27", 4: "3.16", 2: "1.61"},
        weights="6.219",
    ),
    Row(
        "ResNet20 C10, 3.87M",
        lambda: resnet20_pruned(0.35, 0.75, 10),
        {8: "3.92", 4: "1.98", 2: "1.02"},
        weights="3.873",
    ),
    Row(
        "ResNet20 C100, 6.27M",
        lambda: resnet20_pruned(0.3, 0.6, 100),
        {8: "6.45", 4: "3.35", 2: "1.79"},
        weights="6.265",
    ),
    Row(
        "ResNet20 C100, 3.92M",
        lambda: resnet20_pruned(0.35, 0.75, 100),
        {8: "4.10", 4: "2.17", 2: "1.20"},
        weights="3.919",
    ),
    Row("VGG-16 C10, 4.25M", lambda: vgg16(0.45, 0.51), {8: "4.28", 4: "2.16", 2: "1.10"}, "4.25"),
    Row("VGG-16 C10, 1.42M", lambda: vgg16(0.49, 0.80), {8: "1.45", 4: "0.74", 2: "0.39"}, "1.42"),
    Row("VGG-16 C100, 2.31M", lambda: vgg16(0.45, 0.70, 100), {8: "2.48", 4: "1.35", 2: "0.79"}, "2.31"),
    Row("VGG-16 C100, 1.68M", lambda: vgg16(0.45, 0.78, 100), {8: "1.85", 4: "1.04", 2: "0.63"}, "1.68"),
    Row("VGG-16 Tiny, 4.65M", lambda: vgg16(0.45, 0.51, 200, 4), {8: "5.90", 4: "3.78", 2: "2.72"}, "4.65"),
    Row("VGG-16 Tiny, 3.43M", lambda: vgg16(0.45, 0.62, 200, 4), {8: "4.67", 4: "3.17", 2: "2.41"}, "3.43"),
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
    Row("ResNet20 C100, dense", lambda: resnet20_pruned(0, 0, 100), {32: "68.4"}, tolerance=0.06),
]
Q_SNN = [
    Row("ResNet-19 C10, 8-bit edges", lambda: resnet19(10), {1: "1.62", 32: "50.28"}, "12.57"),
    Row("ResNet-19 C100, 8-bit edges", lambda: resnet19(100), {1: "1.67"}),
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
            for bits, printed in row.printed.items():
                with torch.device("meta"):
                    model = row.build()
                norms = sum(
                    p.numel()
                    for m in model.modules()
                    if isinstance(m, nn.BatchNorm2d)
                    for p in m.parameters()
                )
                parameters = sum(p.numel() for p in model.parameters())
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
