"""`rheobase eval`: measure a trained run on its test set."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rheobase.cli.output import JsonOption, print_table, say, write_json
from rheobase.numbers import percent

if TYPE_CHECKING:
    from rheobase.training import Evaluation


def evaluate_command(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    robustness: Annotated[
        bool, typer.Option("--robustness", help="Also under added noise events and lost events.")
    ] = False,
    json: JsonOption = None,
) -> None:
    """Accuracy after each timestep, spikes, firing rates, confusion, and robustness of a trained run.

    Example: rheobase eval runs/motion_stable_spike --robustness
    """
    from rheobase.training import open_run

    evaluation = open_run(run).evaluate(robustness=robustness)
    print_evaluation(evaluation)
    write_json(json, evaluation.to_json())


def print_evaluation(found: "Evaluation") -> None:
    """The evaluation as tables."""
    say(
        f"{percent(found.accuracy)} of {found.samples} test samples, {found.spikes_per_sample:,.0f} spikes each",
        style="bold",
    )
    print_table(
        "Accuracy after the first k timesteps",
        ["k", *(str(k + 1) for k in range(len(found.accuracy_at)))],
        [["accuracy", *map(percent, found.accuracy_at)]],
    )
    print_table(
        "Firing rate",
        ["layer", "spikes per neuron and step"],
        [(name, f"{rate:.4f}") for name, rate in found.rates.items()],
    )
    if found.temporal_inconsistency is not None:
        say(f"temporal inconsistency {found.temporal_inconsistency:.4f}")
    for kind, curve in found.robustness.items():
        title = "Events added as noise" if kind == "noise" else "Events lost"
        print_table(
            title,
            ["share", *(percent(level) for level, _ in curve)],
            [["accuracy", *(percent(a) for _, a in curve)]],
        )
