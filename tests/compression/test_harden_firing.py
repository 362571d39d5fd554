"""Integers fired without membrane, spread tokens, scales and mixes by step and head on the lattice: as the model has them."""

from fractions import Fraction
from math import floor

import numpy as np
import pytest
import torch
from graph_cases import frames, used
from hypothesis import given, settings
from hypothesis import strategies as st
from test_harden_tokens import head_scale, kinds, same, untrained, wired

from rheobase.compression import QuantConfig, harden, quantise_, through_roundings
from rheobase.compression.fitting import fit_levels
from rheobase.errors import LatticeError
from rheobase.exchange import ExchangeError
from rheobase.exchange.from_model import from_model
from rheobase.exchange.sketch import from_program
from rheobase.layers import HeadSum, MaxPool2d, Scale, SpikeFiring
from rheobase.layers.attention.driven import TokenErode
from rheobase.layers.spike_firing import spike_firing
from rheobase.layers.tokens import Gate, HeadMatMul
from rheobase.models import create_model
from rheobase.neurons.saccadic import SaccadicConfig, SaccadicNeuron
from rheobase.objectives import capture
from rheobase.program import MultiThreshold
from rheobase.program.lower import lower
from rheobase.training.export import hardened_trace

STEPS = 3


def rounded(x: Fraction, levels: int) -> int:
    """`round(clip(x, 0, levels))`, halves to even, by whole numbers."""
    low = floor(x)
    near = low + (x - low > Fraction(1, 2) or (x - low == Fraction(1, 2) and low % 2 == 1))
    return min(max(near, 0), levels)


@given(
    st.integers(1, 9),
    st.integers(-40, 40),
    st.integers(1, 40),
    st.integers(0, 6),
    st.sampled_from([1, 3, 7]),
)
@settings(max_examples=200, deadline=None)
def test_levels_are_those_of_the_layer_ties_included(levels, offset, unit, fraction, third):
    """Units and offsets that floats hold (`third` 1), whose ties are exact, and those that they round."""
    parts = third << fraction
    values = torch.arange(-60, 61, dtype=torch.float64)
    stand = (torch.tensor([each / parts], dtype=torch.float64) for each in (unit, offset))
    lattice = fit_levels(levels, *stand)
    found = lattice(values.reshape(1, -1, 1).float()).flatten().int().tolist()
    exact = [rounded(Fraction(int(a) * unit + offset, parts), levels) for a in values]
    assert found == exact
    if third == 1:
        x = (values * unit + offset) / parts
        assert spike_firing(x, levels, 1.0).int().tolist() == exact


def test_levels_out_of_reach_stay_there():
    """A channel whose integers are worth next to nothing fires by its offset alone."""
    tiny = torch.tensor([1e-30, 1e-30, 1e-30]).double()
    lattice = fit_levels(4, tiny, torch.tensor([-1.0, 1.9, 99.0]).double())
    ends = torch.tensor([[-(2.0**24) + 1] * 3, [0.0] * 3, [2.0**24 - 1] * 3]).reshape(3, 1, 3)
    assert lattice(ends)[:, 0].tolist() == [[0, 2, 4]] * 3


class Given:
    """Decisions of a model's layers that fire, when all before them fired as the hardened model did."""

    def __init__(self, model, samples=24, steps=STEPS, seed=5):
        self.x = frames(seed, model, samples=samples, steps=steps)
        self.hardened = harden(model)
        self.trace = hardened_trace(self.hardened, self.x)
        self.strays = {}
        handles = []
        for name, spikes in zip(self.hardened.neurons(), self.trace.spikes, strict=True):
            expected = torch.from_numpy(spikes).double() * self.hardened.sums[name].spike
            handles.append(model.get_submodule(name).register_forward_hook(self.hook(name, expected)))
        with torch.no_grad():
            self.logits = model.double()(torch.from_numpy(self.x).double())
        for handle in handles:
            handle.remove()
        model.float()

    def hook(self, name, expected):
        def keep(module, inputs, spikes):
            self.strays[name] = float((spikes != expected).double().mean())
            return expected

        return keep


