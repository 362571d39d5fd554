"""Networks for the tests of pruning: lively as after training, and compared in float64."""

import copy

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from rheobase.compression.pruning import mask_
from rheobase.compression.pruning.states import reset_states
from rheobase.models import create_model

SIZE = (16, 16)


def spikes(*shape, seed=0, rate=0.4):
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(*shape, generator=generator) < rate).double()


def frames(seed=0, T=2, N=4, size=SIZE):
    return spikes(T, N, 2, *size, seed=seed)


def call(model, x):
    return model(x)


def lively(model, x, run=call):
    """Batch-norm with statistics of `x` and uneven scales, so that spikes flow and channels differ."""
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.momentum = 1.0
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, 0.0, 0.6)
    model.train()
    with torch.no_grad():
        run(model, x)
    reset_states(model)
    return model.eval()


def network(name, seed=0, **options):
    torch.manual_seed(seed)
    width = 0.25 if name == "vgg_small" else 0.125
    model = create_model(name, num_classes=5, input_size=SIZE, **{"width": width, **options})
    return lively(model.double(), frames())


@torch.no_grad()
def outputs(model, x, run=call):
    reset_states(model)
    result = run(model, x)
    reset_states(model)
    return result


def assert_equals_masked(original, slim, plan, x, run=call):
    """The slimmed model against a copy whose removed channels are silenced, in float64, and both against silence."""
    assert plan.cuts
    masked = outputs(mask_(copy.deepcopy(original), plan), x, run)
    assert masked.abs().max() > 0
    torch.testing.assert_close(outputs(slim, x, run), masked, atol=1e-12, rtol=0)


def parameters(model):
    return sum(each.numel() for each in model.parameters())
