import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor, nn

from rheobase.errors import DataError, RecipeError
from rheobase.neurons import (
    IF,
    LIF,
    PLIF,
    PRESETS,
    Membrane,
    NeuronConfig,
    Sigmoid,
    TanhMembrane,
    UniformMembrane,
    build_neuron,
    if_,
    lif,
    plif,
    preset,
)


def drive(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) * 2


def test_presets_say_what_the_table_says() -> None:
    fields = {
        name: (
            c.kind,
            c.tau,
            c.v_threshold,
            c.v_reset,
            c.decay_input,
            c.detach_reset,
            c.strict,
            c.surrogate.name,
        )
        for name, c in PRESETS.items()
    }
    assert fields == {
        "lif_sj": ("lif", 2.0, 1.0, 0.0, True, True, False, "sigmoid"),
        "lif_soft": ("lif", 2.0, 1.0, None, False, False, False, "rectangular"),
        "lif_tet": ("lif", 2.0, 1.0, 0.0, False, False, True, "triangular"),
        "lif_nda": ("lif", 4 / 3, 0.5, 0.0, False, False, False, "rectangular"),
        "lif_ms": ("lif", 4 / 3, 0.5, 0.0, False, True, True, "rectangular"),
        "q_snn": ("lif", 2.0, 1.0, 0.0, False, False, True, "triangular"),
        "plif_sew": ("plif", 2.0, 1.0, 0.0, True, True, False, "atan"),
        "if_soft": ("if", 2.0, 1.0, None, False, False, False, "rectangular"),
        "ternary_lif": ("lif", 2.0, 1.0, 0.0, False, True, False, "triangular"),
        "qt_snn": ("lif", 2.0, 1.0, 0.0, False, True, False, "triangular"),
        "ternary_spike": ("lif", 4 / 3, 0.5, 0.0, False, False, True, "rectangular"),
    }
    shapes = {name: c.surrogate.shape for name, c in PRESETS.items()}
    assert shapes == dict.fromkeys(PRESETS, 1.0) | {"lif_sj": 4.0, "plif_sew": 2.0}
    membranes = {name: c.membrane for name, c in PRESETS.items()}
    assert membranes == dict.fromkeys(PRESETS) | {
        "q_snn": TanhMembrane(bits=8, limit=1.0),
        "qt_snn": UniformMembrane(bits=2, limit=1.0),
    }
    assert {name for name, c in PRESETS.items() if c.ternary} == {"ternary_lif", "qt_snn", "ternary_spike"}


def test_unknown_preset_suggests() -> None:
    with pytest.raises(RecipeError, match="did you mean 'lif_soft'"):
        preset("lif_sof")


@settings(max_examples=40, deadline=None)
@given(
    tau=st.sampled_from([1.0, 2.0, 4.0]),
    threshold=st.sampled_from([0.5, 1.0]),
    v_reset=st.sampled_from([None, 0.0]),
    seed=st.integers(0, 1000),
)
def test_decayed_input_is_a_scaled_threshold(
    tau: float, threshold: float, v_reset: float | None, seed: int
) -> None:
    x = drive(6, 3, 5, seed=seed) * 2
    decayed = lif(x, tau=tau, v_threshold=threshold, v_reset=v_reset, decay_input=True)
    assert torch.equal(decayed, lif(x, tau=tau, v_threshold=tau * threshold, v_reset=v_reset))


@pytest.mark.parametrize("name", PRESETS)
def test_detach_reset_changes_gradients_only(name: str) -> None:
    results = []
    for detach in (False, True):
        x = drive(5, 4, 3).requires_grad_()
        config = preset(name).model_copy(update={"detach_reset": detach, "surrogate": Sigmoid()})
        spikes = build_neuron(config)(x)
        (spikes * drive(5, 4, 3, seed=1)).sum().backward()
        results.append((spikes.detach(), x.grad))
    (kept, kept_grad), (cut, cut_grad) = results
    assert torch.equal(kept, cut)
    assert kept_grad is not None and cut_grad is not None and not torch.allclose(kept_grad, cut_grad)


