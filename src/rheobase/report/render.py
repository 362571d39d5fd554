"""From `ReportData` to one HTML page that needs nothing else."""

import math
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import DictLoader, Environment, StrictUndefined
from markupsafe import Markup

from rheobase.files import atomic_write
from rheobase.report import findings, tables
from rheobase.report.data import Arm, ReportData
from rheobase.report.decisions import rasters, recordings
from rheobase.report.figures import bars, curves, spike_times
from rheobase.report.figures.canvas import PAGE, PHONE
from rheobase.report.figures.confusion import matrix
from rheobase.report.gaze import Gaze
from rheobase.report.gaze import in_words as gaze_in_words
from rheobase.report.gaze_pictures import pictures
from rheobase.report.palette import ARMS, css_variables
from rheobase.report.spike_times import SpikeTimes, in_words

_KINDS = {
    "noise": "Noise: events added at random places and times",
    "drop": "Drop: a share of the events removed",
}


@dataclass(frozen=True)
class Panel:
    """One drawing with its heading; `narrow` replaces it on small screens."""

    title: str
    svg: Markup
    narrow: Markup | None = None
    note: str = ""


def render(data: ReportData) -> str:
    """The report as HTML text: no script, no font, no picture from elsewhere; same data, same bytes."""
    here = files("rheobase.report")
    environment = Environment(
        loader=DictLoader({"page": here.joinpath("template.html.j2").read_text(encoding="utf-8")}),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = css_variables() + here.joinpath("style.css").read_text(encoding="utf-8")
    return environment.get_template("page").render(data=data, style=Markup(style), **_sections(data))


def write_report(data: ReportData, path: Path) -> None:
    """Render and write `path` atomically.

    Raises:
        OSError: the file cannot be written; `path` is then as it was.
    """
    atomic_write(path, render(data))


def _sections(data: ReportData) -> dict[str, Any]:
    """Everything the template shows; an empty value leaves its section out."""
    arms, program, shipped = data.arms, data.program, data.shipped
    sections: dict[str, Any] = {
        "anytime": _anytime(data),
        "states": tables.state_table(data.states) if data.states else None,
        "program": _program(data) if program else None,
        "training": _training(arms),
        "activity": _activity(arms) if any(arm.rates for arm in arms) or not data.spike_times else [],
        "confusion": _confusion(data) if shipped.confusion else None,
        "robustness": _robustness(arms),
        "rasters": rasters(data),
        "recordings": recordings(data),
    }
    names = {
        "anytime": "accuracy against timesteps",
        "states": "states",
        "program": "the integer program",
        "training": "training curves",
        "activity": "firing rates",
        "confusion": "confusion matrix",
        "robustness": "robustness",
        "rasters": "spike raster",
        "recordings": "recordings",
    }
    if data.spike_times is not None:  # without a time axis there is nothing to want of these
        names = {key: name for key, name in names.items() if key not in ("anytime", "activity", "rasters")}
    mistakes = findings.mistakes(shipped, data.classes) if shipped.confusion else []
    commands = [value for key, value in data.facts if key.lower() == "command"]
    return {
        **sections,
        "missing": [name for key, name in names.items() if not sections[key]],
        "spike_times": _spike_times(data.spike_times) if data.spike_times else None,
        "gaze": _gaze(data.gaze) if data.gaze else None,
        "tiles": findings.tiles(data),
        "keys": [(index % ARMS, arm.name) for index, arm in enumerate(arms)],
        "anytime_says": findings.anytime(data) if sections["anytime"] else "",
        "anytime_table": tables.accuracy_table(arms) if sections["anytime"] else None,
        "states_say": findings.stages(data.states),
        "program_says": findings.program(program) if program else "",
        "layer_table": tables.layer_table(program) if program else None,
        "training_says": findings.training(arms),
        "activity_says": findings.activity(arms),
        "confusion_says": findings.confusion(shipped) if shipped.confusion else "",
        "mistakes": tables.mistake_table(mistakes) if mistakes else None,
        "commands": commands,
        "facts": [(key, value) for key, value in data.facts if key.lower() != "command"],
    }


def _anytime(data: ReportData) -> Panel | None:
    arms = data.arms
    if data.spike_times is not None or not any(math.isfinite(a) for arm in arms for a in arm.accuracy_at):
        return None
    chance = 1 / len(data.classes) if len(data.classes) > 1 else 0.0
    return Panel(
        "Accuracy",
        curves.accuracy_over_time(arms, PAGE, 400, chance=chance),
        curves.accuracy_over_time(arms, PHONE, 330, chance=chance),
    )


def _program(data: ReportData) -> list[Panel]:
    assert data.program is not None
    panels = [
        Panel("Bytes", bars.memory_totals(data.program)),
        Panel("Operations per sample", bars.work_totals(data.program)),
    ]
    layers = tables.busy(data.program.layers)
    if layers:
        panels.append(Panel("Bytes by layer", bars.memory_by_layer(layers)))
        panels.append(Panel("Operations per sample by layer", bars.work_by_layer(layers)))
    if len(data.program.exits) > 1:
        panels.append(
            Panel(
                "Accuracy with early exit",
                curves.early_exit(data.program),
                note="each recording stops at its first clear step; dashed: all stop after the same number",
            )
        )
    return panels


def _confusion(data: ReportData) -> Panel:
    wide, narrow = (matrix(data.shipped.confusion, data.classes, room) for room in (560, PHONE))
    return Panel("Decisions by label", wide, narrow)


def _training(arms: list[Arm]) -> list[Panel]:
    drawn = [(name, curves.training(arms, name)) for name in ("loss", "accuracy")]
    return [Panel(name.capitalize(), svg) for name, svg in drawn if svg is not None]


def _spike_times(found: SpikeTimes) -> dict[str, Any]:
    """The sentence, and the panels of all samples and of single ones."""
    answers = Panel(
        "Answers that have arrived",
        spike_times.answers(found, PAGE, 300),
        spike_times.answers(found, PHONE, 280),
    )
    return {
        "says": in_words(found),
        "answers": None if found.one_moment() else answers,
        "layers": [
            Panel("First spikes", spike_times.histograms(found)),
            Panel("Spikes per sample", spike_times.spikes(found)),
        ],
        "samples": [
            Panel(
                f"label {sample.label}, answer {sample.answer}",
                spike_times.raster(sample, found.layers, index),
            )
            for index, sample in enumerate(found.samples)
        ],
    }


def _gaze(found: Gaze) -> dict[str, Any]:
    """The sentence, the table, and the pictures of single samples."""
    return {
        "says": gaze_in_words(found),
        "table": tables.gaze_table(found),
        "samples": pictures(found),
        "events": found.events,
    }


def _activity(arms: list[Arm]) -> list[Panel]:
    """First the rates, then the totals (the template stacks these beside the rates)."""
    panels = [Panel("Firing rate", bars.rates(arms))] if any(arm.rates for arm in arms) else []
    for measure, title, note in (
        ("spikes_per_sample", "Spikes per sample", "all layers, all steps"),
        (
            "temporal_inconsistency",
            "Temporal inconsistency",
            "how much spikes change between steps; lower is steadier",
        ),
    ):
        if any(math.isfinite(getattr(arm, measure)) for arm in arms):
            panels.append(Panel(title, bars.activity_totals(arms, measure), note=note))
    return panels


def _robustness(arms: list[Arm]) -> list[Panel]:
    kinds = list(dict.fromkeys(kind for arm in arms for kind, curve in arm.robustness.items() if curve))
    return [
        Panel(
            _KINDS.get(kind, kind.capitalize()),
            curves.robustness(arms, kind),
            note=findings.robustness(arms, kind),
        )
        for kind in kinds
    ]
