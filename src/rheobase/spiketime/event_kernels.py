"""The event-driven kernels on processors: `events.c` compiled on first use, and `work` told what they executed.

Spike times and causal sets are bit for bit those of `crossing.Reference`: both sum in the order of arrival, in float64.
Gradients are sums over samples and outputs in another order, equal to a few units of float64's last place; those to
float32 weights are summed in float32 over up to 64 output positions at a time, and in float64 over these.
`RHEOBASE_SPIKETIME=torch` chooses the reference.
"""

import ctypes
import os
import warnings
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from rheobase.errors import RheobaseError, unknown
from rheobase.kernels.buffers import empty_strided
from rheobase.kernels.work import counting, note
from rheobase.native import CompilerError, compile_shared
from rheobase.spiketime.geometry import Geometry

if TYPE_CHECKING:
    from rheobase.spiketime.crossing import Crossings

SOURCE = Path(__file__).with_name("events.c")
# No contraction: W * t - S must round twice, as torch's does, or spikes at the threshold differ.
FLAGS = (
    "-std=gnu11",
    "-O3",
    "-march=native",
    "-ffp-contract=off",
    "-fno-math-errno",
    "-fno-trapping-math",
)
THREADED = "-fopenmp"
VARIABLE = "RHEOBASE_SPIKETIME"
GRAIN = 1 << 15  # pairs worth one more thread


class _Layer(ctypes.Structure):
    _fields_ = [
        *(
            (name, ctypes.c_void_p)
            for name in ("times", "weight", "scale", "at", "out", "slope", "last", "room", "lists", "work")
        ),
        *(
            (name, ctypes.c_int64)
            for name in ("samples", "channels", "height", "width", "kh", "kw", "sh", "sw")
        ),
        *((name, ctypes.c_int64) for name in ("ph", "pw", "oh", "ow", "outputs", "listed", "single")),
        *((name, ctypes.c_double) for name in ("threshold", "t_max", "cap")),
    ]


@cache
def library() -> ctypes.CDLL | None:
    """The compiled `events.c`, or None (after one warning) where it cannot be compiled."""
    try:
        found = ctypes.CDLL(str(_compiled()))
    except (CompilerError, OSError) as error:
        warnings.warn(
            f"spike-time layers fall back to sorted torch, many times slower: {error}",
            UserWarning,
            stacklevel=2,
        )
        return None
    for function in (found.rel_psp_forward, found.sums_forward, found.to_weights, found.to_times):
        function.argtypes, function.restype = [ctypes.POINTER(_Layer), ctypes.c_int], None
    found.room_bytes.argtypes, found.room_bytes.restype = (
        [ctypes.POINTER(_Layer), ctypes.c_int],
        ctypes.c_int64,
    )
    found.list_bytes.argtypes, found.list_bytes.restype = [ctypes.POINTER(_Layer)], ctypes.c_int64
    return found


def _compiled() -> Path:
    try:
        return compile_shared([SOURCE], [*FLAGS, THREADED], "spike-times", ["-lm"])
    except CompilerError:  # a compiler without OpenMP: one thread
        return compile_shared([SOURCE], FLAGS, "spike-times", ["-lm"])


def available(times: Tensor) -> bool:
    """Whether the kernels can run on these times, and are not switched off.

    Raises:
        RheobaseError: `RHEOBASE_SPIKETIME` is neither empty, `c` nor `torch`.
    """
    wanted = os.environ.get(VARIABLE) or "c"
    if wanted not in ("c", "torch"):
        raise RheobaseError(f"{VARIABLE}: " + unknown("engine", wanted, ("c", "torch")))
    return wanted == "c" and times.is_cpu and library() is not None


