"""`rheobase compress`: quantise a trained run, fine-tune, harden."""

from pathlib import Path
from typing import Annotated

import typer

from rheobase.cli.output import JsonOption, print_table, write_json
from rheobase.errors import RecipeError
from rheobase.numbers import percent, size


def compress_command(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    bits: Annotated[
        int | None, typer.Option(help="Weight bits: 1, 2, 4 or 8. Default: the recipe's.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Fine-tuning epochs. Default: the recipe's.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, only the result.")] = False,
    json: JsonOption = None,
) -> None:
    """Quantise the weights of a trained run by ReScaW, fine-tune, and harden it onto the integer lattice.

    Example: rheobase compress runs/motion_stable_spike --bits 4
    """
    from rheobase.training import compress, open_run

    if bits is not None and bits not in (1, 2, 4, 8):
        raise RecipeError(f"--bits is {bits}; weights have 1, 2, 4 or 8 bits")
    if epochs is not None and epochs < 0:
        raise RecipeError(f"--epochs is {epochs}; give 0 (no fine-tuning) or more")
    opened = open_run(run)
    config = opened.recipe.compress
    changes = {key: value for key, value in (("bits", bits), ("epochs", epochs)) if value is not None}
    result = compress(opened, config.model_copy(update=changes), quiet=quiet or None)
    accuracies = {
        "float": (opened.evaluation or opened.evaluate(samples=0)).accuracy,
        "quantised": result.quantised_evaluation.accuracy,
        "hardened": result.hardened_evaluation.accuracy,
    }
    packed = sum(op.weight.bytes for op in result.program.ops if hasattr(op, "weight"))
    print_table(
        f"{result.config.bits}-bit weights, {size(packed)} packed",
        ["state", "test accuracy"],
        [(state, percent(accuracy)) for state, accuracy in accuracies.items()],
    )
    write_json(
        json, {"run": str(run), "bits": result.config.bits, "bytes_weights_packed": packed, **accuracies}
    )
