"""What the tests of the scan share: settings, and one call that returns spikes and all gradients."""

import itertools

import pytest
import torch

from rheobase.kernels import SURROGATES, EventGradient, Sigmoid, SquatMembrane, TanhMembrane, UniformMembrane
from rheobase.native import compiler

OPTIONS = [
    pytest.param(
        {"surrogate": kind(), "v_reset": v_reset, "detach_reset": detach, "strict": strict},
        id=f"{name}-{v_reset}{'-detach' * detach}{'-strict' * strict}",  # v_reset None is the soft reset
    )
    for (name, kind), v_reset, detach, strict in itertools.product(
        SURROGATES.items(), (None, 0.0, -0.25), (False, True), (False, True)
    )
]
VARIANTS = [
    pytest.param({}, id="binary"),
    pytest.param({"ternary": True}, id="ternary"),
    pytest.param(
        {"membrane": UniformMembrane(bits=4, limit=0.875)}, id="uniform"
    ),  # edges tie with sums of `drive`
    pytest.param({"membrane": TanhMembrane(bits=2)}, id="tanh"),
    pytest.param({"membrane": SquatMembrane(bits=8)}, id="squat"),
    pytest.param({"ternary": True, "membrane": UniformMembrane(bits=8, limit=1.3)}, id="ternary-uniform"),
]
EVENTS = [
    pytest.param({"gradient": EventGradient()}, id="spike-local"),
    pytest.param({"gradient": EventGradient(mask="band", band=0.625, temporal="isi")}, id="band-isi"),
    pytest.param({"ternary": True, "gradient": EventGradient()}, id="ternary-spike-local"),
    pytest.param(
        {
            "membrane": UniformMembrane(bits=4, limit=0.875),
            "gradient": EventGradient(mask="band", band=0.625),
        },
        id="uniform-band-local",
    ),
]
MEMBRANES = [
    *(UniformMembrane(bits=bits, limit=limit) for bits, limit in ((2, 0.75), (4, 0.875), (8, 1.0))),
    *(TanhMembrane(bits=bits, limit=limit) for bits, limit in ((2, 1.0), (4, 0.9), (8, 1.0))),
    *(SquatMembrane(bits=bits) for bits in (2, 4, 8)),
    SquatMembrane(bits=4, threshold=0.75, lower=0.5, upper=0.0, multiplier=0.7),
    SquatMembrane(bits=8, spacing="uniform"),
]
PLAIN = {"surrogate": Sigmoid(), "v_reset": None, "detach_reset": False, "strict": False}

needs_compiler = pytest.mark.skipif(compiler() is None, reason="the fused scan needs a C compiler")


def gradients(scan, x, leak, threshold, grad, options):
    """Spikes and the gradients to x, leak and threshold under the upstream gradient `grad`."""
    given = [value.detach().clone().requires_grad_() for value in (x, leak, threshold)]
    given[0] = x.detach().requires_grad_()  # keeps its memory layout
    spikes = scan(*given, **options)
    return spikes.detach(), *torch.autograd.grad(spikes, given, grad)


def drive(*shape, seed=0):
    """Multiples of 1/8, so that with leak 1/2 and threshold 1 many membranes tie with the threshold."""
    return (torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 8 + 2).round() / 8