FIRING = {
    "own rows, turned": lambda m, c, s: m.parts[0](c),
    "rows that others read": lambda m, c, s: m.parts[0](c) + m.parts[1](c),
    "sums of currents": lambda m, c, s: m.parts[0](m.parts[2](m.parts[1](c)) + c),
    "pooled rows": lambda m, c, s: m.parts[0](m.parts[3](c)),
    "counts": lambda m, c, s: m.parts[0](s + s),
    "integers again": lambda m, c, s: m.parts[1](m.parts[0](c)),
}


@pytest.mark.parametrize("kind", FIRING)
@pytest.mark.parametrize("levels", [1, 4, 200])
def test_fired_integers_follow_the_model(kind, levels):
    scaled = [SpikeFiring(levels), SpikeFiring(levels, norm=1), Scale(1.5), MaxPool2d(2)]
    model = wired(FIRING[kind], *scaled)
    assert (model.features.norm.weight < 0).any() and (model.features.norm.weight > 0).any()
    program = same(model)
    assert any(isinstance(op, MultiThreshold) for op in program.ops)
    found = Given(model)
    fired = [spikes for spikes in found.trace.spikes if spikes.max() > 1 or levels == 1]
    assert all(0.02 < (spikes > 0).mean() < 0.98 for spikes in fired) and fired
    assert max(found.strays.values()) < 1e-3, found.strays
    logits = torch.from_numpy(found.trace.logits).double() * found.hardened.logit_scale
    torch.testing.assert_close(logits, found.logits, atol=2 * found.hardened.logit_scale, rtol=1e-5)


def test_no_current_is_changed_before_integers_are_fired():
    """Each channel's own unit, gains of both signs, no rescaling and no shift."""
    program = same(wired(lambda m, c, s: m.parts[0](c), SpikeFiring(4)))
    assert kinds(program)[:2] == ["Conv2d", "MultiThreshold"] and program.ops[0].shift == 0


def test_a_dead_channel_fires_by_its_offset():
    model = wired(lambda m, c, s: m.parts[0](c), SpikeFiring(4, norm=1))
    with torch.no_grad():
        model.features.norm.weight[1], model.features.norm.bias[1] = 0.0, 2.7
    program = same(model)
    assert "Rescale" in kinds(program)
    trace = hardened_trace(harden(model), frames(3, model, samples=2, steps=STEPS))
    assert (trace.spikes[0][:, :, 1] == 3).all() and len(np.unique(trace.spikes[0])) > 2


def test_products_of_integers_are_fired_as_they_are():
    """A scale between the products and the integers is part of the thresholds."""
    parts = [SpikeFiring(4), HeadMatMul(2, "second"), HeadMatMul(2), Scale(0.4), SpikeFiring(2)]

    def after(m, current, spikes):
        q = m.parts[0](current)
        return m.parts[4](m.parts[3](m.parts[2](m.parts[1](q, q), q)))

    model = wired(after, *parts)
    assert kinds(same(model))[1:5] == ["MultiThreshold", "HeadMatMul", "HeadMatMul", "MultiThreshold"]
    found = Given(model)
    assert set(np.unique(found.trace.spikes[-1])) == {0, 1, 2} and max(found.strays.values()) < 1e-3


def test_through_roundings_integers_are_those_of_the_lattice():
    torch.manual_seed(0)
    options = {"dims": [4, 4, 8, 8], "heads": 2, "blocks": [1, 1], "mlp_ratio": 1}
    model = create_model("sdt_v3_small", num_classes=3, input_size=(16, 16), options=options)
    model = used(quantise_(model, QuantConfig()), 1)
    x = frames(3, model, samples=4, steps=2)
    hardened = harden(model)
    trace = hardened_trace(hardened, x)
    with through_roundings(model), capture(model, list(hardened.neurons())) as captured:
        model(torch.from_numpy(x).float())
    found = captured.spikes(steps=2)
    assert list(found) == list(hardened.neurons()) and len(found) == len(trace.spikes) > 30
    differ = [
        float((spikes.detach().numpy() / hardened.sums[name].spike != fired).mean())
        for (name, spikes), fired in zip(found.items(), trace.spikes, strict=True)
    ]
    assert max(differ) < 2e-3
    assert hardened.feature_layer == f"ops.{hardened.names.index('features.neuron')}"


