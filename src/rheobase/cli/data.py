"""`rheobase data`: list the data sets, look into one; look into one recording, convert it."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from rheobase.cli.output import JsonOption, print_table, say, write_json
from rheobase.errors import DataError, RecipeError

if TYPE_CHECKING:
    from rheobase.datasets import FrameSet
    from rheobase.datasets.download import Fetched

app = typer.Typer(
    no_args_is_help=True, help="Data sets and recordings.\n\nExample: rheobase data show motion-dvs-sim"
)


@app.command("list")
def list_command(json: JsonOption = None) -> None:
    """Name the data sets: what each is, its licence, and how it is had.

    Example: rheobase data list
    """
    from rheobase.datasets import list_datasets
    from rheobase.datasets.cards import CARDS

    names = list_datasets()
    for name in names:
        card = CARDS.get(name)
        how = "" if card is None else f"data fetch {name}" if card.files else card.get
        say(name if card is None else f"{name:<18} {card.what}. Licence: {card.licence}. To get it: {how}")
    write_json(json, names)


@app.command("show")
def show_command(
    name: Annotated[str, typer.Argument(help="Name of the data set.")],
    T: Annotated[int, typer.Option("--T", "-T", help="Number of frames.")] = 4,
    binning: Annotated[
        Literal["time", "count"], typer.Option(help="Frames of equal time or of equal event count.")
    ] = "time",
    split: Annotated[str, typer.Option(help="Name of the split.")] = "official",
    folder: Annotated[Path | None, typer.Option(help="Your recordings, for the data set 'folder'.")] = None,
    json: JsonOption = None,
) -> None:
    """Load a data set (generating or reading it if need be) and say what is in it.

    Example: rheobase data show nmnist --split low-data-0
    """
    from rheobase.datasets import DataConfig, load_dataset

    if T < 1:
        raise RecipeError(f"--T is {T}; a recording becomes 1 frame or more")
    data = load_dataset(DataConfig(name=name, T=T, binning=binning, split=split, folder=folder))
    parts = {part: _part(getattr(data, part)) for part in ("train", "validation", "test")}
    result = {
        "name": data.name,
        "classes": list(data.classes),
        "sensor": list(data.sensor),
        "T": data.T,
        "split_hash": data.split_hash,
        "parts": parts,
    }
    height, width = data.sensor
    say(f"{data.name} {height}x{width}, {len(data.classes)} classes: {', '.join(data.classes)}", style="bold")
    say(f"split {split}, sha256 {data.split_hash}")
    print_table(
        "",
        ["part", "recordings", "events each"],
        [
            (part, facts["recordings"], f"{facts['events_per_recording']:.0f}")
            for part, facts in parts.items()
        ],
    )
    write_json(json, result)


COUNTED = 2000
"""Rows, about evenly drawn, that the mean number of events is taken of: others may lie in files, undecoded."""


def _part(frames: "FrameSet") -> dict[str, float]:
    import numpy as np

    rows = np.linspace(0, len(frames) - 1, min(len(frames), COUNTED)).astype(np.int64)
    events = frames.frames[rows].sum((1, 2, 3, 4))
    return {"recordings": len(frames), "events_per_recording": float(events.mean()) if len(frames) else 0.0}


@app.command("info")
def info_command(
    file: Annotated[Path, typer.Argument(help="A recording of any known format.")],
    format: Annotated[
        str | None, typer.Option(help="Its format, where neither content nor suffix say.")
    ] = None,
    width: Annotated[
        int | None, typer.Option(help="Width of the sensor, if the file does not state it.")
    ] = None,
    height: Annotated[int | None, typer.Option(help="Height of the sensor, likewise.")] = None,
    salvage: Annotated[
        bool, typer.Option("--salvage", help="Of a damaged file, look at the events before the damage.")
    ] = False,
    json: JsonOption = None,
) -> None:
    """Say what is in one recording, and what is wrong with it, in bounded memory.

    Example: rheobase data info recording.raw
    """
    from rheobase.events import survey

    found = survey(file, format=format, width=width, height=height, salvage=salvage)
    on = found.on / found.events if found.events else 0.0
    result = {
        "file": str(file),
        "format": found.format,
        "sensor": [found.height, found.width],
        "sensor_stated": found.size_stated,
        "events": found.events,
        "seconds": found.seconds,
        "events_per_second": found.rate,
        "on_share": on,
        "label": found.label,
        "disorder": found.disorder,
        "outside": found.outside,
        "gaps": found.gaps,
        "hot_pixels": found.hot,
        "damage": found.damage,
        "warnings": found.warnings(),
    }
    guessed = "" if found.size_stated else " (by its largest coordinates)"
    say(
        f"{file.name} ({found.format}): {found.events:,} events on {found.height}x{found.width} pixels{guessed} in "
        f"{found.seconds:.3f} s, {found.rate:,.0f} events/s, {100 * on:.0f} % of them ON"
    )
    for line in found.warnings():
        say(f"warning: {line}", style="yellow")
    write_json(json, result)


@app.command("convert")
def convert_command(
    source: Annotated[Path, typer.Argument(metavar="IN", help="A recording of any known format.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="The file to write.")],
    to: Annotated[str | None, typer.Option(help="Format to write. Default: that of OUT's suffix.")] = None,
    format: Annotated[
        str | None, typer.Option(help="Format of IN. Default: told by content, then suffix.")
    ] = None,
    width: Annotated[int | None, typer.Option(help="Width of the sensor, if IN does not state it.")] = None,
    height: Annotated[int | None, typer.Option(help="Height of the sensor, likewise.")] = None,
    salvage: Annotated[
        bool, typer.Option("--salvage", help="Of a damaged file, keep the events before.")
    ] = False,
    sort: Annotated[bool, typer.Option("--sort", help="Sort events that are out of order by time.")] = False,
    json: JsonOption = None,
) -> None:
    """Write a recording in another format.

    Example: rheobase data convert recording.raw recording.npz
    """
    from rheobase.events import read_recording, write_recording

    if target.exists() and source.exists() and target.samefile(source):
        raise RecipeError(f"{target}: OUT is IN; name another file")
    recording = read_recording(source, format=format, width=width, height=height, salvage=salvage, sort=sort)
    write_recording(recording, target, format=to)
    say(f"{target}: {len(recording):,} events on {recording.height}x{recording.width} pixels")
    write_json(json, {"file": str(target), "events": len(recording)})


@app.command("fetch")
def fetch_command(
    name: Annotated[
        str | None, typer.Argument(help="Name of the data set. With --check it may be left out: all of them.")
    ] = None,
    root: Annotated[Path | None, typer.Option(help="Folder to download to. Default: RHEOBASE_DATA.")] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Download nothing: check the files that are there.")
    ] = False,
    json: JsonOption = None,
) -> None:
    """Download a data set's official files, resuming what broke off, and check them; the licence is shown first.

    Example: rheobase data fetch nmnist --root my_data
    """
    from rheobase.datasets import download

    folder = root or (Path(given) if (given := os.environ.get("RHEOBASE_DATA")) else None)
    if folder is None:
        raise RecipeError("say where to: --root FOLDER, or set RHEOBASE_DATA")
    if name is None:
        if not check:
            raise RecipeError(
                "say what to fetch (`rheobase data list` has the names), or --check what is there"
            )
        _check_all(folder, json)
        return
    card = download.card(name)
    say(f"{card.title}: {card.what}. Licence: {card.licence}. Source: {card.source}.")
    found = download.check(name, folder) if check else download.fetch(name, folder)
    for file in found:
        say(f"{file.path}: {SAYS[file.checked]}")
    if card.get and not check:
        say(f"next: {card.get}")
    write_json(json, {"name": name, "licence": card.licence, "files": _files(found)})


def _check_all(folder: Path, json: Path | None) -> None:
    """Check the files of every data set; those that are damaged are named together, at the end."""
    from rheobase.datasets import download
    from rheobase.datasets.cards import CARDS

    rows, damaged = [], []
    for name in sorted(name for name, card in CARDS.items() if card.files):
        try:
            found = download.check(name, folder)
        except DataError as error:
            damaged.append(str(error))
            continue
        there = [file for file in found if file.checked != "absent"]
        for file in there:
            say(f"{name}: {file.path}: {SAYS[file.checked]}")
        if not there:
            say(f"{name}: not there")
        rows.append({"name": name, "files": _files(found)})
    write_json(json, {"sets": rows, "damaged": damaged})
    if damaged:
        raise DataError("; ".join(damaged))


def _files(found: "list[Fetched]") -> list[dict[str, str]]:
    return [{"file": str(file.path), "md5": file.md5, "checked": file.checked} for file in found]


SAYS = {
    "published": "its MD5 is the published one",
    "recorded": "its MD5 is the one recorded when it first came (none is published)",
    "new": "no MD5 is published; its own is recorded, and checked from now on",
    "absent": "not there",
}
