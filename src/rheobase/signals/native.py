"""`encode.c`, compiled on first use; where there is no compiler the plain NumPy functions compute the same."""

import ctypes
import os
import warnings
from functools import cache
from pathlib import Path

import numpy as np

from rheobase.errors import RheobaseError, unknown
from rheobase.native import CompilerError, compile_shared

SOURCE = Path(__file__).with_name("encode.c")
FLAGS = ("-std=c99", "-O3", "-march=native", "-ffp-contract=off", "-fno-trapping-math")
VARIABLE = "RHEOBASE_ENCODING"


@cache
def library() -> ctypes.CDLL | None:
    """The compiled `encode.c`, or None (after one warning) where it cannot be compiled."""
    try:
        return ctypes.CDLL(str(compile_shared([SOURCE], FLAGS, "encode", ["-lm"])))
    except (CompilerError, OSError) as error:
        message = f"encoding falls back to NumPy, some hundred times slower: {error}"
        warnings.warn(message, UserWarning, stacklevel=2)
        return None


def call(name: str, *arguments: np.ndarray | int | float) -> bool:
    """Call a function of `encode.c`; False, and nothing done, where there is no compiler.

    Arrays go as pointers and must be contiguous, integers as int64, floats as double.
    `RHEOBASE_ENCODING=numpy` chooses the plain way, which computes the same.

    Raises:
        RheobaseError: `RHEOBASE_ENCODING` is neither empty, `c` nor `numpy`.
    """
    wanted = os.environ.get(VARIABLE) or "c"
    if wanted not in ("c", "numpy"):
        raise RheobaseError(f"{VARIABLE}: " + unknown("way to encode", wanted, ("c", "numpy")))
    native = library() if wanted == "c" else None
    if native is None:
        return False
    getattr(native, name)(*map(_native, arguments))
    return True


def _native(argument: np.ndarray | int | float) -> ctypes.c_void_p | ctypes.c_int64 | ctypes.c_double:
    if isinstance(argument, np.ndarray):
        assert argument.flags.c_contiguous
        return ctypes.c_void_p(argument.ctypes.data)
    return ctypes.c_int64(argument) if isinstance(argument, int) else ctypes.c_double(argument)