@pytest.mark.parametrize("name", PRESETS)
def test_modules_keep_nothing(name: str) -> None:
    neuron = build_neuron(preset(name))
    x = drive(4, 2, 3, 5, 5)
    first = neuron(x)
    assert 0 < first.mean() < 1
    assert torch.equal(neuron(x), first)
    assert torch.equal(neuron(x[:2]), first[:2])
    assert list(neuron.state_dict()) == (["w"] if isinstance(neuron, PLIF) else [])
    assert torch.equal(pickle.loads(pickle.dumps(neuron))(x), first)


def test_module_and_function_agree() -> None:
    x = drive(4, 2, 3)
    assert torch.equal(LIF()(x), lif(x))
    assert torch.equal(IF()(x), if_(x))
    assert torch.equal(PLIF()(x), plif(x, torch.zeros(())))
    assert torch.equal(PLIF()(x), lif(x))


@pytest.mark.parametrize("decay_input", [False, True])
def test_plif_learns_tau(decay_input: bool) -> None:
    neuron = PLIF(NeuronConfig(kind="plif", tau=4.0, decay_input=decay_input, surrogate=Sigmoid()))
    assert float(torch.as_tensor(neuron.leak()).detach()) == pytest.approx(0.75)
    assert float(torch.as_tensor(neuron.gain()).detach()) == pytest.approx(0.25 if decay_input else 1.0)
    optimiser = torch.optim.SGD(neuron.parameters(), lr=0.5)
    x = drive(8, 16, 4)
    before = neuron(x).mean()
    for _ in range(20):
        optimiser.zero_grad()
        (-neuron(x).mean()).backward()
        assert neuron.w.grad is not None and neuron.w.grad.abs() > 0
        optimiser.step()
    assert float(torch.as_tensor(neuron.leak()).detach()) != pytest.approx(0.75, abs=1e-3)
    assert neuron(x).mean() >= before


def test_threshold_per_channel() -> None:
    x = drive(4, 2, 3, 5, 5)
    thresholds = torch.tensor([0.5, 1.0, 2.0])
    spikes = lif(x, v_threshold=thresholds)
    for channel, threshold in enumerate(thresholds.tolist()):
        assert torch.equal(spikes[:, :, channel], lif(x[:, :, channel], v_threshold=threshold))
    assert torch.equal(LIF(threshold=thresholds)(x), spikes)


def test_threshold_is_learned_or_kept() -> None:
    learned = LIF(threshold=nn.Parameter(torch.ones(3)))
    learned(drive(4, 2, 3)).sum().backward()
    assert [name for name, _ in learned.named_parameters()] == ["v_threshold"]
    grad = learned.threshold().grad  # type: ignore[union-attr]
    assert grad is not None and bool((grad != 0).all())

    fixed = LIF(threshold=torch.ones(3))
    assert list(fixed.parameters()) == [] and list(fixed.state_dict()) == ["v_threshold"]
    assert "v_threshold=[3]" in repr(fixed)


VARIANTS = [
    {"ternary": True},
    {"membrane": {"name": "uniform", "bits": 2}},
    {"membrane": {"name": "tanh", "bits": 2}, "v_reset": 0.0},
    {"membrane": {"name": "squat", "bits": 4, "upper": 0.5}},
    {"ternary": True, "membrane": {"name": "uniform", "bits": 8, "limit": 1.5}},
    {"ternary": True, "membrane": {"name": "tanh", "bits": 4}, "strict": True},
    {"ternary": True, "membrane": {"name": "squat", "bits": 8}, "v_reset": 0.0},
]


@pytest.mark.parametrize("options", VARIANTS)
@pytest.mark.parametrize("kind", ["lif", "if", "plif"])
def test_variants_are_options_of_every_neuron(kind: str, options: dict[str, object]) -> None:
    x = (drive(6, 4, 3) - 1) * 2
    config = NeuronConfig.model_validate({"kind": kind, "surrogate": Sigmoid(), **options})
    neuron = build_neuron(config)
    inputs = x.clone().requires_grad_()
    spikes = neuron(inputs)
    assert bool((spikes < 0).any()) == config.ternary
    plain = config.model_copy(update={"ternary": False, "membrane": None})
    assert not torch.equal(spikes, build_neuron(plain)(x))
    spikes.mean().backward()
    assert inputs.grad is not None and bool((inputs.grad != 0).all())
    assert all(p.grad is not None and bool(p.grad != 0) for p in neuron.parameters())
    assert ("ternary" in repr(neuron)) == config.ternary
    if config.membrane is not None:
        assert f"{config.membrane.name} membrane of {config.membrane.bits} bit" in repr(neuron)
    assert NeuronConfig.model_validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize("options", VARIANTS)
