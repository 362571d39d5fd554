import math

import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from scipy.integrate import quad

from rheobase.kernels import (
    SURROGATES,
    Atan,
    PiecewiseQuadratic,
    Rectangular,
    Sigmoid,
    Surrogate,
    Triangular,
    spike,
)

SHAPED = [
    *(kind() for kind in SURROGATES.values()),
    Rectangular(width=0.5),
    Triangular(gamma=2.0),
    Sigmoid(alpha=1.5),
    Atan(alpha=5.0),
    PiecewiseQuadratic(alpha=3.0),
]


def at(surrogate, u):
    return surrogate.derivative(torch.tensor(u, dtype=torch.float64)).item()


@pytest.mark.parametrize("surrogate", SHAPED, ids=repr)
def test_area_is_one(surrogate):
    if surrogate.name == "atan":  # heavy tails: integrate them in closed form
        edge = 50.0
        tail = 1 - 2 / math.pi * math.atan(math.pi / 2 * surrogate.alpha * edge)
    else:
        edge, tail = 20.0, 0.0
    corners = [c for w in (0.25, 0.5, 1.0, 2.0, 1 / 3) for c in (-w, w)] + [0.0]
    area, _ = quad(lambda u: at(surrogate, u), -edge, edge, points=corners, limit=400)
    assert area + tail == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("surrogate", SHAPED, ids=repr)
def test_derivative_is_that_of_smooth(surrogate):
    u = torch.linspace(-3, 3, 601, dtype=torch.float64) + 1e-3  # off the corners
    step = 1e-6
    slope = (surrogate.smooth(u + step) - surrogate.smooth(u - step)) / (2 * step)
    torch.testing.assert_close(surrogate.derivative(u), slope, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("surrogate", SHAPED, ids=repr)
def test_smooth_steps_from_zero_to_one(surrogate):
    u = torch.tensor([-1e9, 0.0, 1e9], dtype=torch.float64)
    torch.testing.assert_close(surrogate.smooth(u), torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64))


def test_values_by_hand():
    assert [at(Rectangular(width=2.0), u) for u in (-1.0, -0.99, 0.0, 0.99, 1.0)] == [0, 0.5, 0.5, 0.5, 0]
    assert [at(Triangular(gamma=2.0), u) for u in (-2.0, -1.0, 0.0, 1.0, 3.0)] == [0, 0.25, 0.5, 0.25, 0]
    assert [at(PiecewiseQuadratic(alpha=2.0), u) for u in (-0.5, -0.25, 0.0, 0.25)] == [0, 1, 2, 1]
    assert at(Sigmoid(alpha=4.0), 0.0) == 1.0
    assert at(Atan(alpha=2.0), 1 / math.pi) == pytest.approx(0.5)


def test_spike_fires_on_a_tie_unless_strict():
    u = torch.tensor([-1e-30, -0.0, 0.0, 1e-30])
    assert spike(u, Sigmoid()).tolist() == [0, 1, 1, 1]
    assert spike(u, Sigmoid(), strict=True).tolist() == [0, 0, 0, 1]


@pytest.mark.parametrize("surrogate", SHAPED, ids=repr)
def test_spike_backward_is_the_derivative(surrogate):
    u = torch.linspace(-2, 2, 41, dtype=torch.float64, requires_grad=True)
    weight = torch.linspace(1, 3, 41, dtype=torch.float64)
    (grad,) = torch.autograd.grad(spike(u, surrogate), u, weight)
    torch.testing.assert_close(grad, weight * surrogate.derivative(u.detach()))
    assert grad.abs().sum() > 0


def test_union_is_discriminated_by_name():
    adapter = TypeAdapter(Surrogate)
    assert adapter.validate_python({"name": "atan", "alpha": 3.0}) == Atan(alpha=3.0)
    with pytest.raises(ValidationError):
        adapter.validate_python({"name": "atan", "width": 3.0})
    with pytest.raises(ValidationError):
        Rectangular(width=0.0)
    assert {name: kind().name for name, kind in SURROGATES.items()} == {name: name for name in SURROGATES}
    assert Triangular(gamma=0.5).shape == 0.5
