"""AEDAT 4, the files of DV: read with the package `aedat` (MIT), which is installed apart; not written.

The files are compressed flatbuffers; the package decodes them. Of several event streams, the first is read.
"""

import contextlib
import importlib
from collections.abc import Iterator
from typing import Any

from rheobase.events.format import Format
from rheobase.events.source import Source
from rheobase.events.stream import Block, Damage, Stream, places

VERSION = b"#!AER-DAT4.0"


def _decoder(source: Source) -> Any:
    try:
        package = importlib.import_module("aedat")
    except ImportError as error:
        raise Damage("", "AEDAT 4 files are read with the package aedat; `pip install aedat`") from error
    if source.path is None:
        raise Damage("", "AEDAT 4 can only be read from a file")
    with _failures("byte 0"):
        return package.Decoder(source.path)


@contextlib.contextmanager
def _failures(place: str) -> Iterator[None]:
    """Whatever the package raises, as damage; a panic in it is no `Exception`."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        raise Damage(place, f"the package aedat cannot read it: {error}") from error


def _open(source: Source, width: int | None, height: int | None) -> Stream:
    if not source.read(0, len(VERSION)).startswith(VERSION):
        raise Damage("byte 0", f"expected {VERSION.decode()}, the first line of an AEDAT 4 file")
    decoder = _decoder(source)
    streams = {number: found for number, found in decoder.id_to_stream().items() if found["type"] == "events"}
    if not streams:
        raise Damage("", "the file has no stream of events")
    first = min(streams)
    wide, high = streams[first].get("width"), streams[first].get("height")
    return Stream(
        _blocks(decoder, first), wide if width is None else width, high if height is None else height
    )


def _blocks(decoder: Any, stream: int) -> Iterator[Block]:
    packets = iter(decoder)
    number = -1
    while True:
        number += 1
        with _failures(f"packet {number}"):
            packet = next(packets, None)
        if packet is None:
            return
        if packet["stream_id"] == stream and "events" in packet:
            events = packet["events"]
            polarity = events["on"] if "on" in events.dtype.names else events["p"]
            yield Block(
                events["x"], events["y"], events["t"].astype("int64"), polarity, places("packet", number, 0)
            )


AEDAT4_FORMAT = Format("aedat4", "AEDAT 4", (".aedat4",), _open, lambda head: head.startswith(b"#!AER-DAT4"))
