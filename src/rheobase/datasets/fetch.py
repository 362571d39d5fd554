"""Download of N-MNIST, checked against the digests that its users agree on."""

import hashlib
import os
import shutil
import urllib.error
import urllib.request
from pathlib import Path

from rheobase.errors import DataError

_MENDELEY = "https://data.mendeley.com/public-files/datasets/468j46mzdv/files"
FILES = {
    "Train.zip": (
        f"{_MENDELEY}/39c25547-014b-4137-a934-9d29fa53c7a0/file_downloaded",
        "20959b8e626244a1b502305a9e6e2031",
    ),
    "Test.zip": (
        f"{_MENDELEY}/05a4d654-7e03-4c15-bdfa-9bb2bcbea494/file_downloaded",
        "69ca8762b2fe404d9b9bad1103e97832",
    ),
}
"""URL and MD5 of the official files; the digests are those that Tonic and SpikingJelly check."""


def fetch_nmnist(root: Path) -> list[Path]:
    """Download the official N-MNIST files (1.2 GB) to `root`; files that are there and whole are kept.

    A file appears under its name only once its MD5 fits, so a broken download leaves nothing behind.

    Raises:
        DataError: the network or the disk fails, or a file is not the official one.
    """
    return [_fetch(Path(root) / name, url, md5) for name, (url, md5) in FILES.items()]


def _fetch(path: Path, url: str, md5: str) -> Path:
    if path.exists():
        if _md5(path) == md5:
            return path
        raise DataError(
            f"{path}: not the official file (its MD5 is {_md5(path)}, not {md5}); remove it to download it"
        )
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        request = urllib.request.Request(url, headers={"User-Agent": "rheobase"})
        with urllib.request.urlopen(request, timeout=60) as source, part.open("wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
        found = _md5(part)
        if found != md5:
            raise DataError(
                f"{url}: what came is not the official file (MD5 {found}, not {md5}); try again later"
            )
        os.replace(part, path)
    except (OSError, urllib.error.URLError) as error:
        raise DataError(
            f"{url}: the download to {path} failed ({error}); check the network, or copy the file there"
        ) from error
    finally:
        part.unlink(missing_ok=True)
    return path


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()
