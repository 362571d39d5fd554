"""Layers, encoders, readouts and whole networks, which the package's loop trains."""

import numpy as np
import pytest
import torch
from cases import INF, named

from rheobase.errors import DataError, RecipeError
from rheobase.models import create_model, list_models, model_options
from rheobase.objectives import (
    CrossEntropy,
    Outputs,
    RelativeTarget,
    StableSpike,
    WeightSum,
    WeightSumConfig,
    weight_sum_cost,
)
from rheobase.spiketime import (
    S4NN,
    Comsa,
    Conv2d,
    Dropout,
    EventProp,
    FirstEvent,
    FirstSpike,
    Geometry,
    Goltz1,
    Goltz2,
    Latency,
    LatencyConfig,
    Linear,
    MinPool2d,
    Mostafa,
    Pulses,
    RelPsp,
    StdEd,
)
from rheobase.training import ArrayFrames, OptimiserConfig, TrainConfig, evaluate, fit

T = torch.tensor


def prototypes(seed):
    """Four random points of [0, 1]^20 with noise .15, as bytes `[M, 1, 1, 1, 20]`."""
    rng = np.random.default_rng(seed)
    centres = rng.random((4, 20))

    def draw(count):
        y = np.arange(count) % 4
        x = np.clip(centres[y] + 0.15 * rng.standard_normal((count, 20)), 0, 1)
        frames = np.rint(255 * x).astype(np.uint8).reshape(count, 1, 1, 1, 20)
        return ArrayFrames(frames, y.astype(np.int64))

    return draw(800), draw(400)


def build(size=(28, 28), classes=10, **options):
    return create_model(
        "spike_time",
        num_classes=classes,
        in_channels=1,
        input_size=size,
        input_unit=1 / 255,
        options={key: value.model_dump() if key == "rule" else value for key, value in options.items()},
    )


def network(rule, layers="30", **options):
    return build((1, 20), 4, layers=layers, rule=rule, **options)


def weight_sum(K):
    return WeightSum(WeightSumConfig(K=K))


def learns(net, objective, lr, epochs, seed=0):
    train, test = prototypes(seed)
    fit(
        net,
        train,
        objective,
        optimiser=OptimiserConfig(name="adam", lr=lr, weight_decay=0.0),
        train=TrainConfig(epochs=epochs, batch_size=50, seed=seed),
        quiet=True,
    )
    return evaluate(net, test).accuracy


@pytest.mark.parametrize("rule", [RelPsp(), Mostafa(), Goltz1(), Goltz2(), Comsa(), EventProp()], ids=named)
def test_crossing_rules_learn_prototypes(rule):
    torch.manual_seed(0)
    exp = {"transform": "exp", "scale": 0.3} if rule.name == "mostafa" else {}
    net = network(rule, **exp)
    assert learns(net, weight_sum(0.1), 5e-3, 8) >= 0.95


def test_std_ed_learns_prototypes():
    torch.manual_seed(0)
    assert learns(network(StdEd(), "40-40"), CrossEntropy(), 2e-3, 15) >= 0.95


def test_s4nn_learns_prototypes():
    torch.manual_seed(0)
    assert learns(network(S4NN(), scale=1.0), RelativeTarget(), 5e-3, 10) >= 0.9


def test_remedies_revive_a_network_that_starts_silent():
    """Weights of negative mean: no output fires, and without a remedy nothing can change."""
    accuracies = []
    for rule, K in ((RelPsp(init_sum=-8.0), 0.0), (RelPsp(init_sum=-8.0), 0.1)):
        torch.manual_seed(0)
        net = network(rule)
        accuracies.append(learns(net, weight_sum(K), 2e-2, 8))
    assert accuracies[0] <= 0.5 and accuracies[1] >= 0.95


def test_convolution_equals_explicit_loop():
    torch.manual_seed(0)
    conv = Conv2d(2, 5, (3, 2), RelPsp(), stride=(2, 1), padding=(1, 0)).double()
    t = torch.rand(3, 2, 6, 5, dtype=torch.float64)
    t[torch.rand_like(t) < 0.3] = INF
    out = conv(t)
    padded = torch.full((3, 2, 8, 5), INF, dtype=torch.float64)
    padded[:, :, 1:7] = t
    assert out.shape == (3, 5, 3, 4)
    for y in range(3):
        for x in range(4):
            window = padded[:, :, 2 * y : 2 * y + 3, x : x + 2].flatten(1)
            expected = RelPsp().fire(window, conv.weight.flatten(1), Geometry(12))[:, 0]
            assert torch.equal(out[:, :, y, x], expected)


