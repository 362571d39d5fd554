"""`rheobase compress`: quantise and prune a trained run, fine-tune, harden."""

from pathlib import Path
from typing import Annotated

import typer
import yaml

from rheobase.cli.output import JsonOption, print_table, say, write_json
from rheobase.errors import RecipeError
from rheobase.numbers import percent, points, size


def compress_command(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            help="Values of the recipe's compress section to change, key=value.", metavar="KEY=VALUE"
        ),
    ] = None,
    bits: Annotated[
        int | None, typer.Option(help="Weight bits: 1, 2, 3, 4 or 8. Default: the recipe's.")
    ] = None,
    prune: Annotated[
        float | None,
        typer.Option(help="Share of the channels to remove, such as 0.5. Default: the recipe's."),
    ] = None,
    score: Annotated[
        str | None,
        typer.Option(help="What ranks channels: svs, sca, hrank, l1, slimming or random. Default: svs."),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(help="Epochs after quantising, and after pruning. Default: the recipe's.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, only the result.")] = False,
    json: JsonOption = None,
) -> None:
    """Quantise the weights of a trained run, remove channels, fine-tune, and harden onto the integer lattice.

    Example: rheobase compress runs/nmnist_qp_snn --bits 2 --prune 0.5 --score svs
    """
    from rheobase.compression import code_usages, weight_bytes
    from rheobase.training import compress, dump_recipe, open_run, parse_recipe
    from rheobase.training.export_spike_times import is_spike_time

    opened = open_run(run)
    if is_spike_time(opened):
        raise RecipeError(
            f"{run} is a network of spike times, which has no neurons over time to compress: export it directly, "
            f"`rheobase export {run} --to c` rounds its weights to 8 bits"
        )
    options = {"bits": bits, "prune.ratio": prune, "prune.score": score, "epochs": epochs}
    changes = [f"{key}={value}" for key, value in options.items() if value is not None]
    recipe = parse_recipe(
        yaml.safe_load(dump_recipe(opened.recipe)),
        [f"compress.{change}" for change in (*(overrides or []), *changes)],
        origin=f"the recipe of {run}",
    )
    result = compress(opened, recipe.compress, quiet=quiet or None)
    before = (opened.evaluation or opened.evaluate(samples=0)).accuracy
    accuracies = {"float": before} | {
        name: stage.evaluation.accuracy for name, stage in result.stages.items()
    }
    float_bytes = weight_bytes(opened.model())
    sizes = {"float": float_bytes} | {name: stage.weight_bytes for name, stage in result.stages.items()}
    print_table(
        f"{result.config.quantiser}, {result.config.bits} bit",
        ["state", "test accuracy", "points", "weights"],
        [
            (name, percent(accuracy), "" if name == "float" else points(accuracy - before), size(sizes[name]))
            for name, accuracy in accuracies.items()
        ],
    )
    usages = code_usages(result.model)
    least = min(usages, key=usages.__getitem__)
    say(
        f"levels used: {percent(sum(usages.values()) / len(usages))} on average, least {percent(usages[least])} in {least}"
    )
    if result.plan.groups:
        kept = ", ".join(f"{len(group.kept)} of {group.channels}" for group in result.plan.groups)
        say(f"channels kept: {kept}")
    write_json(
        json,
        {
            "run": str(run),
            "bits": result.config.bits,
            "bytes_weights_packed": sizes["hardened"],
            "bytes_weights_float": float_bytes,
            "code_usage": usages,
            "channels": {group.name: [len(group.kept), group.channels] for group in result.plan.groups},
            **accuracies,
        },
    )
