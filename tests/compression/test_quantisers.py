"""What holds for every weight quantiser: levels, codes, idempotence, gradients, guards; and each method's own figures."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from quantiser_cases import ALL, label, started, weights

from rheobase.compression import (
    BWN,
    LSQ,
    MINT,
    BWNConfig,
    DoReFa,
    DoReFaConfig,
    Libra,
    LibraConfig,
    LSQConfig,
    MaxAbs,
    MaxAbsConfig,
    MINTConfig,
    QuantiserConfig,
    ReScaW,
    ReScaWConfig,
    Ternary,
    Uniform,
    UniformConfig,
    build_quantiser,
    code_counts,
    code_entropy,
    code_usage,
    list_quantisers,
    quantiser_config,
)
from rheobase.compression.quantisers.base import QuantiserBase
from rheobase.errors import LatticeError, RecipeError


@settings(max_examples=120, deadline=None)
@given(st.sampled_from(ALL), st.integers(0, 10_000), st.sampled_from([0.02, 0.3, 2.0]), st.booleans())
def test_value_is_unit_times_integers_of_the_codes(config, seed, std, per_channel):
    if type(config).model_fields["per_channel"].annotation is bool:
        config = config.model_copy(update={"per_channel": per_channel})
    weight = weights(seed, std=std)
    quantiser = started(config, weight)
    integers, unit = quantiser.integers(weight)
    codes = quantiser.codes(weight)
    assert codes.min() >= 0 and codes.max() < quantiser.levels <= 2**config.bits
    assert torch.equal(quantiser.step * codes.double() + quantiser.offset, integers.double())
    with torch.no_grad():
        assert torch.equal(quantiser(weight), unit * integers)
    assert unit.numel() == (6 if config.per_channel else 1) and (unit > 0).all()
    assert all(row.unique().numel() <= quantiser.levels for row in quantiser(weight).detach())
    assert 0 < code_usage(quantiser, weight) <= 1
    assert int(code_counts(quantiser, weight).sum()) == weight.numel()
    assert 0 <= code_entropy(quantiser, weight) <= math.log(quantiser.levels) + 1e-12


@pytest.mark.parametrize("config", ALL, ids=label)
def test_idempotent_at_fixed_scale(config):
    """Quantising what is on the grid already, with the same unit, changes nothing."""
    weight = weights(3)
    quantiser = started(config, weight)
    integers, unit = quantiser.integers(weight)
    once = unit * integers
    nearest = quantiser.step * ((once / unit - quantiser.offset) / quantiser.step).round() + quantiser.offset
    assert torch.equal(unit * nearest, once)
    if config.name in (
        "uniform",
        "lsq",
        "max_abs",
    ):  # the unit does not depend on the rounding, or not on the weight
        assert torch.equal(quantiser(once).detach(), once)


@pytest.mark.parametrize("config", ALL, ids=label)
def test_float32_stays_on_the_grid_and_zeros_are_survived(config):
    weight = weights(1).float()
    quantiser = started(config, weight)
    assert quantiser(weight).dtype == torch.float32
    assert all(row.unique().numel() <= quantiser.levels for row in quantiser(weight).detach())
    for value in (0.0, 0.25):
        flat = torch.full((3, 4), value, requires_grad=True)
        quantised = started(config, flat)(flat)
        quantised.sum().backward()
        assert torch.isfinite(quantised).all() and torch.isfinite(flat.grad).all()


@pytest.mark.parametrize("config", ALL, ids=label)
def test_configuration_survives_json(config):
    adapter = TypeAdapter(QuantiserConfig)
    assert adapter.validate_json(adapter.dump_json(config)) == config
    assert isinstance(build_quantiser(config), torch.nn.Module) and str(config.bits) in repr(
        build_quantiser(config)
    )


def gradient(quantiser, weight, upstream=None):
    weight = weight.clone().requires_grad_()
    quantised = quantiser(weight)
    quantised.backward(torch.ones_like(quantised) if upstream is None else upstream)
    return weight.grad


def test_uniform_is_rescaw_with_gamma_1():
    weight = weights(std=0.8)
    for bits in (1, 2, 3, 4, 8):
        uniform, rescaw = (
            Uniform(UniformConfig(bits=bits)),
            ReScaW(ReScaWConfig(bits=bits, gamma_mode="unit")),
        )
        assert torch.equal(uniform(weight), rescaw(weight))
        assert torch.equal(gradient(uniform, weight), (weight.abs() <= 1).double())
    small = weights(std=0.08)
    assert torch.equal(Uniform(UniformConfig(bits=2))(small).abs(), torch.full_like(small, 1 / 3)), (
        "+-1/3 alone"
    )
    assert code_usage(Uniform(UniformConfig(bits=2)), small) == 0.5


def test_max_abs_by_hand():
    quantiser = MaxAbs(MaxAbsConfig(bits=3))  # n = 3
    weight = torch.tensor([[0.3, -0.6, 0.14, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(quantiser(weight), torch.tensor([[0.4, -0.6, 0.2, 0.0]], dtype=torch.float64))
    assert torch.equal(gradient(quantiser, weight), torch.ones_like(weight))


def test_bwn_by_hand():
    weight = torch.tensor([[0.5, -1.5, 0.0, 2.0]], dtype=torch.float64)
    assert BWN()(weight).tolist() == [[1.0, -1.0, 1.0, 1.0]]
    assert gradient(BWN(), weight).tolist() == [[1.0, 0.0, 1.0, 0.0]]
    per_tensor = BWN(BWNConfig(per_channel=False))(torch.tensor([[1.0, 1.0], [-3.0, 3.0]]))
    assert per_tensor.tolist() == [[2.0, 2.0], [-2.0, 2.0]]


def test_ternary_by_hand():
    weight = torch.tensor([[1.0, -0.2, 0.6, -2.0]], dtype=torch.float64)  # delta = .7 * .95 = .665
    assert Ternary()(weight).tolist() == [[1.5, 0.0, 0.0, -1.5]]
    assert gradient(Ternary(), weight).tolist() == [[1.0] * 4]


def test_dorefa_levels_and_gradient():
    weight = weights()
    levels = DoReFa(DoReFaConfig(bits=2))(weight).unique()
    torch.testing.assert_close(levels, torch.tensor([-1, -1 / 3, 1 / 3, 1], dtype=torch.float64))
    slope = (1 - weight.tanh() ** 2) / weight.tanh().abs().max()
    torch.testing.assert_close(gradient(DoReFa(DoReFaConfig(bits=4)), weight), slope)
    one = DoReFa(DoReFaConfig(bits=1))
    torch.testing.assert_close(one(weight), weight.sign() * weight.abs().mean())
    assert torch.equal(gradient(one, weight), torch.ones_like(weight))


def test_mint_integers_are_the_float_form():
    weight = weights(std=1.0)
    for bits in (2, 3, 4, 8):
        quantiser, n = MINT(MINTConfig(bits=bits)), 2 ** (bits - 1) - 1
        alpha = weight.tanh().abs().max()
        expected = alpha / n * torch.round(torch.clamp(weight.tanh() / alpha, -1, 1) * n)
        torch.testing.assert_close(quantiser(weight), expected, rtol=1e-14, atol=1e-15)
        torch.testing.assert_close(gradient(quantiser, weight), 1 - weight.tanh() ** 2)
        assert quantiser.levels == 2 * n + 1 and float(quantiser.alpha(weight)) == float(alpha)


def test_lsq_start_value_and_gradients():
    v = torch.tensor([[0.26, -0.9, 3.0, -0.1]], dtype=torch.float64)
    quantiser = LSQ(LSQConfig(bits=2))  # Qn = 2, Qp = 1
    quantiser.start(v)
    assert quantiser.step_size.item() == pytest.approx(2 * v.abs().mean().item() / math.sqrt(1))
    with torch.no_grad():
        quantiser.step_size.fill_(0.4)
    w = v.clone().requires_grad_()
    upstream = torch.tensor([[1.0, 2.0, 3.0, 4.0]], dtype=torch.float64)
    out = quantiser(w)  # v/s = .65, -2.25, 7.5, -.25
    torch.testing.assert_close(out.detach(), torch.tensor([[0.4, -0.8, 0.4, -0.0]], dtype=torch.float64))
    out.backward(upstream)
    assert w.grad.tolist() == [[1.0, 0.0, 0.0, 4.0]]
    by_hand = 1 * (1 - 0.65) + 2 * -2 + 3 * 1 + 4 * (0 + 0.25)
    assert float(quantiser.step_size.grad) == pytest.approx(by_hand / math.sqrt(4 * 1))
    per_channel = started(LSQConfig(bits=4, per_channel=True), weights())
    per_channel(weights()).sum().backward()
    assert per_channel.step_size.grad.shape == (6, 1, 1, 1)


def test_lsq_stays_positive_and_says_how_to_start():
    quantiser = started(LSQConfig(), weights())
    with torch.no_grad():
        quantiser.step_size.fill_(-1.0)
    assert torch.isfinite(quantiser(weights())).all()
    with pytest.raises(LatticeError, match="start"):
        LSQ()(weights())
    assert started(LSQConfig(symmetric=True), weights()).levels == 15


def test_libra_standardises_and_scales_by_a_power_of_two():
    weight = weights(shape=(16, 8, 3, 3)) + 0.5
    quantiser = Libra()
    x = quantiser.standardise(weight).flatten(1)
    torch.testing.assert_close(x.mean(1), torch.zeros(16, dtype=torch.float64), atol=1e-12, rtol=0)
    torch.testing.assert_close(x.std(1), torch.ones(16, dtype=torch.float64))
    quantised = quantiser(weight)
    assert torch.equal(quantised.abs(), torch.ones_like(quantised)), "Gaussian: 2^round(log2(.79)) = 1"
    assert quantised.flatten(1).mean(1).abs().max() < 0.25, "centred: both signs as likely"
    spiky = torch.zeros(1, 64)
    spiky[0, 0] = 1.0
    assert Libra()(spiky).abs().unique().tolist() == [0.25], "mean|w~| = .246"


@pytest.mark.parametrize("done,t,k", [(0.0, 0.1, 10.0), (0.5, 1.0, 1.0), (1.0, 10.0, 1.0)])
def test_libra_gradient_is_the_error_decay_estimator_through_the_standardisation(done, t, k):
    quantiser = Libra().double()
    assert (float(quantiser.k), float(quantiser.t)) == (10.0, pytest.approx(0.2))
    quantiser.set_progress(done)
    assert float(quantiser.t) == pytest.approx(t) and float(quantiser.k) == pytest.approx(k)
    weight, upstream = weights(shape=(4, 9)), weights(1, shape=(4, 9))
    w = weight.clone().requires_grad_()
    x = (w - w.mean(1, keepdim=True)) / w.std(1, keepdim=True)
    slope = (quantiser.k * quantiser.t * (1 - torch.tanh(quantiser.t * x) ** 2)).detach()
    (x * upstream * slope * quantiser.scale(weight)).sum().backward()
    torch.testing.assert_close(gradient(quantiser, weight, upstream), w.grad)


def test_libra_progress_goes_with_the_state_dict():
    one, other = Libra(), Libra()
    one.set_progress(0.7)
    other.load_state_dict(one.state_dict())
    assert torch.equal(one.t, other.t) and torch.equal(one.k, other.k)


def test_irnet_is_another_name_of_libra():
    assert isinstance(build_quantiser(quantiser_config("irnet")), Libra)
    assert {"irnet", "libra", "rescaw", "lsq", "dorefa", "bwn", "ternary", "mint", "uniform"} <= set(
        list_quantisers()
    )


def test_errors_teach():
    with pytest.raises(RecipeError, match=r"unknown quantiser 'lqs'; did you mean 'lsq'"):
        quantiser_config("lqs")
    with pytest.raises(RecipeError, match=r"'libra': bits is 4, it has 1"):
        quantiser_config("libra", bits=4)
    with pytest.raises(RecipeError, match=r"'ste'"):
        quantiser_config("bwn", ste="clip")
    with pytest.raises(RecipeError, match="QuantiserBase"):
        build_quantiser(QuantiserBase(name="none", bits=1, per_channel=False))
    assert LibraConfig().bits == 1
