"""Download of data sets: mirrors in turn, broken downloads resumed, files checked.

A file appears under its name only once it is whole. What has come so far lies beside it as `.NAME.part`, and the next
fetch asks for the rest (HTTP `Range`). The digest is the card's; where the card has none, the file's own is recorded
in `.rheobase-md5.json` when it first came, and checked from then on: that proves that the file did not change, not
that it is the publisher's.
"""

import hashlib
import json
import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rheobase.datasets.cards import CARDS, Card, RemoteFile
from rheobase.errors import DataError, RecipeError, unknown
from rheobase.files import atomic_write_json

RECORD = ".rheobase-md5.json"
CHUNK = 1 << 20
TIMEOUT = 60

State = Literal["published", "recorded", "new", "absent"]


@dataclass(frozen=True)
class Fetched:
    """A file and how it was checked: against a `published` digest, one `recorded` before, or a `new` one."""

    path: Path
    md5: str
    checked: State


def card(name: str) -> Card:
    """The card of a data set.

    Raises:
        RecipeError: there is no such data set.
    """
    if name not in CARDS:
        raise RecipeError(unknown("data set", name, CARDS))
    return CARDS[name]


def fetch(name: str, root: Path) -> list[Fetched]:
    """Download the files of a data set to `root`; files that are there and whole are kept.

    Raises:
        RecipeError: no such data set.
        DataError: it has no files to fetch, all mirrors or the disk fail, or a file is not what it should be.
    """
    found = card(name)
    if not found.files:
        raise DataError(f"{found.title}: nothing to fetch; {found.get}")
    return [_fetch(Path(root), file) for file in found.files]


def check(name: str, root: Path) -> list[Fetched]:
    """What is there of a data set's files, checked without a network; those that are not are `absent`.

    Raises:
        RecipeError: no such data set.
        DataError: a file is not what it should be.
    """
    root = Path(root)
    return [
        _checked(root, file) if (root / file.name).exists() else Fetched(root / file.name, "", "absent")
        for file in card(name).files
    ]


def _fetch(root: Path, file: RemoteFile) -> Fetched:
    path = root / file.name
    if not path.exists():
        part = path.with_name(f".{path.name}.part")
        failures = []
        for url in file.urls:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                _download(url, part)
            except (OSError, urllib.error.URLError) as error:
                failures.append(f"{url} ({error})")
                continue
            expected = file.md5 or _recorded(root, file)
            if expected and (found := _md5(part)) != expected:
                part.unlink()
                failures.append(f"{url} (what came is not the file: MD5 {found}, not {expected})")
                continue
            os.replace(part, path)
            break
        else:
            raise DataError(
                f"{file.name}: the download failed: {'; '.join(failures)}. Run it again to go on, or copy the file to {path}"
            )
    return _checked(root, file)


def _download(url: str, part: Path) -> None:
    """Bring the file at `url` to `part`, after what is there already if the server can."""
    have = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": "rheobase"} | ({"Range": f"bytes={have}-"} if have else {})
    request = urllib.request.Request(url, headers=headers)
    try:
        source = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if (
            error.code == 416
        ):  # nothing beyond what is there, or what is there is another file's: the digest says
            length = error.headers.get("Content-Range", "").rpartition("/")[2]
            error.close()
            if length == str(have):
                return
            part.unlink()
            return _download(url, part)
        raise
    with source:
        resumed = getattr(source, "status", None) == 206
        with part.open("ab" if resumed else "wb") as target:
            before = target.tell()
            while chunk := source.read(CHUNK):
                target.write(chunk)
            came = target.tell() - before
        promised = source.headers.get("Content-Length")
        if promised is not None and came < int(promised):
            raise OSError(f"the connection broke after {came} of {promised} bytes")


def _checked(root: Path, file: RemoteFile) -> Fetched:
    path = root / file.name
    found, recorded = _md5(path), _recorded(root, file)
    expected = file.md5 or recorded
    if expected and found != expected:
        whose = "published" if file.md5 else "recorded when it was first fetched"
        raise DataError(
            f"{path}: its MD5 is {found}, the one {whose} is {expected}; remove it to download it"
        )
    if not expected:
        _record(root, file, found)
    return Fetched(path, found, "published" if file.md5 else "recorded" if recorded else "new")


def _recorded(root: Path, file: RemoteFile) -> str:
    return _records(root).get(file.name, "")


def _records(root: Path) -> dict[str, str]:
    path = root / RECORD
    try:
        found = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}); remove it to record the digests anew") from error
    return dict(found)


def _record(root: Path, file: RemoteFile, md5: str) -> None:
    atomic_write_json(root / RECORD, {**_records(root), file.name: md5})


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()