@pytest.mark.parametrize("rule", [RelPsp(), Mostafa(), StdEd(), S4NN(normalise=False)], ids=named)
def test_patches_and_scatter_are_adjoint(rule):
    geometry = Geometry(2, (5, 4), (3, 3), (2, 1), (1, 2))
    x, y = torch.rand(3, geometry.inputs), torch.rand(3 * geometry.positions, geometry.fan_in)
    inner = (geometry.patches(x).nan_to_num(0, 0, 0) * y).sum()
    assert torch.allclose(inner, (x * geometry.scatter(y)).sum(), rtol=1e-5)


def test_pool_takes_the_earliest_and_its_gradient():
    t = torch.rand(2, 3, 4, 6)
    t[torch.rand_like(t) < 0.5] = INF
    t.requires_grad_()
    out = MinPool2d(2)(t)
    assert torch.equal(out, t.unfold(2, 2, 2).unfold(3, 2, 2).amin((-1, -2)))
    out.where(out.isfinite(), 0).sum().backward()
    assert t.grad.sum() == out.isfinite().sum() and not t.grad[t.isinf()].any()


def test_dropout_silences_in_training_only():
    drop, t = Dropout(0.25), torch.rand(200, 200)
    kept = drop(t)
    assert kept.isinf().float().mean().item() == pytest.approx(0.25, abs=0.02)
    assert torch.equal(kept[kept.isfinite()], t[kept.isfinite()])
    assert drop.eval()(t) is t


def test_latency():
    x = T([0.0, 0.2, 1.0, 1.2]).expand(2, 1, 4)
    assert Latency()(x).tolist()[0] == pytest.approx([INF, 0.8, 0.0, 0.0])
    assert Latency(LatencyConfig(t_in=2.0, zero_pixel="last"))(x).tolist()[0] == pytest.approx(
        [2.0, 1.6, 0, 0]
    )
    log = Latency(LatencyConfig(form="logarithmic", threshold=0.5, tau=2.0))(T([[[0.5, 1.0]]]))
    assert log.tolist()[0] == pytest.approx([INF, 2 * np.log(2)])


def test_first_event():
    x = T([[0.0, 1.0, 0.0], [2.0, 1.0, 0.0]]).unsqueeze(1)  # [T, 1, 3]
    assert FirstEvent(t_in=3.0)(x).tolist() == [[1.5, 0.0, INF]]


def test_first_spike_logits():
    t = T([[0.5, INF]], requires_grad=True)
    logits = FirstSpike(t_max=4.0, scale=2.0)(t)
    assert logits.tolist() == [[-1.0, -8.0]]
    logits.sum().backward()
    assert t.grad.tolist() == [[-2.0, -2.0]]
    assert FirstSpike(transform="exp", scale=1.0)(T([[0.0, 1.0]])).tolist()[0] == pytest.approx([-1, -np.e])


def test_weight_sum_cost_has_gradient_minus_one_on_offending_rows():
    w = T([[0.5, 0.2], [2.0, 1.0]], requires_grad=True)
    cost = weight_sum_cost(w, 1.0)
    assert cost.item() == pytest.approx(0.3)
    cost.backward()
    assert w.grad.tolist() == [[-1, -1], [0, 0]]


def test_weight_sum_counts_every_layer():
    net = network(RelPsp(v_threshold=2.0))
    with torch.no_grad():
        for layer in net.modules():
            if isinstance(layer, Linear):
                layer.weight.zero_()
    objective = weight_sum(0.5)
    assert objective.layers(net) == ()
    loss = objective(Outputs(torch.zeros(1, 3, 4), {}, None), T([0, 1, 2]))
    assert loss.parts["weight_sum"].item() == pytest.approx(2.0 * (30 + 4))
    assert loss.total.item() == pytest.approx(np.log(4) + 0.5 * 2.0 * 34)


def test_pulses_are_inputs_that_learn():
    pulses = Pulses(3, span=4.0)
    out = pulses(T([[INF, 0.5]]))
    assert out.tolist() == [[INF, 0.5, 1.0, 2.0, 3.0]]
    RelPsp().fire(out, torch.ones(1, 5), Geometry(5)).sum().backward()
    assert pulses.times.grad.tolist() == [0.5, 0, 0]  # 1.25: the inputs at .5 and 1 are causal


