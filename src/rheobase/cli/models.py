"""`rheobase models`: the registered models and their sizes."""

from typing import Annotated

import typer

from rheobase.cli.output import JsonOption, print_table, write_json


def models_command(
    size: Annotated[int, typer.Option(help="Height and width of the sensor.")] = 48,
    classes: Annotated[int, typer.Option(help="Number of classes.")] = 10,
    json: JsonOption = None,
) -> None:
    """List the models with their parameters for a given sensor.

    Example: rheobase models --size 34 --classes 10
    """
    from rheobase.models import create_model, list_models

    rows = []
    for name in list_models():
        model = create_model(name, num_classes=classes, in_channels=2, input_size=(size, size))
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
