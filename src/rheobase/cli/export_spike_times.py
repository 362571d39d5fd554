"""What `rheobase export` does with a run of spike times."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rheobase.cli.output import say
from rheobase.numbers import percent, size
from rheobase.targets.registry import Target

if TYPE_CHECKING:
    from rheobase.training import Run


def spike_times_to_c(run: "Run", out: Path | None, target: Target | None, samples: int) -> dict[str, Any]:
    """Export a run to C, run it on `target` if there is one, and say what is known; returns what `--json` writes."""
    from rheobase.spiketime.program import on_target
    from rheobase.training.export_spike_times import export_spike_times, spike_time_program

    exported = export_spike_times(run, out)
    facts = exported.facts
    result = {"run": str(run.folder), "folder": str(exported.folder), **facts}
    work = facts["work_per_sample"]
    say(
        f"{facts['kind']} on {facts['ticks']} ticks a unit of time: {size(facts['bytes_weights'])} weights, "
        f"{size(facts['bytes_state'])} state"
    )
    say(
        f"test accuracy {percent(facts['accuracy'])} (float model {percent(facts['accuracy_float'])}); "
        f"C equals the reference on {facts['equal']} of {facts['samples']} samples"
    )
    say(
        f"{facts['spikes_per_sample']:,.1f} spikes a sample; executed: {work['additions']:,.0f} additions of weights (of "
        f"{facts['synapses']:,} synapses), {work['updates']:,.0f} updates of potentials, {work['divisions']:,.0f} divisions"
    )
    if target is not None:
        frames = run.dataset().test.frames[:samples].swapaxes(0, 1)
        measured = on_target.run(spike_time_program(run), target, np.ascontiguousarray(frames))
        say(
            f"{measured.target}: {size(measured.bytes_flash)} flash, {size(measured.bytes_state)} state, "
            f"{measured.instructions_per_inference:,.0f} instructions per inference; equal to the reference on "
            f"{measured.samples} of {measured.samples} samples run there"
        )
        result["target"] = asdict(measured)
    say(f"sources in {exported.folder}; try there:")
    say("  cc -std=c99 -O2 model.c self_test.c -o self_test && ./self_test")
    return result
