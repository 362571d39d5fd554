"""The engine's C, compiled on first use; its structures as ctypes sees them."""

import ctypes
from functools import cache
from pathlib import Path

from rheobase.native import CompilerError, compile_shared

SOURCE = Path(__file__).with_name("c") / "engine.c"
CPU = SOURCE.with_name("cpu.c")
FLAGS = ("-std=gnu11", "-O3", "-fno-strict-aliasing", "-fno-tree-loop-distribute-patterns")
ISAS = {  # from the least to the best, with what the compiler may use
    "scalar": (),
    "avx2": ("-mavx2", "-mbmi", "-mbmi2", "-mpopcnt"),
    "avx512": (
        *("-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx512vpopcntdq"),
        *("-mavx2", "-mbmi", "-mbmi2", "-mpopcnt"),
    ),
}
SOURCES = ("frame", "spikes", "map")
HEADS = ("sums", "load", "sum_pool", "max_pool", "or_pool", "flatten", "conv", "matmul", "own")
SPIKES, SUMS, OWN = SOURCES.index("spikes"), HEADS.index("sums"), HEADS.index("own")
RESCALE, ADD = range(2)
KERNELS = ("dense", "event", "lookup", "popcount")
READOUT, PLAIN, ROUNDED, NOTHING = range(4)
NO_LEAK, SHIFT, MULTIPLY = range(3)


class Value(ctypes.Structure):
    """`Value` of engine.h."""

    _fields_ = [
        (name, ctypes.c_int32)
        for name in ("source", "reads", "channels", "places", "words", "pitch", "below_zero")
    ]


class Tail(ctypes.Structure):
    """`Tail` of engine.h."""

    _fields_ = [
        ("gain", ctypes.c_void_p),
        ("bias", ctypes.c_void_p),
        ("value", Value),
        ("what", ctypes.c_int32),
        ("shift", ctypes.c_int32),
    ]


class Layer(ctypes.Structure):
    """`Layer` of engine.h."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("codes", "packed", "pairs", "tables", "planes")),
        *((name, ctypes.c_void_p) for name in ("threshold", "bias", "reset", "gain", "levels", "edges")),
        *((name, ctypes.c_void_p) for name in ("threshold16", "bias16", "reset16")),
        ("values", ctypes.c_void_p),
        ("tail", ctypes.c_void_p),
        ("own", ctypes.c_void_p),
        ("value", Value),
        ("other", Value),
        *((name, ctypes.c_int32) for name in ("head", "tail_count", "keep", "pitch", "groups")),
        *((name, ctypes.c_int32) for name in ("channels", "paired")),
        *((name, ctypes.c_int32) for name in ("raw_height", "raw_width", "pool_height", "pool_width")),
        *((name, ctypes.c_int32) for name in ("height", "width", "kernel_height", "kernel_width")),
        *((name, ctypes.c_int32) for name in ("stride_height", "stride_width", "padding", "dilation")),
        *((name, ctypes.c_int32) for name in ("rows", "first_turned", "second_turned")),
        *((name, ctypes.c_int32) for name in ("out_channels", "out_words")),
        *((name, ctypes.c_int32) for name in ("out_padded", "out_height", "out_width", "block")),
        *((name, ctypes.c_int32) for name in ("bits", "step", "offset", "scale")),
        *((name, ctypes.c_int32) for name in ("counts", "small", "narrow_events", "neuron", "leak")),
        *((name, ctypes.c_int32) for name in ("leak_shift", "leak_multiplier", "hard", "saturation")),
        *((name, ctypes.c_int32) for name in ("gain_shift", "edge_count", "dense_kernel")),
        ("event_below", ctypes.c_float),
    ]


class Memory(ctypes.Structure):
    """`Memory` of engine.h."""

    _fields_ = [
        *(
            (name, ctypes.c_void_p)
            for name in ("membranes", "spikes", "maps", "counts", "entries", "starts", "events")
        ),
        ("scratch", ctypes.c_void_p),
        *((name, ctypes.c_int64) for name in ("scratch_bytes", "row_capacity")),
        *((name, ctypes.c_int32) for name in ("steps_held", "threads", "waiting", "turn")),
    ]


@cache
def best_isa() -> str:
    """The best of `ISAS` that this processor has.

    Raises:
        CompilerError: there is no C compiler, or it failed.
    """
    found = ctypes.CDLL(str(compile_shared([CPU], ("-std=gnu11", "-O1"), "cpu")))
    return list(ISAS)[found.best_isa()]


@cache
def library(isa: str) -> ctypes.CDLL:
    """The engine compiled for one of `ISAS`; the code is the same, its kernels follow what the compiler may use.

    Raises:
        CompilerError: there is no C compiler, or it failed.
    """
    found = ctypes.CDLL(str(compile_shared([SOURCE], (*FLAGS, *ISAS[isa]), f"engine-{isa}")))
    pointer, number, long = ctypes.c_void_p, ctypes.c_int32, ctypes.c_int64
    found.engine_layer_bytes.restype = found.engine_memory_bytes.restype = long
    found.engine_scratch_bytes.argtypes = [pointer, number, number, long]
    found.engine_scratch_bytes.restype = long
    found.engine_run.argtypes = [
        *(pointer, number, pointer, number, pointer, long, number),
        *(pointer, long, pointer, pointer),
    ]
    found.engine_prepare.restype = found.engine_run.restype = None
    sizes = (ctypes.sizeof(Layer), ctypes.sizeof(Memory))
    if sizes != (found.engine_layer_bytes(), found.engine_memory_bytes()):
        raise CompilerError("the engine's C structures differ from their Python twins; report this as a bug")
    found.engine_prepare()
    return found
