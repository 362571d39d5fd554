"""`rheobase train`: train as a recipe says, into a run folder."""

from pathlib import Path
from typing import Annotated

import typer

from rheobase.cli.output import JsonOption, say, write_json
from rheobase.numbers import percent


def train_command(
    recipe: Annotated[Path, typer.Argument(help="Recipe, a YAML file.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="Single values to change, key.sub=value.", metavar="KEY=VALUE"),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Run folder. Default: runs/<name of the recipe>.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last checkpoint of the run folder.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, only the result.")] = False,
    json: JsonOption = None,
) -> None:
    """Train a network. A run that was killed goes on with --resume, to the same numbers.

    Example: rheobase train recipes/motion_stable_spike.yaml train.seed=1 --out runs/seed1
    """
    from rheobase.training import load_recipe, train

    folder = out or Path("runs") / recipe.stem
    run = train(load_recipe(recipe, overrides or []), folder, resume=resume, quiet=quiet or None)
    evaluation = run.evaluation
    assert evaluation is not None, "train ends with an evaluation"
    say(
        f"test accuracy {percent(evaluation.accuracy)} on {evaluation.samples} test samples; run folder {folder}"
    )
    write_json(json, {"run": str(folder), **run.result, "test": evaluation.to_json()})
