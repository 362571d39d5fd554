"""Every recipe that is shipped loads, and its header says how to run it."""

from pathlib import Path

import pytest

from rheobase import list_datasets, list_models, load_recipe
from rheobase.cli import demo

ROOT = Path(__file__).parents[1]
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))
DEMOS = sorted((ROOT / "src" / "rheobase" / "cli" / "recipes").glob("*.yaml"))


def header(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    return "\n".join(lines[: next(i for i, line in enumerate(lines) if not line.startswith("#"))])


def test_there_are_recipes():
    assert RECIPES
    assert {path.name for path in DEMOS} == set(demo.RECIPES.values())


@pytest.mark.parametrize("path", RECIPES + DEMOS, ids=lambda path: path.name)
def test_recipe_loads(path):
    recipe = load_recipe(path)
    assert recipe.data.name in list_datasets()
    assert recipe.model.name in list_models()


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_header_names_the_command(path):
    assert f"rheobase train recipes/{path.name}" in header(path)


@pytest.mark.parametrize("data", demo.RECIPES)
def test_demo_header_names_the_command(data):
    path = ROOT / "src" / "rheobase" / "cli" / "recipes" / demo.RECIPES[data]
    default = data == "motion-dvs-sim"
    assert ("rheobase demo" if default else f"rheobase demo --data {data}") in header(path)
    assert load_recipe(path).data.name == data
