"""What `rheobase export` does beside the network where it reads a recorded signal: the encoder as C."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rheobase.cli.output import say
from rheobase.errors import RecipeError
from rheobase.numbers import percent, size

if TYPE_CHECKING:
    from rheobase.program import Program
    from rheobase.targets import Target
    from rheobase.training import Run
    from rheobase.training.export_signal import Chain


def find_chain(run: "Run", program: "Program") -> "Chain | None":
    """The encoder in front of the network; None where the run reads no recorded signal, and None with a word why where front
    end or encoder have no integer form.
    """
    from rheobase.training.export_signal import chain, is_recorded

    if not is_recorded(run):
        return None
    try:
        return chain(run, program)
    except RecipeError as error:
        say(f"no encoder in C: {error}; the network is fed with frames that Python makes")
        return None


def tell_chain(
    chain: "Chain",
    program: "Program",
    files: Sequence[Path],
    target: "Target | None",
    rates: dict[int, float] | None,
    optimise: str,
) -> dict[str, Any]:
    """Run the chain on `target` if there is one, and say what is known; returns what `--json` writes. `files` are its C."""
    from rheobase.signals.program import on_target

    found = chain.agreement
    say(
        f"encoder in C, from 16-bit samples: {percent(found.spikes)} of the frames' values and {found.decisions} of "
        f"{found.samples} decisions are those of the float encoder; test accuracy {percent(found.accuracy)} on these"
    )
    facts = {"files": [path.name for path in files], **asdict(found)}
    if target is not None:
        done = on_target.run(
            chain.coding, program, target, chain.recorded.samples(0), optimise=optimise, rates=rates
        )
        say(
            f"{done.target}, samples to decisions: {size(done.bytes_flash)} flash ({size(done.bytes_flash_encoder)} encoder), "
            f"{size(done.bytes_ram)} RAM ({size(done.bytes_state_encoder)} encoder, {size(done.bytes_state_network)} network, "
            f"{size(done.bytes_stack)} stack)"
        )
        say(
            f"{done.instructions_per_second:,.0f} instructions per second of signal "
            f"({done.encoder_instructions_per_second:,.0f} encoder, {done.network_instructions_per_second:,.0f} network); "
            f"decisions equal to Python's after each of the {done.frames} frames of a recording run there"
        )
        facts["target"] = {
            **asdict(done),
            "bytes_flash": done.bytes_flash,
            "bytes_ram": done.bytes_ram,
            "instructions_per_second": done.instructions_per_second,
        }
    return facts
