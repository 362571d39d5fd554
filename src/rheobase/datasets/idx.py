"""IDX, the format of MNIST: `0 0 type rank`, the sizes as 32-bit big-endian numbers, then the values; may be gzipped.

Source: LeCun, Cortes and Burges, the MNIST database, "file formats".
"""

import gzip
import zlib
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rheobase.errors import DataError

BYTES = 0x08
"""The type code of unsigned bytes, the only type that images and labels come in."""


def read_idx(path: Path) -> NDArray[np.uint8]:
    """The array of bytes in an IDX file; one whose name ends in `.gz` is decompressed.

    Raises:
        DataError: the file is absent, truncated, damaged, or of another format.
    """
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error}); get the file again") from error
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] != BYTES:
        raise DataError(f"{path}: starts with {data[:4].hex(' ')}, an idx file of bytes with 00 00 08")
    start = 4 + 4 * data[3]
    shape = np.frombuffer(data[4:start].ljust(start - 4, b"\0"), ">u4").tolist()
    if len(data) != start + prod(shape):
        raise DataError(
            f"{path}: {len(data)} bytes, but its header promises {start} + {' x '.join(map(str, shape))}; it is "
            "truncated or damaged, get it again"
        )
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)