def test_network_of_a_string():
    net = build(classes=3, layers="4C5-P2-6C3-P2-20", dropout=0.1)
    x = torch.randint(0, 256, (1, 2, 1, 28, 28)).float()
    assert net(x).shape == (1, 2, 3)
    shapes = {name: list(t.shape[1:]) for name, t in net.eval().spike_times(x).items()}
    assert shapes == {
        "encoder": [1, 28, 28],
        "conv1": [4, 24, 24],
        "conv3": [6, 10, 10],
        "linear5": [20],
        "output": [3],
    }


def test_std_ed_network_reads_the_membrane():
    net = build((2, 2), 3, layers="5", rule=StdEd())
    x = torch.randint(1, 256, (1, 2, 1, 2, 2)).float()
    assert list(net.spike_times(x)) == ["encoder", "linear1"]
    assert net.double()(x.double()).shape == (1, 2, 3)


@pytest.mark.parametrize("layers", ["16D5", "400-16C5", "P2-400-P2", "", "C5"])
def test_strings_that_are_no_network(layers):
    with pytest.raises(RecipeError, match="is none of"):
        build(layers=layers)


def test_kernel_that_does_not_fit():
    with pytest.raises(RecipeError, match="does not fit"):
        build((6, 6), layers="4C5-4C5")


def test_convolution_refuses_a_time_axis():
    with pytest.raises(DataError, match="no time axis"):
        Conv2d(1, 2, 3, RelPsp())(torch.zeros(4, 2, 1, 8, 8))


def test_rules_are_data():
    net = build(layers="10", rule=Goltz2(tau_s=0.5))
    assert net.features.linear1.rule == Goltz2(tau_s=0.5)
    again = create_model(**dict(net.config))
    assert again.config == net.config and again.features.linear1.rule == Goltz2(tau_s=0.5)


def test_time_step_work_by_hand():
    """A 1x2x2 map, 3C2 -> 3 neurons of 4 synapses, 5 of 3, then 2 of 5; 7 samples, 4 steps."""
    net = build((2, 2), 2, layers="3C2-5")
    work = net.time_step_work(torch.ones(1, 7, 1, 2, 2), steps=4)
    assert work.forward == work.updates == 4 * 7 * (12 + 15 + 10)
    assert work.errors == 4 * 7 * (15 + 10)


def test_views_leave_out_padding():
    assert Geometry(2, (3, 3), (3, 3), (1, 1), (1, 1)).views == 2 * (4 * 4 + 4 * 6 + 9)


def test_a_registered_model():
    """What code that takes any registered model relies on."""
    net = build(layers="8")
    assert "spike_time" in list_models()
    assert model_options("spike_time")["rule"]["name"] == "rel_psp"
    assert net.neurons() == {} and net.feature_layer is None
    x = torch.randint(0, 256, (4, 2, 1, 28, 28)).float()
    assert torch.equal(net(x), net.forward_head(net.forward_features(x)).unsqueeze(0))
    half = build(layers="8C5-8").config.model_copy(update={"width": 0.5})
    assert [len(w) for w in create_model(**dict(half)).parameters()] == [4, 4, 10]
    with pytest.raises(DataError, match="in_channels=2"):
        net(torch.zeros(1, 2, 2, 28, 28))


def test_what_a_spike_time_network_has_not():
    with pytest.raises(RecipeError, match=r"leave out neuron and head.*options\.rule"):
        create_model("spike_time", num_classes=2, input_size=(4, 4), neuron="lif_soft")
    with pytest.raises(RecipeError, match=r"rule = .*relpsp.*'rel_psp'"):
        create_model("spike_time", num_classes=2, input_size=(4, 4), options={"rule": {"name": "relpsp"}})
    with pytest.raises(RecipeError, match="its options say"):
        _ = build().config.neuron_config
    with pytest.raises(RecipeError, match="no feature_layer"):
        StableSpike().layers(build())
    with pytest.raises(RecipeError, match="no weight sums to hold up"):
        WeightSum().layers(build(rule=StdEd()))


def test_frames_of_events_give_first_event_times():
    net = create_model(
        "spike_time", num_classes=3, input_size=(1, 2), options={"layers": "4", "encoder": "first_event"}
    )
    x = torch.zeros(4, 1, 2, 1, 2)
    x[2, 0, 0, 0, 1] = 3.0
    assert net.spike_times(x)["encoder"].flatten().tolist() == [INF, 0.5, INF, INF]
