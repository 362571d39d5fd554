"""S4NN: spikes at arrivals, and its rule of thumb for gradients."""

import pytest
import torch
from cases import INF, fire

from rheobase.objectives import Outputs, RelativeTarget, RelativeTargetConfig
from rheobase.spiketime import S4NN

T = torch.tensor


def test_fires_at_the_arrival_that_reaches_the_threshold():
    t = T([[0.1, 0.3, 0.2, 0.9]])
    w = T([[0.4, 0.5, 0.2, 1.0], [0.5, 0.1, 0.1, 0.1], [0.2, -1.0, 0.2, 1.6]])
    assert fire(S4NN(), t, w).tolist() == [[pytest.approx(0.3), INF, pytest.approx(0.9)]]


def test_inputs_that_coincide_count_together():
    t = T([[0.5, 0.5, 0.7]])
    assert fire(S4NN(), t, T([[1.5, -1.0, 0.6]])).item() == pytest.approx(0.7)


def test_gradients():
    t = T([[0.1, 0.3, 0.2, INF]], requires_grad=True)
    w = T([[0.4, 0.7, 0.2, 1.0], [0.1, 0.1, 0.1, 0.1]], requires_grad=True)
    fired = fire(S4NN(normalise=False), t, w)  # .3 and silent (as if at t_max = 1)
    fired.backward(T([[2.0, 3.0]]))
    assert w.grad.tolist() == [[-2, 0, -2, 0], [-3, -3, -3, 0]]
    assert t.grad.tolist()[0] == pytest.approx([2 * 0.4 + 3 * 0.1, 3 * 0.1, 2 * 0.2 + 3 * 0.1, 0])


def test_gradient_to_times_has_norm_one():
    t = torch.rand(5, 6, requires_grad=True)
    fire(S4NN(), t, torch.rand(4, 6)).backward(torch.ones(5, 4))
    assert torch.allclose(t.grad.norm(dim=1), torch.ones(5))


def test_relative_target():
    t = T([[0.2, 0.25, 0.6], [1.0, 1.0, 1.0]])
    goal = RelativeTarget(RelativeTargetConfig(t_max=1.0, gamma=0.1)).goal(t, T([1, 0]))
    assert goal.flatten().tolist() == pytest.approx([0.3, 0.2, 0.6, 0.9, 1.0, 1.0])
    loss = RelativeTarget()(Outputs(-t.unsqueeze(0), {}, None), T([1, 0]))
    assert loss.total.item() == pytest.approx((0.01 + 0.0025 + 0.01) / 2 / 2)
