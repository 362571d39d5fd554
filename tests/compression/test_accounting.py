"""Bytes counted without compiling: those of the compiled program, and those that papers print."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from rheobase import native
from rheobase.compression import (
    LibraConfig,
    LSQConfig,
    QuantConfig,
    ReScaWConfig,
    TernaryConfig,
    account,
    harden,
    published_bytes,
    quantise_,
    weight_bytes,
)
from rheobase.models import create_model
from rheobase.neurons import UniformMembrane, preset
from rheobase.program import measure
from rheobase.program.lower import lower

SIZES = Path(__file__).parents[2] / "benchmarks" / "sizes.py"


def small(neuron="lif_soft"):
    torch.manual_seed(0)
    return create_model(
        "vgg_small", num_classes=4, in_channels=2, input_size=(16, 16), width=0.5, neuron=neuron
    )


@pytest.mark.parametrize("neuron", ["lif_soft", "lif_tet"])
@pytest.mark.parametrize(
    "weights", [ReScaWConfig(bits=3), LibraConfig(), TernaryConfig(), ReScaWConfig(bits=8)]
)
def test_counted_equals_compiled(weights, neuron):
    if native.compiler() is None:
        pytest.skip("no C compiler")
    model = quantise_(small(neuron), QuantConfig(weights=weights)).eval()
    program = lower(harden(model), name="test", T=2)
    counted, compiled = account(program), measure(program)
    assert counted.constants == compiled.bytes_weights
    assert counted.state == compiled.bytes_membranes
    assert counted.weights == weight_bytes(model), "known before hardening"


def test_by_hand():
    model = quantise_(small(), QuantConfig(weights=LibraConfig())).eval()
    found = account(lower(harden(model), name="test", T=2))
    convs = 9 * (2 * 8 + 8 * 16 // 8 + 16 * 32 // 8 + 32 * 32 // 8)  # 8-bit first layer, then 1 bit
    assert found.weights == convs + 32 * 2 * 2 * 4
    assert found.thresholds == 4 * (8 + 16 + 32 + 32) and found.biases == found.thresholds + 4 * 4
    assert found.membranes == 2 * (8 * 256 + 16 * 64 + 32 * 16 + 32 * 4) and found.logits == 16


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_rounded_membranes_by_hand(bits):
    neuron = preset("lif_soft").model_copy(update={"membrane": UniformMembrane(bits=bits)})
    model = quantise_(small(neuron), QuantConfig(weights=LibraConfig())).eval()
    found = account(lower(harden(model), name="test", T=2))
    neurons = 8 * 256 + 16 * 64 + 32 * 16 + 32 * 4
    assert found.membranes == neurons * bits // 8 and found.state == found.membranes + 16
    assert found.gains == found.thresholds == 4 * (8 + 16 + 32 + 32)
    assert found.tables == 4 * 4 * (2**bits + 2**bits - 2), (
        "2^bits levels and an edge fewer than 2^bits - 1 of them"
    )


def test_published_formula_by_hand():
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3, bias=False), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(4, 2)
    )
    assert published_bytes(model) == 4 * sum(p.numel() for p in model.parameters())
    quantise_(model, QuantConfig(weights=LSQConfig(bits=2), edge_bits=None))
    assert published_bytes(model) == 4 * (72 + 8 + 4 + 10) + 144 * 2 / 8, "the learned step counts nothing"
    assert published_bytes(model, counts=lambda name: not name.endswith("bias")) == 4 * (72 + 4 + 8) + 36


def test_a_channel_count_that_is_no_multiple_of_8_pads_rows():
    model = quantise_(
        nn.Sequential(nn.Conv2d(1, 3, 1), nn.Conv2d(3, 5, 1), nn.Conv2d(5, 2, 1)),
        QuantConfig(weights=LibraConfig()),
    )
    assert weight_bytes(model) == 3 + 3 * 1 + 5 * 2


@pytest.mark.slow
def test_sizes_benchmark_reproduces_the_papers():
    done = subprocess.run(
        [sys.executable, str(SIZES), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
