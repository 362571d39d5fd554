"""`decode.c` compiled on first use; None, after one warning, where there is no compiler: NumPy then does the same."""

import ctypes
import os
import warnings
from functools import cache
from pathlib import Path

from rheobase.errors import RheobaseError, unknown
from rheobase.native import CompilerError, compile_shared

SOURCE = Path(__file__).with_name("decode.c")
FLAGS = ("-std=c99", "-O3", "-march=native")
VARIABLE = "RHEOBASE_READING"
NAMES = ("dat", "aedat2", "aedat3", "evt2", "evt21", "evt3")


@cache
def library() -> ctypes.CDLL | None:
    """The compiled `decode.c`, or None (after one warning) where it cannot be compiled."""
    try:
        found = ctypes.CDLL(str(compile_shared([SOURCE], FLAGS, "decode-events")))
    except (CompilerError, OSError) as error:
        warnings.warn(
            f"reading events falls back to NumPy, several times slower: {error}", UserWarning, stacklevel=2
        )
        return None
    for name in NAMES:
        function = getattr(found, f"decode_{name}")
        function.argtypes = [ctypes.c_void_p, ctypes.c_int64, *[ctypes.c_void_p] * 5]
        function.restype = ctypes.c_int64
    found.all_fine.argtypes = [*[ctypes.c_void_p] * 4, *[ctypes.c_int64] * 4]
    found.all_fine.restype = ctypes.c_int
    return found


def native() -> ctypes.CDLL | None:
    """The library that `RHEOBASE_READING` asks for: C by default, None for NumPy.

    Raises:
        RheobaseError: `RHEOBASE_READING` is neither empty, `c` nor `numpy`.
    """
    wanted = os.environ.get(VARIABLE) or "c"
    if wanted not in ("c", "numpy"):
        raise RheobaseError(f"{VARIABLE}: " + unknown("way to read", wanted, ("c", "numpy")))
    return library() if wanted == "c" else None
