"""`rheobase models`: the registered models and their sizes."""

from typing import Annotated

import typer

from rheobase.cli.output import JsonOption, print_table, write_json


def models_command(
    size: Annotated[int, typer.Option(help="Height and width of the sensor.")] = 48,
    classes: Annotated[int, typer.Option(help="Number of classes.")] = 10,
    options: Annotated[
        str | None, typer.Option(help="List the options of this model's family instead.")
    ] = None,
    json: JsonOption = None,
) -> None:
    """List the models with their parameters for a given sensor, or the options of one.

    Example: rheobase models --size 34 --classes 10
    """
    import torch

    from rheobase.models import create_model, list_models, model_options

    if options is not None:
        found = model_options(options)
        print_table(
            f"Options of {options} (`model.options` in a recipe)",
            ["option", "default"],
            [(name, str(value)) for name, value in found.items()],
        )
        write_json(json, found)
        return
    rows = []
    for name in list_models():
        with torch.device("meta"):  # sizes without weights
            model = create_model(name, num_classes=classes, in_channels=2, input_size=(size, size), T=4)
        rows.append(
            {
                "name": name,
                "parameters": sum(p.numel() for p in model.parameters()),
                "neurons": len(model.neurons()),
            }
        )
    print_table(
        f"Models for {size}x{size} events, {classes} classes",
        ["model", "parameters", "neuron layers"],
        [(row["name"], f"{row['parameters']:,}", row["neurons"]) for row in rows],
    )
    write_json(json, rows)
