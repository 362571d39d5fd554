"""The recipe's `compress` section: which quantiser it stands for, the schedule of fine-tuning, the search for widths."""

import numpy as np
import pytest
import torch

from rheobase.compression import LibraConfig, QuantConfig, quantise_, quantisers, weight_bytes
from rheobase.errors import RecipeError
from rheobase.models import create_model
from rheobase.training import TrainConfig, compressed, fit, parse_recipe
from rheobase.training.callback import Callback
from rheobase.training.compressed import Schedule, quant_config, search
from rheobase.training.loader import ArrayFrames
from rheobase.training.recipe import CompressConfig, QuantiserName
from rheobase.training.run import dump_recipe

RNG = np.random.default_rng(0)
DATA = ArrayFrames(RNG.poisson(0.5, (12, 2, 2, 16, 16)).astype(np.uint8), RNG.integers(0, 4, 12))


def small():
    torch.manual_seed(0)
    return create_model("vgg_small", num_classes=4, in_channels=2, input_size=(16, 16), width=0.25)


def recipe(**compress):
    return parse_recipe({"data": {"name": "motion-dvs-sim"}, "compress": compress})


def test_keys_of_before_mean_what_they_meant():
    config = quant_config(recipe(bits=2, gamma_mode="max", ste="scaled", edge_bits=4).compress)
    assert (config.weights.name, config.weights.bits, config.edge_bits) == ("rescaw", 2, 4)
    assert (config.weights.gamma_mode, config.weights.ste) == ("max", "scaled")


def test_recipes_know_every_quantiser():
    from typing import get_args

    from rheobase.compression import list_quantisers

    assert set(get_args(QuantiserName)) == set(list_quantisers())


def test_another_quantiser_with_overrides_survives_yaml():
    given = recipe(
        quantiser="libra", bits=1, overrides={"*conv3": {"name": "lsq", "bits": 8}, "*conv2": None}
    )
    import yaml

    again = parse_recipe(yaml.safe_load(dump_recipe(given)))
    assert again == given
    model = quantise_(small(), quant_config(again.compress))
    assert [q.config.name for q in quantisers(model).values()] == ["rescaw", "lsq", "libra", "rescaw"]


@pytest.mark.parametrize(
    "compress,message",
    [
        ({"quantiser": "libra"}, r"'libra': bits is 4, it has 1"),
        ({"quantiser": "mint", "per_channel": True, "bits": 2}, "per_channel"),
        ({"overrides": {"*": {"name": "lqs"}}}, "lqs.*did you mean 'lsq'"),
    ],
)
def test_mistakes_are_found_when_the_recipe_is_read(compress, message):
    with pytest.raises(RecipeError, match=message):
        recipe(**compress)


def test_fine_tuning_moves_the_schedule():
    class Watch(Callback):
        seen = []

        def epoch_ended(self, state):
            self.seen.append(round(quantisers(state.model)["features.conv2"].t.item(), 4))

    model = quantise_(small(), QuantConfig(weights=LibraConfig()))
    train = TrainConfig(epochs=2, batch_size=6)
    fit(model, DATA, train=train, callbacks=[Schedule(), Watch()], quiet=True)
    assert Watch.seen == [1.0, 10.0], "half and all of the training are over"


def test_search_leaves_overrides_that_fit():
    config = search(small(), DATA, CompressConfig(budget_bytes=3000))
    model = quantise_(small(), quant_config(config))
    assert weight_bytes(model) <= 3000 and config.budget_bytes is None
    assert CompressConfig.model_validate(config.model_dump(mode="json")) == config, (
        "what is written reads back"
    )


@pytest.mark.parametrize(
    ("optimiser", "compress", "decay"),
    [
        ({"name": "sgd", "weight_decay": 5e-4}, {}, 5e-4),
        ({"name": "adamw", "weight_decay": 0.06}, {}, 0.0),
        ({"name": "adamw", "weight_decay": 0.06}, {"weight_decay": 1e-4}, 1e-4),
    ],
)
def test_decay_of_adamw_is_not_that_of_sgd(monkeypatch, optimiser, compress, decay):
    taken = []
    monkeypatch.setattr(compressed, "fit", lambda *_, optimiser, **__: taken.append(optimiser))
    given = parse_recipe(
        {"data": {"name": "motion-dvs-sim"}, "optimiser": optimiser, "compress": {**compress, "lr": 0.02}}
    )
    compressed.fine_tune(small(), None, given, given.compress)
    assert [(one.name, one.lr, one.weight_decay) for one in taken] == [("sgd", 0.02, decay)]