class RelPspKernels:
    """The engine of ReL-PSP (see `crossing.Engine`) in C.

    `cap` is the greatest t_i - at of a pair: 0 where `at` is the time of the spike, so that what arrives later adds nothing
    to the weights' gradient; inf where every input that arrives is causal.
    """

    def __init__(self, cap: float = 0.0) -> None:
        self.cap = cap

    def forward(self, rule: Any, times: Tensor, weight: Tensor, geometry: Geometry) -> "Crossings":
        """Spikes, last causal inputs and slopes."""
        from rheobase.spiketime.crossing import Crossings

        shape = (len(times), geometry.positions, len(weight))
        out, slope = times.new_empty(shape), times.new_empty(shape)
        last = torch.empty(shape, dtype=torch.int32)
        t_max = torch.inf if rule.t_max is None else rule.t_max
        done = _run(
            "rel_psp_forward", times, geometry, len(weight), weight=_kept(weight), out=out, slope=slope, last=last,
            threshold=rule.v_threshold, t_max=t_max, keep=True,
        )  # fmt: skip
        if counting():
            note(0, additions(times, last, geometry), lanes=done.lanes)
        return Crossings(out, last, slope, done.lists)

    def to_weights(
        self,
        rule: Any,
        times: Tensor,
        weight: Tensor,
        geometry: Geometry,
        scale: Tensor,
        at: Tensor,
        last: Tensor,
        lists: Tensor | None = None,
    ) -> Tensor:
        """Gradient to the weights."""
        out = empty_strided(weight.shape, [geometry.fan_in, 1], _kept(weight).dtype)
        done = _run(
            "to_weights", times, geometry, len(out), lists=lists, cap=self.cap,
            single=out.dtype == torch.float32, scale=scale, at=at, last=last, out=out,
        )  # fmt: skip
        note(2, done.pairs, lanes=done.lanes)
        return out

    def to_times(
        self,
        rule: Any,
        times: Tensor,
        weight: Tensor,
        geometry: Geometry,
        scale: Tensor,
        at: Tensor,
        last: Tensor,
        lists: Tensor | None = None,
    ) -> Tensor:
        """Gradient to the input times."""
        out = torch.empty_like(times)
        done = _run(
            "to_times", times, geometry, len(weight), lists=lists,
            weight=_kept(weight), scale=scale, at=at, last=last, out=out,
        )  # fmt: skip
        note(1, done.pairs, lanes=done.lanes)
        return out


def sums(times: Tensor, weight: Tensor, geometry: Geometry) -> tuple[Tensor, Tensor]:
    """The sums over arrived inputs of w and of w t, in order of arrival, in C.

    Shape: times `[N, S]`, weight `[m, n]`, float64 -> `[N, P, m]` twice
    """
    W = times.new_empty(len(times), geometry.positions, len(weight))
    I = torch.empty_like(W)  # noqa: E741
    lanes = _run("sums_forward", times, geometry, len(weight), weight=weight, out=I, slope=W).lanes
    note(0, lanes, lanes=lanes)
    return W, I


def additions(times: Tensor, last: Tensor, geometry: Geometry) -> int:
    """Additions of an event-driven forward pass: the causal inputs of neurons that fire, all arrived ones of the others.

    Shape: times `[N, S]`, last `[N, P, m]`
    """
    arrived = geometry.patches(times).isfinite().sum(1).view(*last.shape[:2], 1)
    return int(torch.where(last >= 0, last.long() + 1, arrived).sum())


class _Done(NamedTuple):
    """Pairs needed (0 forward), lanes executed, and the lists of events if they were to be kept and are not too large."""

    pairs: int
    lanes: int
    lists: Tensor | None


def _run(
    name: str,
    times: Tensor,
    geometry: Geometry,
    outputs: int,
    *,
    threshold: float = 0.0,
    t_max: float = 0.0,
    cap: float = 0.0,
    single: bool = False,
    lists: Tensor | None = None,
    keep: bool = False,
    **tensors: Tensor,
) -> _Done:
    """Call a kernel. `lists` are those that a pass over the same times has made; without, `keep` says whether to keep them."""
    native = library()
    if native is None:
        raise CompilerError("the event-driven kernels were called without a C compiler")
    work = (ctypes.c_int64 * 2)()
    if "weight" in tensors:
        single = tensors["weight"].dtype == torch.float32
    held = {"times": times.contiguous()} | {key: value.contiguous() for key, value in tensors.items()}
    layer = _Layer(
        **{key: value.data_ptr() for key, value in held.items()},
        work=ctypes.addressof(work),
        samples=len(times),
        channels=geometry.channels,
        **_sides("height width", geometry.size),
        **_sides("kh kw", geometry.kernel),
        **_sides("sh sw", geometry.stride),
        **_sides("ph pw", geometry.padding),
        **_sides("oh ow", geometry.out_size),
        outputs=outputs,
        listed=lists is not None,
        single=single,
        threshold=threshold,
        t_max=t_max,
        cap=cap,
    )
    if keep and (size := native.list_bytes(layer)):
        lists = empty_strided([size], [1], torch.uint8)
    if lists is not None:
        layer.lists = lists.data_ptr()
    pairs = len(times) * geometry.positions * geometry.fan_in * outputs
    threads = max(1, min(torch.get_num_threads(), pairs // GRAIN))
    room = empty_strided([native.room_bytes(layer, threads)], [1], torch.uint8)
    layer.room = room.data_ptr()
    getattr(native, name)(layer, threads)
    return _Done(work[0], work[1], lists)


def _kept(weight: Tensor) -> Tensor:
    """Weights as the kernels read them: float32 as they are, others in float64; sums are of float64 in any case."""
    return weight if weight.dtype == torch.float32 else weight.double()


def _sides(names: str, sides: tuple[int, int]) -> dict[str, int]:
    return dict(zip(names.split(), sides, strict=True))
