"""`rheobase encode`: a signal from a file to spikes, and encoders compared on it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml

from rheobase.cli.output import JsonOption, print_table, say, write_json
from rheobase.errors import RecipeError

if TYPE_CHECKING:
    from rheobase.signals import EncoderBase, Measured
    from rheobase.signals.encoder import Samples

USUAL_RATE = 0.3  # spikes a sample, where nothing else is asked for


def encode_command(
    file: Annotated[Path, typer.Argument(help="Signal: .wav, .flac, .csv, .txt, .npy or .npz.")],
    to: Annotated[Path | None, typer.Option(help="Write the spikes to this .npz file.")] = None,
    encoder: Annotated[str, typer.Option(help="Name of the encoder.")] = "tae",
    option: Annotated[
        list[str] | None,
        typer.Option("--option", "-o", help="Option of the encoder, as name=value. Repeatable."),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(help=f"Tune to this many spikes a sample (default: {USUAL_RATE}, if not set by -o)."),
    ] = None,
    snr: Annotated[float | None, typer.Option(help="Tune to this signal-to-noise ratio, in dB.")] = None,
    channel: Annotated[
        list[str] | None, typer.Option(help="Channel to encode, by name or number. Repeatable; default: all.")
    ] = None,
    sampling: Annotated[
        float | None, typer.Option(help="Samples a second: checked against the file, or stated for it.")
    ] = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="Do not scale each channel to mean 0 and peak 1 first.")
    ] = False,
    compare: Annotated[
        bool, typer.Option("--compare", help="Also compare all encoders on the signal.")
    ] = False,
    figure: Annotated[Path, typer.Option(help="HTML page that --compare writes.")] = Path("encoders.html"),
    json: JsonOption = None,
) -> None:
    """Encode a signal to spikes: {-1, 0, 1} for each sample and channel. SNR is of the scaled signal.

    Example: rheobase encode speech.wav --to spikes.npz --compare
    """
    from rheobase.signals import Scaling, create_encoder, read_signal

    if to is None and not compare:
        raise RecipeError("nothing to do: give --to FILE.npz for the spikes, or --compare")
    if to is not None and to.suffix.lower() != ".npz":
        raise RecipeError(f"--to {to}: spikes are written as .npz; name such a file")
    if rate is not None and snr is not None:
        raise RecipeError("--rate and --snr are two targets; give one")
    options = _options(option or [])
    made = create_encoder(encoder, **options)
    signal = read_signal(file, rate=sampling)
    if channel:
        signal = signal.select(*channel)
    scaling = None if raw else Scaling.centre(signal.x)
    x = signal.x if scaling is None else scaling.apply(signal.x)
    result: dict[str, Any] = {
        "file": str(file),
        "samples": len(x),
        "channels": list(signal.channels),
        "sampling": signal.rate,
    }
    if to is not None:
        from rheobase.signals import Encoded, save_encoded

        found = _settle(made, x, bool(options), rate, snr)
        code = found.encoder.encode(x)
        save_encoded(Encoded(code, found.encoder, signal.channels, signal.rate, scaling), to)
        result |= {"spikes": str(to), **_json(found)}
        _say(found, to, len(x), len(signal.channels))
    if compare:
        target = {"snr": snr} if snr is not None else {"rate": rate if rate is not None else USUAL_RATE}
        result |= {"compared": _compare(x, target, figure, file, signal.channels), "figure": str(figure)}
    write_json(json, result)


def _options(given: list[str]) -> dict[str, Any]:
    options = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise RecipeError(f"--option {text!r}: write name=value, e.g. --option th0=0.05")
        try:
            options[name] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise RecipeError(f"--option {text!r}: the value cannot be read") from error
    return options


def _settle(
    encoder: "EncoderBase", x: "Samples", chosen: bool, rate: float | None, snr: float | None
) -> "Measured":
    """The encoder as it is, or tuned where a target is given or nothing is said of a threshold it has."""
    from rheobase.signals import measure, tune
    from rheobase.signals.compare import has_dial

    if rate is None and snr is None:
        if chosen or not has_dial(encoder, x):
            return measure(encoder, x)
        rate = USUAL_RATE
    return tune(encoder, x, rate=rate, snr=snr)


def _say(found: "Measured", to: Path, samples: int, channels: int) -> None:
    from rheobase.signals.page import decibels, setting

    quality = "not decodable" if found.snr is None else f"SNR {decibels(found.snr)} dB"
    say(
        f"{found.encoder.name} ({setting(found)}): {found.per_sample:.3f} spikes a sample, {quality}",
        style="bold",
    )
    say(f"spikes: {to} ({samples:,} samples, {channels} channel{'s' * (channels > 1)})")


def _json(found: "Measured") -> dict[str, Any]:
    import math

    finite = found.snr is not None and math.isfinite(found.snr)
    return {
        "encoder": found.encoder.model_dump(mode="json"),
        "spikes_per_sample": found.per_sample,
        "snr_db": found.snr if finite else None,
    }


def _compare(
    x: "Samples", target: dict[str, float], figure: Path, file: Path, channels: tuple[str, ...]
) -> list[dict[str, Any]]:
    from rheobase.signals.compare import compare
    from rheobase.signals.page import cells, write_page

    entries = compare(x, **target)
    asked = f"{target['snr']:g} dB" if "snr" in target else f"{target['rate']:g} spikes a sample"
    title = f"Encoders at {asked}, where they can be tuned"
    print_table(
        title, ["encoder", "setting", "SNR, dB", "spikes a sample"], [cells(entry) for entry in entries]
    )
    write_page(figure, file.name, title, x, entries, channels[0])
    say(f"figure: {figure}")
    return [
        {"name": entry.name, "missed": entry.missed}
        if entry.found is None
        else {"name": entry.name, **_json(entry.found)}
        for entry in entries
    ]
