"""ReScaW against its equation, its levels, its gradients, and the published code usage."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rheobase.compression import ReScaW, ReScaWConfig, code_usage

MODES = ["l1", "max", "percentile", "l1_scaled", "unit"]


def equation(weight: torch.Tensor, gamma: torch.Tensor, bits: int) -> torch.Tensor:
    s = 2**bits - 1
    return gamma * (2 / s * torch.round(s / 2 * (torch.clamp(weight / gamma, -1, 1) + 1)) - 1)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_value_is_the_equation_in_float64(bits, mode):
    weight = (
        torch.randn(6, 3, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(bits)) * 0.08
    )
    quantiser = ReScaW(ReScaWConfig(bits=bits, gamma_mode=mode))
    expected = equation(weight, quantiser.gamma(weight), bits)
    torch.testing.assert_close(quantiser(weight), expected, rtol=1e-14, atol=1e-15)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([1, 2, 4, 8]), st.sampled_from(MODES), st.floats(0.25, 4))
def test_levels(seed, bits, mode, factor):
    weight = torch.randn(4, 5, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 0.3
    quantiser = ReScaW(ReScaWConfig(bits=bits, gamma_mode=mode))
    quantised = quantiser(weight)
    for channel in quantised:
        assert torch.unique(channel).numel() <= 2**bits
    assert not (quantised == 0).any(), "the number of levels is even: there is no zero"
    integers, unit = quantiser.integers(weight)
    assert torch.equal(integers, integers.round()) and (integers.abs() <= 2**bits - 1).all()
    assert (integers % 2 == 1).all(), "levels are odd integers times the unit"
    torch.testing.assert_close(unit * integers, quantised, rtol=1e-12, atol=1e-15)
    if mode != "unit":  # gamma scales along
        torch.testing.assert_close(quantiser(weight * factor), quantised * factor, rtol=1e-9, atol=1e-12)


def test_idempotent_only_with_gamma_held_fixed():
    weight = torch.randn(8, 64, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 0.08
    quantiser = ReScaW(ReScaWConfig(bits=2))
    gamma = quantiser.gamma(weight)
    once = equation(weight, gamma, 2)
    torch.testing.assert_close(equation(once, gamma, 2), once, rtol=0, atol=1e-16)
    assert (quantiser(once) - once).abs().max() > 1e-3


def test_float32_value_stays_on_the_grid():
    weight = torch.randn(4, 1000, generator=torch.Generator().manual_seed(0)) * 0.08
    quantised = ReScaW(ReScaWConfig(bits=2))(weight)
    assert all(torch.unique(row).numel() == 4 for row in quantised)


def test_gradients():
    weight = torch.tensor([[0.5, -3.0, 0.1, 0.4]], requires_grad=True)  # l1 gamma = 1
    upstream = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
    ReScaW(ReScaWConfig(bits=4, ste="clip"))(weight).backward(upstream)
    assert torch.equal(weight.grad, torch.tensor([[1.0, 0.0, 3.0, 4.0]])), "no gradient where |W/gamma| > 1"
    half = (weight.detach() / 2).requires_grad_()
    ReScaW(ReScaWConfig(bits=4, ste="scaled"))(half).backward(upstream)
    assert torch.equal(half.grad, upstream / 0.5), "gradient / gamma everywhere"


def test_an_all_zero_channel_does_not_divide_by_zero():
    weight = torch.zeros(2, 4)
    assert torch.isfinite(ReScaW(ReScaWConfig())(weight)).all()


def test_code_usage_of_gaussian_weights():
    """On N(0, .08) vanilla uses 77 of 256, 6 of 16, 2 of 4 codes; ReScaW all of them (QP-SNN specification)."""
    weight = torch.randn(64, 4096, generator=torch.Generator().manual_seed(0)) * 0.08
    used = {
        b: round(code_usage(ReScaW(ReScaWConfig(bits=b, gamma_mode="unit")), weight) * 2**b)
        for b in (8, 4, 2)
    }
    assert used[2] == 2 and used[4] in (6, 8) and 70 <= used[8] <= 110
    assert all(code_usage(ReScaW(ReScaWConfig(bits=b)), weight) == 1.0 for b in (8, 4, 2))


@pytest.mark.parametrize("stride,padding", [(1, 0), (2, 1)])
def test_affine_integer_identity(stride, padding):
    """`W_hat * s = gamma * (2/s(b) * (codes * s) - sum(s))`: what the integer program relies on."""
    generator = torch.Generator().manual_seed(3)
    weight = torch.randn(4, 3, 3, 3, generator=generator, dtype=torch.float64)
    spikes = (torch.rand(2, 3, 9, 9, generator=generator) < 0.3).double()
    quantiser = ReScaW(ReScaWConfig(bits=4))
    integers, unit = quantiser.integers(weight)
    codes = (integers + 15) / 2

    def conv(kernel):
        return torch.nn.functional.conv2d(spikes, kernel, stride=stride, padding=padding)

    gamma = quantiser.gamma(weight).reshape(1, -1, 1, 1)
    expected = gamma * (2 / 15 * conv(codes) - conv(torch.ones_like(codes)))
    torch.testing.assert_close(conv(quantiser(weight)), expected, rtol=0, atol=1e-14)
    torch.testing.assert_close(conv(integers) * unit.reshape(1, -1, 1, 1), expected, rtol=0, atol=1e-14)