@pytest.mark.parametrize("heads", [1, 2])
def test_tokens_are_spread_within_heads(heads):
    spikes = same(wired(lambda m, c, s: m.parts[0](s), TokenErode(heads)))
    assert kinds(spikes)[2] == "HeadOrPool" and spikes.kinds()[2] == "events"
    currents = wired(lambda m, c, s: m.last(m.parts[0](c)), TokenErode(heads))
    assert kinds(same(currents))[:3] == ["Conv2d", "Rescale", "HeadOrPool"], (
        "windows cross channels of several units"
    )
    assert max(Given(currents).strays.values()) < 2e-3


def test_scales_by_step_follow_the_model():
    """One unit for all steps: a StepRescale, whatever the signs of the factors."""
    factors = torch.tensor([[0.5, 2.0], [1.3, -0.4], [0.9, 0.7]])
    model = wired(
        lambda m, c, s: m.last(m.parts[1](m.parts[0](s))), HeadSum(2), head_scale(factors), channels=2
    )
    program = same(model)
    assert kinds(program)[2:5] == ["HeadSum", "StepRescale", "Neuron"] and program.most_steps == len(factors)
    found = Given(model, samples=60)
    assert 0.05 < found.trace.spikes[-1].mean() < 0.95 and max(found.strays.values()) < 2e-3
    gains = program.ops[3].gain.reshape(3, 2) / program.ops[3].gain[0]
    np.testing.assert_allclose(gains, factors / factors[0, 0], rtol=1e-4)


@pytest.mark.parametrize("sharing", ["layer", "head"])
@pytest.mark.parametrize("infer", ["causal", "decoupled"])
@pytest.mark.parametrize("scaled", [False, True])
def test_saccades_are_those_of_evaluation(sharing, infer, scaled):
    """One mix or one a head, the rule that evaluation follows: with the memory, or folded into the thresholds."""
    torch.manual_seed(3)
    saccade = SaccadicNeuron(
        STEPS, 2, SaccadicConfig(sharing=sharing, infer=infer, threshold=0.6), scaled=scaled
    )
    with torch.no_grad():
        for parameter in saccade.parameters():
            parameter += 0.4 * torch.rand_like(parameter)
    model = wired(
        lambda m, c, s: m.parts[2](m.parts[1](m.parts[0](s)), s), HeadSum(2), saccade, Gate(), channels=4
    )
    program = same(model)
    assert kinds(program)[2:5] == ["HeadSum", "TimeMix", "Gate"]
    assert len(program.ops[3].mixing) == 6 * (2 if (sharing, infer) == ("head", "causal") else 1)
    seen = {}
    handle = saccade.register_forward_hook(
        lambda module, inputs, gates: seen.update(gates=gates, given=inputs[0])
    )
    x = frames(4, model, samples=40, steps=STEPS)
    with torch.no_grad():
        model(torch.from_numpy(x).float())
    handle.remove()
    hardened = harden(model)
    lattice = hardened.ops[hardened.names.index("features.parts.1")]
    gates = lattice(seen["given"])
    assert 0.05 < float(gates.mean()) < 0.95 and float((gates != seen["gates"]).float().mean()) < 2e-3


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            lambda: wired(lambda m, c, s: m.parts[0](c), SpikeFiring(256)),
            r"parts.0' fires up to 256, and a program at most 255",
        ),
        (lambda: wired(lambda m, c, s: m.parts[0](s), TokenErode(3)), "3 heads do not divide the 4 channels"),
        (
            lambda: wired(
                lambda m, c, s: m.parts[0](s), SaccadicNeuron(3, 2, SaccadicConfig(sharing="head"))
            ),
            r"must mix all channels, or each, by one lower triangle .* got \[2, 3, 3\] for 4 channels and 3 thresholds",
        ),
    ],
)
def test_refusals_name_layer_and_reason(model, message):
    with pytest.raises(LatticeError, match=message):
        harden(untrained(model))


def test_other_formats_refuse_integers_by_name():
    model = wired(lambda m, c, s: m.parts[0](c), SpikeFiring(4))
    with pytest.raises(
        ExchangeError, match=r"'features.parts.0' fires integers up to 4, which neurons outside"
    ):
        from_program(lower(harden(model), name="firing", T=STEPS))
    with pytest.raises(ExchangeError, match=r"'features.parts.0' \(SpikeFiring\) has no form"):
        from_model(model)
