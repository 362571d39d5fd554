"""`rheobase eval`: measure a trained run on its test set."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rheobase.cli.output import JsonOption, print_table, say, write_json
from rheobase.files import atomic_write
from rheobase.numbers import percent

if TYPE_CHECKING:
    from rheobase.training import Evaluation

TITLES = {"noise": "Events added as noise", "drop": "Events lost"}


def evaluate_command(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    robustness: Annotated[
        bool, typer.Option("--robustness", help="Also under added noise events and lost events.")
    ] = False,
    noise: Annotated[
        bool,
        typer.Option(
            "--noise",
            help="Also under five kinds of noise at five severities; the plot goes to RUN/noise.svg.",
        ),
    ] = False,
    json: JsonOption = None,
) -> None:
    """Accuracy after each timestep, spikes, firing rates, confusion, and robustness of a trained run.

    Example: rheobase eval runs/motion_stable_spike --noise
    """
    from rheobase.training import open_run

    evaluation = open_run(run).evaluate(robustness=robustness, noise=noise)
    print_evaluation(evaluation)
    if noise:
        plot_noise(evaluation, run / "noise.svg")
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
    if found.mismatch:
        print_table(
            "Saccadic gates",
            ["block", "decided otherwise by the decoupled rule"],
            [(name, percent(share)) for name, share in found.mismatch.items()],
        )
    for kind, curve in found.robustness.items():
        print_table(
            TITLES.get(kind, kind.capitalize()),
            ["level", *(f"{level:g}" for level, _ in curve)],
            [["accuracy", *(percent(a) for _, a in curve)]],
        )
    if found.noise_score is not None:
        kept = found.noise_score / found.accuracy if found.accuracy else 0.0
        say(
            f"noise score {percent(found.noise_score)}: {percent(kept)} of the accuracy without noise",
            style="bold",
        )


def plot_noise(found: "Evaluation", path: Path) -> None:
    """Accuracy against the severity of each kind of the noise suite, as an SVG file."""
    from rheobase.events import NOISE_SUITE
    from rheobase.report.figures.severity import severity_plot

    curves = {kind: found.robustness[kind] for kind in NOISE_SUITE}
    atomic_write(path, severity_plot(curves, f"noise score {percent(found.noise_score or 0.0)}"))
    say(f"plot: {path}")
