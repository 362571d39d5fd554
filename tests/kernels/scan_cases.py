"""What the tests of the scan share: settings, and one call that returns spikes and all gradients."""

import itertools

import pytest
import torch

from rheobase.kernels import SURROGATES, Sigmoid
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
PLAIN = {"surrogate": Sigmoid(), "v_reset": None, "detach_reset": False, "strict": False}

needs_compiler = pytest.mark.skipif(compiler() is None, reason="the fused scan needs a C compiler")


def gradients(scan, x, leak, threshold, grad, options):
    """Spikes and the gradients to x, leak and threshold under the upstream gradient `grad`."""
    given = [value.detach().clone().requires_grad_() for value in (x, leak, threshold)]
    given[0] = x.detach().requires_grad_()  # keeps its memory layout
    spikes = scan(*given, **options)
    return spikes.detach(), *torch.autograd.grad(spikes, given, grad)
