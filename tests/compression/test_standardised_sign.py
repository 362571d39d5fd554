"""The binary weights of BESTformer against the closed form of their gradient."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from quantiser_cases import weights

from rheobase.compression import StandardisedSign, StandardisedSignConfig
from rheobase.compression.quantisers.base import sign


def gradient(quantiser, weight, upstream):
    weight = weight.clone().requires_grad_()
    quantiser(weight).backward(upstream)
    return weight.grad


@given(st.integers(0, 1000), st.floats(0.01, 100), st.floats(-3, 3))
def test_forward_is_the_sign_about_the_mean_whatever_scale_and_offset(seed, scale, offset):
    weight, quantiser = weights(seed), StandardisedSign()
    binary = quantiser(weight)
    centred = weight - weight.mean((1, 2, 3), keepdim=True)
    assert torch.equal(binary, sign(centred))
    # within 1e-12 of the mean the rounding of scale * w + offset may decide
    clear = centred.abs() > 1e-12 * (1 + abs(offset) / scale)
    assert torch.equal(quantiser(scale * weight + offset)[clear], binary[clear])
    x = quantiser.normalised(weight).flatten(1)
    torch.testing.assert_close(x.mean(1), torch.zeros(6, dtype=x.dtype), atol=1e-12, rtol=0)
    torch.testing.assert_close(x.std(1), torch.ones(6, dtype=x.dtype), atol=1e-7, rtol=0)


@given(st.integers(0, 1000))
def test_gradient_is_the_closed_form_and_is_not_clipped(seed):
    weight = weights(seed)
    g = torch.randn(weight.shape, generator=torch.Generator().manual_seed(seed + 1), dtype=torch.float64)
    found = gradient(StandardisedSign(StandardisedSignConfig(eps=0.0)), weight, g).flatten(1)
    rows, g = weight.flatten(1), g.flatten(1)
    n, spread = rows.shape[1], rows.std(1, keepdim=True)
    x = (rows - rows.mean(1, keepdim=True)) / spread
    wanted = (g - g.mean(1, keepdim=True) - x * (g * x).sum(1, keepdim=True) / (n - 1)) / spread
    torch.testing.assert_close(found, wanted)
    size = found.norm(dim=1)
    assert (found.sum(1).abs() < 1e-10 * size).all()
    assert ((found * rows).sum(1).abs() < 1e-10 * size).all(), (
        "orthogonal to w: weight decay acts on the deviation alone"
    )
    assert found[x.abs() > 1].abs().min() > 0


def test_gradient_by_finite_differences_of_the_standardisation():
    quantiser, weight = StandardisedSign(), weights(2, shape=(2, 3, 2, 2)).requires_grad_()
    assert torch.autograd.gradcheck(quantiser.normalised, weight)


def test_zero_and_constant_channels_are_one_bit_too():
    for value in (0.0, 0.1):
        weight = torch.full((2, 3, 1, 1), value, requires_grad=True)
        binary = StandardisedSign()(weight)
        binary.sum().backward()
        assert set(binary.unique().tolist()) <= {-1.0, 1.0}
        assert torch.isfinite(weight.grad).all()


def test_options():
    weight, ones = weights(1), torch.ones(6, 5, 3, 3, dtype=torch.float64)
    scaled = StandardisedSign(StandardisedSignConfig(scale="mean_abs"))(weight)
    torch.testing.assert_close(scaled.abs()[:, 0, 0, 0], weight.abs().mean((1, 2, 3)))
    assert torch.equal(StandardisedSign(StandardisedSignConfig(norm="none"))(weight), sign(weight))
    plain = StandardisedSignConfig(norm="none", ste="clip")
    assert torch.equal(
        gradient(StandardisedSign(plain), 3 * weight, ones), ((3 * weight).abs() <= 1).double()
    )
    centred = gradient(StandardisedSign(StandardisedSignConfig(norm="centre")), weight, ones)
    assert centred.abs().max() < 1e-12, "a constant gradient is all mean"
    with pytest.raises(ValueError, match="bits"):
        StandardisedSignConfig(bits=2)
