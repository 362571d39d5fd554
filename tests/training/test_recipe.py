import math

import pytest

from rheobase.errors import RecipeError
from rheobase.neurons import NeuronConfig
from rheobase.objectives import StableSpikeConfig
from rheobase.training import OptimiserConfig, Recipe, dump_recipe, load_recipe, parse_recipe

TEXT = """
data: {name: nmnist, T: 4}
model: {name: vgg9, neuron: {kind: lif, tau: 4}}
objective: {name: stable_spike, beta_spike: 0.5}
train: {epochs: 3, precision: 32}
"""


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text(TEXT)
    return path


def test_reads_and_fills_defaults(path):
    recipe = load_recipe(path)
    assert recipe.model.neuron == NeuronConfig(tau=4)
    assert recipe.objective == StableSpikeConfig(beta_spike=0.5)
    assert recipe.train.precision == "32"
    assert recipe.optimiser.name == "sgd"


def test_round_trip(path, tmp_path):
    recipe = load_recipe(path)
    again = tmp_path / "again.yaml"
    again.write_text(dump_recipe(recipe))
    assert load_recipe(again) == recipe


def test_overrides_are_yaml_and_may_add_levels(path):
    recipe = load_recipe(
        path, ["optimiser.lr=1e-3", "train.threads=null", "model.neuron=lif_tet", "augment.shift=2"]
    )
    assert (recipe.optimiser.lr, recipe.train.threads) == (0.001, None)
    assert (recipe.model.neuron, recipe.augment.shift) == ("lif_tet", 2)


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("optimiser.lrr=1", ["override 'optimiser.lrr=1'", "key in 'optimiser' 'lrr'", "did you mean 'lr'"]),
        ("optimizer.lr=1", ["key 'optimizer'", "did you mean 'optimiser'"]),
        ("train.epochs=many", ["'train.epochs'", "valid integer", "got 'many'"]),
        ("train.epochs=1.5", ["'train.epochs'", "got 1.5"]),
        ("train.epochs=0", ["'train.epochs'", "greater than or equal to 1", "got 0"]),
        ("optimiser.lr=.nan", ["'optimiser.lr'", "finite"]),
        ("objective.betta_spike=1", ["key in 'objective' 'betta_spike'", "did you mean 'beta_spike'"]),
        ("objective.name=stable", ["unknown objective 'stable'", "did you mean 'stable_spike'"]),
        ("model.neuron.tauu=2", ["key in 'model.neuron' 'tauu'", "did you mean 'tau'"]),
        ("model.neuron.tau=.5", ["'model.neuron.tau'", "got 0.5"]),
        ("model.head=gapp", ["'model.head'", "'flatten' or 'gap'", "got 'gapp'"]),
        ("data.T=x", ["'data.T'", "got 'x'"]),
    ],
)
def test_one_line_says_where_and_what(path, override, parts):
    with pytest.raises(RecipeError) as caught:
        load_recipe(path, [override])
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message


def test_mistakes_in_the_file_name_the_file(path):
    path.write_text(TEXT + "trian: {epochs: 3}\n")
    with pytest.raises(RecipeError, match=r"r\.yaml: unknown key 'trian'; did you mean 'train'"):
        load_recipe(path)


def test_each_mistake_is_named_once(path):
    path.write_text("data: {T: 2}\ntrain: {epochs: x}\n")
    with pytest.raises(RecipeError, match=r"'data.name' is missing; .*'train.epochs'") as caught:
        load_recipe(path)
    assert str(caught.value).count("train.epochs") == 1


@pytest.mark.parametrize("text", ["a: [", "- 1", "42", "{1: 2}"])
def test_files_that_are_no_recipe(path, text):
    path.write_text(text)
    with pytest.raises(RecipeError, match=r"r\.yaml"):
        load_recipe(path)


def test_missing_file(tmp_path):
    with pytest.raises(RecipeError, match=r"none\.yaml cannot be read: No such file"):
        load_recipe(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    "override", ["train.epochs", "=3", "train..epochs=3", "train.epochs=[", "data.name.x=1"]
)
def test_malformed_overrides(path, override):
    with pytest.raises(RecipeError, match="override"):
        load_recipe(path, [override])


def test_an_unknown_kind_of_neuron_is_one_message():
    with pytest.raises(RecipeError) as caught:
        parse_recipe({"data": {"name": "nmnist"}, "model": {"neuron": 3}})
    assert str(caught.value).count("model.neuron") == 1


def test_schedules():
    cosine = OptimiserConfig(lr=0.1, warmup_epochs=2)
    assert cosine.lr_at(1.0, 10) == pytest.approx(0.05)
    assert cosine.lr_at(2.0, 10) == pytest.approx(0.1)
    assert cosine.lr_at(4.0, 10) == pytest.approx(0.1 * (1 + math.cos(math.pi / 4)) / 2)
    assert cosine.lr_at(10.0, 10) == pytest.approx(0)
    step = OptimiserConfig(lr=0.1, schedule="step", step_size=3, gamma=0.5)
    assert [step.lr_at(t, 9) for t in (0.0, 2.9, 3.0, 6.5)] == pytest.approx([0.1, 0.1, 0.05, 0.025])
    assert OptimiserConfig(lr=0.3, schedule="constant").lr_at(7.5, 9) == 0.3


def test_recipe_is_frozen(path):
    with pytest.raises(ValueError, match="frozen"):
        load_recipe(path).train = None  # type: ignore[misc]
    assert isinstance(load_recipe(path), Recipe)
