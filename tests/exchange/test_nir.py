"""NIR files: back to the bit, in the words of two frameworks, and what they lose."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from exchange_cases import STEPS, chain, frames, model
from hypothesis import given, settings
from hypothesis import strategies as st
from program_cases import graphs, neuron, programs, residual_program, rounded_program, small_program, weight

from rheobase.errors import DataError, RecipeError
from rheobase.exchange import ExchangeError, agreement, export_nir, import_nir, to_nir, told
from rheobase.exchange.dialects import DIALECTS, DT
from rheobase.neurons import NeuronConfig, preset
from rheobase.objectives import capture
from rheobase.program import Add, Conv2d, Flatten, Linear, Neuron, OrPool, Program, Readout, Trace, reference

nir = pytest.importorskip("nir", reason="NIR files need nir: pip install 'rheobase[nir]'")
HARD = NeuronConfig(tau=2.0, v_reset=0.0)


def installed(framework: str) -> str:
    pytest.importorskip(framework, reason=f"{framework} runs the exported graph")
    return framework


def texts(network: object, dialect: str) -> list[str]:
    return told(to_nir(network, dialect=dialect, allow_loss=True).losses)


# Programs there and back


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    "program",
    [chain(), chain(pool=None), small_program(), rounded_program(2), residual_program()],
    ids=["chain", "global", "small", "rounded", "residual"],
)
def test_a_program_comes_back_to_the_bit(program, dialect, tmp_path):
    path = tmp_path / "program.nir"
    export_nir(program, path, dialect=dialect, allow_loss=True)
    again = import_nir(path)
    assert again.digest() == program.digest()
    x = np.random.default_rng(0).poisson(0.7, (2, 3, *program.input_shape)).astype(np.uint8)
    assert np.array_equal(reference.run(again, x).logits, reference.run(program, x).logits)


@given(st.one_of(programs(), graphs()))
@settings(max_examples=25, deadline=None)
def test_random_programs_come_back_to_the_bit(tmp_path_factory, program):
    path = tmp_path_factory.mktemp("nir") / "program.nir"
    try:
        export_nir(program, path)
    except ExchangeError as error:
        reasons = (
            "added to itself",
            "square ones only",
            "no form outside of programs",
            "maximum of currents",
            "fires integers",
        )
        assert any(reason in str(error) for reason in reasons), error
        return
    assert import_nir(path).digest() == program.digest()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda g: g.nodes["weights_0_features_conv1"].weight.__setitem__((0, 0, 0, 0), 99.0),
            "weight of node",
        ),
        (lambda g: g.nodes["neurons_1_features_neuron1"].v_threshold.__imul__(2), "v_threshold of node"),
        (lambda g: g.nodes.__setitem__("weights_0_features_conv1", g.nodes["pool_2_sumpool2"]), "node"),
        (lambda g: g.edges.pop(), "wiring"),
    ],
)
def test_a_file_whose_nodes_were_changed_is_no_program(change, said, tmp_path):
    path = tmp_path / "program.nir"
    graph = export_nir(chain(), path).graph
    change(graph)
    nir.write(path, graph)
    with pytest.raises(ExchangeError, match=said):
        import_nir(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.pop("rheobase_digest"),
        lambda m: m.pop("rheobase_1.threshold"),
        lambda m: m.__setitem__("rheobase_program", "{"),
        lambda m: m.__setitem__("rheobase_dialect", "spinnaker"),
        lambda m: m.__setitem__("rheobase_1.bias", m["rheobase_1.bias"] + 1),
        lambda m: m.__setitem__(
            "rheobase_program", json.dumps(json.loads(m["rheobase_program"]) | {"name": "other"})
        ),
    ],
)
def test_a_file_whose_metadata_were_changed_is_refused(change, tmp_path):
    path = tmp_path / "program.nir"
    graph = export_nir(chain(), path).graph
    change(graph.metadata)
    nir.write(path, graph)
    with pytest.raises((ExchangeError, RecipeError)):
        import_nir(path)


def test_other_files_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError):
        import_nir(tmp_path / "none.nir")
    (tmp_path / "text.nir").write_text("no")
    with pytest.raises(ExchangeError, match="is not a NIR file with a rheobase program"):
        import_nir(tmp_path / "text.nir")
    nir.write(tmp_path / "foreign.nir", nir.NIRGraph.from_list(nir.Linear(np.ones((2, 3)))))
    with pytest.raises(ExchangeError, match="is not a NIR file with a rheobase program"):
        import_nir(tmp_path / "foreign.nir")


def test_what_is_written_follows_the_equations():
    program = chain(leak_shift=2)
    graph = to_nir(program, allow_loss=True).graph
    lif, conv = graph.nodes["neurons_1_features_neuron1"], graph.nodes["weights_0_features_conv1"]
    assert graph.metadata["dt"] == DT and list(graph.nodes["input"].input_type["input"]) == [2, 8, 8]
    assert lif.v_threshold.shape == (5, 8, 8) and np.all(lif.r == 1) and np.all(lif.v_leak == 0)
    # a step keeps 1 - dt/tau = 3/4; a membrane in the unit of the current is dt/tau = 1/4 of it
    assert np.allclose(1 - DT / lif.tau, 0.75)
    assert np.allclose(lif.v_threshold[:, 0, 0], (program.ops[1].threshold - 0.5) / 4)
    assert np.array_equal(conv.weight, program.ops[0].weight.values())
    assert np.array_equal(conv.bias, program.ops[1].bias)
    second = graph.nodes["weights_3_conv2d3"]
    assert np.array_equal(second.weight, 2 * program.ops[3].weight.values())
    assert np.array_equal(graph.nodes["weights_6_linear6"].bias, [1, -2, 0])
    # averages of 2x2 in snnTorch: the weights behind them take the 4
    theirs = to_nir(program, dialect="snntorch", allow_loss=True).graph
    assert type(theirs.nodes["pool_2_sumpool2"]) is nir.AvgPool2d
    assert np.array_equal(theirs.nodes["weights_3_conv2d3"].weight, 4 * second.weight)


# Other frameworks


@pytest.mark.parametrize("one_threshold", [True, False])
@pytest.mark.parametrize("framework", ["norse", "snntorch"])
def test_integrate_and_fire_programs_run_to_the_spike(framework, one_threshold, tmp_path):
    installed(framework)
    program, x = chain(one_threshold=one_threshold), frames()
    expected = reference.run(program, x)
    # thresholds by channel divide weights; frames of up to 255 could in theory add the roundings up to a spike
    export = to_nir(program, dialect=framework, allow_loss=framework == "snntorch" and not one_threshold)
    found = agreement(export, framework, x, expected)
    assert [each.layer for each in found] == ["neurons_1_features_neuron1", "neurons_4_neuron4"]
    assert all(each.exact and each.spikes == each.expected > 20 for each in found)


@pytest.mark.parametrize(("framework", "joins"), [("norse", False), ("snntorch", True)])
def test_maximum_pools_of_spikes_and_joins_run_to_the_spike(framework, joins):
    """OR of windows that overlap, a depthwise convolution; a current added to another, where two read one map."""
    installed(framework)
    rng = np.random.default_rng(2)
    hard = {"saturation": (1 << 23) - 1, "bits": 32}
    ops = [
        Conv2d(weight(rng, (4, 2, 3, 3), 4), padding=1),
        replace(neuron(rng, 4, "soft", 60, **hard), v_reset=0),
        OrPool(3, 1, 1),
        Conv2d(weight(rng, (4, 1, 3, 3), 4), padding=1, groups=4, inputs=(2,)),
        *([Conv2d(weight(rng, (4, 4, 1, 1), 4), inputs=(1,)), Add(inputs=(3, 4))] if joins else []),
        replace(neuron(rng, 4, "soft", 60, **hard), v_reset=0),
        Flatten(),
        Linear(weight(rng, (3, 256), 4)),
        Readout(np.array([1, -2, 0])),
    ]
    program, x = Program("joined", (2, 8, 8), STEPS, ops), frames()
    export = to_nir(program, dialect=framework, allow_loss=framework == "snntorch")
    found = agreement(export, framework, x, reference.run(program, x))
    assert len(found) == 2 and all(each.exact and each.spikes > 100 for each in found)
    if joins:
        assert any("where branches join" in each for each in texts(program, "norse"))


@pytest.mark.parametrize("framework", ["norse", "snntorch"])
@pytest.mark.parametrize(
    ("config", "name"),
    [
        (HARD, "vgg_small"),
        (preset("lif_tet"), "vgg_small"),
        (preset("lif_sj"), "vgg_small"),
        (NeuronConfig(kind="if", v_reset=0.0), "vgg_small"),
        (preset("plif_sew"), "vgg_small"),
        (preset("lif_tet"), "vgg16"),
        (HARD, "resnet20"),
        (HARD, "ms_resnet18"),
    ],
    ids=["lif", "tet", "sj", "if", "plif", "vgg16", "resnet20", "ms_resnet18"],
)
def test_float_models_of_hard_reset_agree(framework, config, name):
    """Float32 sums in another order turn a spike now and then; layer by layer nearly all are equal."""
    installed(framework)
    net = model(config, name, width=0.5 if name == "vgg_small" else 0.06)
    joins = "resnet" in name and framework == "norse"
    export = to_nir(net, dialect=framework, allow_loss=joins)
    assert bool(export.losses) == joins
    if joins:
        return
    x = np.random.default_rng(0).poisson(1.0, (3, 1, 2, 16, 16)).astype(np.uint8)
    with capture(net, list(net.neurons())) as captured, torch.no_grad():
        logits = net(torch.from_numpy(x).float())
    spikes = [each.numpy().astype(np.uint8) for each in captured.spikes(steps=3).values()]
    found = agreement(export, framework, x, Trace(spikes, logits.numpy()))
    assert found[0].equal > 0.999 and found[0].expected > 50 and found[-1].expected > 0
    assert min(each.equal for each in found) > 0.98, found


def test_agreement_tells_a_disagreement():
    """Soft reset cannot be said: both frameworks reset to 0, and the check shows it in the first layer."""
    installed("norse")
    program, x = chain(v_reset=None), frames(rate=2.0)
    export = to_nir(program, dialect="norse", allow_loss=True)
    found = agreement(export, "norse", x, reference.run(program, x))
    assert not found[0].exact and found[0].spikes < found[0].expected


def test_agreement_wants_the_trace_of_these_frames():
    export, x = to_nir(chain(), dialect="norse"), frames()
    with pytest.raises(DataError, match="the trace has"):
        agreement(export, "norse", x, reference.run(chain(), x[:, :2]))
    with pytest.raises(ExchangeError, match="choose norse or snntorch"):
        agreement(export, "sinabs", x, reference.run(chain(), x))


# Losses


@pytest.mark.parametrize(
    ("program", "dialect", "said"),
    [
        (chain(v_reset=None), "norse", "soft reset"),
        (chain(leak_shift=1), "norse", "the leak is not rounded"),
        (chain(saturation=100), "norse", "do not saturate at 100"),
        (chain(v_reset=-3), "norse", r"resets the membrane to 0, not to \[-3.0\]"),
        (chain(), "snntorch", "divided by the thresholds"),
        (rounded_program(4), "norse", "membranes of 4 bits are not rounded"),
        (residual_program(), "norse", "products are not rounded to integers"),
        (residual_program(), "norse", "of the counts in a window"),
        (small_program(), "snntorch", "soft reset"),
    ],
)
def test_losses_are_refused_by_name_unless_allowed(program, dialect, said, tmp_path):
    with pytest.raises(ExchangeError, match=said) as refusal:
        export_nir(program, tmp_path / "program.nir", dialect=dialect)
    assert "allow_loss=True" in str(refusal.value) and not list(tmp_path.iterdir())
    losses = texts(program, dialect)
    assert losses and all(loss in str(refusal.value) for loss in losses)  # each is listed
    assert export_nir(program, tmp_path / "program.nir", dialect=dialect, allow_loss=True).losses


def test_averages_that_round_are_a_loss_only_where_a_spike_could_change():
    thirds = chain(one_threshold=True, pool=3)
    assert any("averages of 9 values" in each for each in texts(thirds, "snntorch"))
    assert texts(chain(one_threshold=True), "snntorch") == []  # quarters are exact
    assert texts(thirds, "norse") == []


def test_integers_beyond_float32_are_a_loss():
    rng = np.random.default_rng(0)
    fields = {"v_reset": 0, "saturation": 1 << 30, "bits": 32}
    ops = [
        Flatten(),
        Linear(weight(rng, (5, 8), 8), shift=8),
        Neuron(np.full(5, 99), np.zeros(5, int), **fields),
        Linear(weight(rng, (3, 5), 8)),
        Readout(np.zeros(3, int)),
    ]
    assert any("pass 2^24" in each for each in texts(Program("wide", (2, 2, 2), 1, ops), "norse"))


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (preset("lif_soft"), "soft reset"),
        (preset("q_snn"), "not rounded to 8 bits"),
        (NeuronConfig(v_reset=0.0, ternary=True), "not -1"),
        (NeuronConfig(v_reset=-0.5), "not to"),
    ],
    ids=["soft", "membrane", "ternary", "reset"],
)
def test_losses_of_models_are_refused_by_name(config, said):
    net = model(config, width=0.25)
    with pytest.raises(ExchangeError, match=said):
        to_nir(net, dialect="norse")
    assert to_nir(net, dialect="norse", allow_loss=True).losses
    if said != "not to":  # NIR itself has reset values
        with pytest.raises(ExchangeError, match=said):
            to_nir(net)


def test_unknown_dialects_suggest_one():
    with pytest.raises(RecipeError, match="unknown NIR dialect 'snntorh'; did you mean 'snntorch'"):
        to_nir(chain(), dialect="snntorh")


def test_a_model_is_no_program_to_come_back(tmp_path: Path):
    export_nir(model(HARD, width=0.25), tmp_path / "model.nir")
    with pytest.raises(ExchangeError, match="is not a NIR file with a rheobase program"):
        import_nir(tmp_path / "model.nir")