@pytest.mark.parametrize("kind", ["lif", "if", "plif"])
def test_variants_fire_as_the_reference(
    kind: str, options: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    x = (drive(6, 4, 3, 5) - 1) * 2
    thresholds = torch.tensor([0.5, 1.0, 2.0])
    neuron = build_neuron(NeuronConfig.model_validate({"kind": kind, **options}))
    channels = type(neuron)(neuron.config, thresholds)
    fused = neuron(x), channels(x)
    monkeypatch.setenv("RHEOBASE_KERNEL", "reference")
    assert torch.equal(fused[0], neuron(x)) and torch.equal(fused[1], channels(x))
    assert all(spikes.abs().sum() > 0 for spikes in fused)


@pytest.mark.parametrize("membrane", [None, UniformMembrane(bits=4), TanhMembrane(bits=8)])
def test_ternary_neurons_are_odd(membrane: Membrane | None) -> None:
    x = (drive(6, 4, 3) - 1) * 2
    config = NeuronConfig(ternary=True, v_reset=0.0, membrane=membrane)
    assert torch.equal(LIF(config)(-x), -LIF(config)(x))


@pytest.mark.parametrize("call", [LIF(), IF(), PLIF(), lif, if_])
def test_time_axis_is_required(call) -> None:
    with pytest.raises(DataError, match=r"got a tensor of shape \[7\].*unsqueeze"):
        call(torch.rand(7))
    with pytest.raises(DataError, match="at least one time step"):
        call(torch.rand(0, 2, 3))
    with pytest.raises(DataError, match=r"got torch.uint8.*float\(\)"):
        call(torch.ones(4, 2, 3, dtype=torch.uint8))


def test_bad_parameters() -> None:
    x = drive(4, 2, 3)
    with pytest.raises(RecipeError, match="tau must be >= 1"):
        lif(x, tau=0.5)
    with pytest.raises(RecipeError, match="tau must be >= 1"):
        lif(x, tau=float("nan"))
    for function in (lif, if_):
        with pytest.raises(RecipeError, match="v_threshold must be > 0, got 0"):
            function(x, v_threshold=0.0)
    for options, message in [
        ({"tau": 0.9}, "greater than or equal to 1"),
        ({"v_threshold": 0}, "greater than 0"),
        ({"kind": "plif", "tau": 1.0}, "start above 1"),
        ({"kind": "if", "decay_input": True}, "no decay"),
        ({"v_reset": 1.0}, "must lie below"),
        ({"treshold": 1.0}, "Extra inputs"),
        ({"membrane": {"name": "uniform", "bits": 3}}, "2, 4 or 8"),
        ({"membrane": {"name": "tanh", "bits": 4, "limit": 2.0}}, "less than or equal to 1"),
        ({"membrane": {"name": "squat", "bits": 4, "multiplier": 2.0}}, "less than 1"),
        ({"membrane": {"bits": 4}}, "discriminator 'name'"),
    ]:
        with pytest.raises(ValidationError, match=message):
            NeuronConfig.model_validate(options)
    with pytest.raises(RecipeError, match="build_neuron"):
        LIF(preset("if_soft"))
    with pytest.raises(RecipeError, match="positive values"):
        LIF(threshold=torch.tensor([1.0, 0.0]))


def test_repr_says_what_matters() -> None:
    assert repr(build_neuron(preset("lif_tet"))) == "LIF(tau=2, v_threshold=1, v_reset=0, strict, triangular)"
    assert (
        repr(build_neuron(preset("q_snn")))
        == "LIF(tau=2, v_threshold=1, v_reset=0, strict, tanh membrane of 8 bit, triangular)"
    )
    assert repr(build_neuron(preset("if_soft"))) == "IF(v_threshold=1, v_reset=soft, rectangular)"
