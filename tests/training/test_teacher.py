"""A recipe whose teacher is another run, and a model that is quantised from its first epoch on."""

import pytest

from rheobase.compression import quantisers
from rheobase.errors import RecipeError
from rheobase.objectives import InformationEnhancementConfig
from rheobase.training import open_run, parse_recipe, recipe_objective, train

BINARY = {"weights": {"name": "standardised_sign"}, "edge_bits": None}


def recipe(values, **objective):
    options = {"width": 8, "heads": 1, "depth": 1, "pools": [1, 3]}
    return values | {
        "model": {"name": "bestformer_small", "options": options},
        "objective": {"name": "information_enhancement"} | objective,
        "train": {"epochs": 1, "batch_size": 16, "threads": 1, "precision": "32"},
    }


def test_twin_then_binary_network(values, tmp_path):
    twin = train(parse_recipe(recipe(values, distill="none")), tmp_path / "twin", quiet=True)
    assert not quantisers(twin.model())
    student = recipe(values, teacher=str(tmp_path / "twin"))
    student["model"]["quantise"] = BINARY
    run = train(parse_recipe(student), tmp_path / "binary", quiet=True)
    assert {"train_cross_entropy", "train_distillation"} <= run.metrics[-1].keys()
    model = open_run(tmp_path / "binary").model()
    assert len(quantisers(model)) == 10, "four of the tokenizer, four of attention, two of the MLP"
    assert set(model.features.trunk.mlp1.branch.conv1.weight.unique().tolist()) == {-1.0, 1.0}


def test_a_missing_teacher_is_named(tmp_path):
    config = InformationEnhancementConfig(teacher=str(tmp_path))
    with pytest.raises(RecipeError, match=r"objective\.teacher.*no run folder.*Train the teacher first"):
        recipe_objective(config)
    with pytest.raises(RecipeError, match="needs a teacher"):
        recipe_objective(InformationEnhancementConfig())
    assert (
        recipe_objective(InformationEnhancementConfig(distill="none", teacher=str(tmp_path))).teacher is None
    )
