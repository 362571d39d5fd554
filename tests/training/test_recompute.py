"""Recomputing stages: same gradients and running statistics, fewer bytes kept for the backward pass."""

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks

from rheobase.errors import RecipeError
from rheobase.models import create_model
from rheobase.objectives import StableSpike, collect
from rheobase.training.recompute import recomputed, stages


def network(name):
    torch.manual_seed(0)
    return create_model(name, num_classes=3, input_size=(16, 16), width=0.25).train()


def learn(model, frames, target, on):
    """Loss, and the bytes of distinct memory kept between the forward and the backward pass."""
    kept = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    torch.manual_seed(1)
    with recomputed(model, on):
        with saved_tensors_hooks(keep, lambda tensor: tensor):
            loss = StableSpike()(collect(model, frames, StableSpike()), target).total
        loss.backward()
    return loss, sum(kept.values())


@pytest.mark.parametrize("name", ["vgg_small", "ms_resnet18"])
def test_gradients_and_statistics_are_the_same_and_less_is_kept(name):
    frames, target = torch.rand(20, 4, 2, 16, 16).mul(3).round(), torch.tensor([0, 1, 2, 0])
    plain, again = network(name), network(name)
    (one, whole), (two, less) = learn(plain, frames, target, False), learn(again, frames, target, True)
    assert torch.equal(one, two)
    for (key, a), b in zip(plain.named_parameters(), again.parameters(), strict=True):
        assert torch.equal(a.grad, b.grad), key
    for (key, a), b in zip(plain.named_buffers(), again.buffers(), strict=True):
        assert torch.equal(a, b), key
    assert any(key.endswith("num_batches_tracked") and int(b) == 1 for key, b in again.named_buffers())
    assert less < 0.55 * whole


def test_the_model_is_given_back_as_it_was():
    model = network("vgg_small")
    with recomputed(model):
        assert "forward" in vars(model.features)
    assert "forward" not in vars(model.features)
    assert all(norm.momentum == 0.1 for norm in model.modules() if isinstance(norm, torch.nn.BatchNorm2d))


def test_stages_end_in_neurons():
    groups = [
        [type(layer).__name__ for layer in stage.args[0]] for stage in stages(network("vgg_small").features)
    ]
    assert groups[0] == ["Conv2d", "BatchNorm2d", "LIF"]
    assert groups[1:] == [["AvgPool2d", "Conv2d", "BatchNorm2d", "LIF"]] * 3


def test_a_model_without_stages():
    with (
        pytest.raises(RecipeError, match=r"model\.features.*train\.recompute=false"),
        recomputed(torch.nn.Linear(2, 2)),
    ):
        pass
