"""What the numbers say, in words: headline tiles and one sentence a section."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rheobase.numbers import NA, percent, points, quantity, size, times, whole
from rheobase.pairs import Gain, gain
from rheobase.report.data import Arm, ProgramFacts, ReportData, State


@dataclass(frozen=True)
class Tile:
    """One headline number; `tone` colours it (`right`, `wrong` or plain)."""

    label: str
    value: str
    note: str = ""
    tone: str = ""


def tiles(data: ReportData) -> list[Tile]:
    """The three or four numbers to remember."""
    found = [_accuracy_tile(data.shipped, data.states)]
    if data.program:
        found += [_size_tile(data.program), _equal_tile(data.program)]
    found.append(_early_tile(data))
    return [tile for tile in found if tile.value != NA]


def _accuracy_tile(arm: Arm, states: Sequence[State]) -> Tile:
    if len(states) < 2:
        return Tile("Accuracy", percent(states[0].accuracy if states else arm.accuracy), arm.name)
    first, last = states[0], states[-1]
    change = points(last.accuracy - first.accuracy)
    value = f"{percent(first.accuracy)} → {percent(last.accuracy)}"
    return Tile(f"Accuracy, {first.name} → {last.name}", value, f"{change} points, {arm.name}")


def _size_tile(program: ProgramFacts) -> Tile:
    ratio = times(program.float_bytes, program.bytes_weights)
    note = f"weights {ratio} smaller than float32; {size(program.bytes_state)} of RAM for state"
    return Tile("Program, weights + code", size(program.bytes_weights + program.bytes_code), note)


def _equal_tile(program: ProgramFacts) -> Tile:
    if not program.samples:
        return Tile("Equal to the model", NA)
    value = f"{whole(program.equal)} / {whole(program.samples)}"
    if program.equal == program.samples:
        return Tile(
            "Samples equal to the model", value, "the program gave the model's integers every time", "right"
        )
    missed = whole(program.samples - program.equal)
    return Tile("Samples equal to the model", value, f"{missed} not equal: do not ship this program", "wrong")


def _early_tile(data: ReportData) -> Tile:
    arm, base = data.shipped, data.baseline
    steps = len(arm.mean_at)
    if steps < 2:
        return Tile("Early decision", NA)
    if arm is base or not base.mean_at:
        return Tile("Accuracy after one step", percent(arm.mean_at[0]), f"of {steps}; {arm.name}")
    first = gains(base, arm)[0]
    if not math.isfinite(first.mean):
        return Tile("Early decision", NA)
    note = f"{percent(base.mean_at[0])} → {percent(arm.mean_at[0])} after step 1 of {steps}{seeds(first)}"
    return Tile("Early-decision gain", f"{points(first.mean)} points", note)


def gains(base: Arm, arm: Arm) -> list[Gain]:
    """Accuracy of `arm` over that of `base` after every number of steps, paired by seed."""
    pairs = list(zip(base.curves, arm.curves, strict=False))
    steps = min(len(base.accuracy_at), len(arm.accuracy_at))
    return [gain([a[k] for a, _ in pairs], [b[k] for _, b in pairs]) for k in range(steps)]


def seeds(found: Gain) -> str:
    """What to add to a mean over several seeds; nothing for a single one."""
    if found.pairs == 1:
        return ""
    return (
        f"; mean of {found.pairs} pairs of seeds, spread {100 * found.spread:.1f}, gain in {found.positive}"
    )


def anytime(data: ReportData) -> str:
    """The first figure in a sentence."""
    arm, base = data.shipped, data.baseline
    steps = len(arm.mean_at)
    if arm is base or not (steps and base.mean_at):
        only = arm if steps else base
        steps = len(only.mean_at)
        end = f" and {percent(only.mean_at[-1])} after all {steps}" if steps > 1 else ""
        return f"{only.name} reads {percent(only.mean_at[0])} after one step{end}."
    sentence = (
        f"After one step {arm.name} reads {percent(arm.mean_at[0])} and {base.name} "
        f"{percent(base.mean_at[0])} ({points(arm.mean_at[0] - base.mean_at[0])} points{seeds(gains(base, arm)[0])})"
    )
    if steps > 1:
        final = gains(base, arm)[-1]
        spread = f" (spread {100 * final.spread:.1f})" if final.pairs > 1 else ""
        sentence += f"; after all {steps} steps the difference is {points(final.mean)} points{spread}"
    reach = next((k for k, a in enumerate(arm.mean_at, 1) if a >= base.mean_at[-1]), None)
    if reach is not None and reach < len(base.mean_at):
        sentence += f". {arm.name} passes the final accuracy of {base.name} at step {reach}"
    return sentence + "."


def stages(states: Sequence[State]) -> str:
    """The table of states in a sentence."""
    if len(states) < 2:
        return ""
    change = states[-1].accuracy - states[0].accuracy
    return f"From {states[0].name} to {states[-1].name} the accuracy moves by {points(change, 2)} points."


def program(facts: ProgramFacts) -> str:
    """Size and work in a sentence."""
    return (
        f"{size(facts.bytes_weights)} of weights, {times(facts.float_bytes, facts.bytes_weights)} less than "
        f"float32, and {quantity(facts.synops_per_sample)} synaptic operations per sample where the float "
        f"model does {quantity(facts.dense_macs_per_sample)} multiply-accumulates "
        f"({times(facts.dense_macs_per_sample, facts.synops_per_sample)})."
    )


def training(arms: Sequence[Arm]) -> str:
    """Where training ended."""
    ends = []
    for arm in arms:
        last = arm.history[-1] if arm.history else {}
        if "validation_accuracy" in last:
            ends.append(
                f"{arm.name} at {percent(last['validation_accuracy'])} after {last['epoch']:.0f} epochs"
            )
    return f"Validation accuracy ended with {' and '.join(ends)}." if ends else ""


def activity(arms: Sequence[Arm]) -> str:
    """Firing in a sentence, and the layers that never fire."""
    parts = [f"{arm.name} from {' to '.join(_rate_range(arm))}" for arm in arms if arm.rates]
    silent = [f"{layer} ({arm.name})" for arm in arms for layer, rate in arm.rates.items() if rate == 0]
    sentence = f"Rates by layer: {'; '.join(parts)}." if parts else ""
    return sentence + (f" Silent: {', '.join(silent)}." if silent else "")


def robustness(arms: Sequence[Arm], kind: str) -> str:
    """Accuracy at the hardest level."""
    ends = [(arm.name, max(arm.robustness[kind])) for arm in arms if arm.robustness.get(kind)]
    return "Hardest level: " + ", ".join(f"{name} {percent(acc)} at {level:g}" for name, (level, acc) in ends)


def confusion(arm: Arm) -> str:
    """Right decisions in a sentence."""
    counts = np.asarray(arm.confusion, dtype=np.int64)
    right, total = int(np.trace(counts)), int(counts.sum())
    share = percent(right / total if total else math.nan)
    return f"{whole(right)} of {whole(total)} samples decided right ({share})."


def mistakes(arm: Arm, classes: Sequence[str], limit: int = 6) -> list[tuple[str, str, str, str]]:
    """The most frequent wrong decisions: label, decision, count, share of the label's samples."""
    counts = np.asarray(arm.confusion, dtype=np.int64)
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:limit]
    pairs = [divmod(int(flat), len(counts)) for flat in order]
    return [
        (classes[row], classes[col], whole(wrong[row, col]), percent(wrong[row, col] / counts[row].sum()))
        for row, col in pairs
        if wrong[row, col] > 0
    ]


def _rate_range(arm: Arm) -> tuple[str, str]:
    known = [rate for rate in arm.rates.values() if math.isfinite(rate)]
    return (percent(min(known)), percent(max(known))) if known else (NA, NA)
