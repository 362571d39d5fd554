"""What a network knows of its past beside its membranes: earlier values beside the present one."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from rheobase.errors import ProgramError
from rheobase.program.ops.base import Bounds, Kind, Op, Shape, Work, int32_vector

if TYPE_CHECKING:
    from rheobase.program.c99.emitter import Emitter

MOST_DELAY = 1 << 16


@dataclass(frozen=True, eq=False)
class Delay(Op):
    """Copies of the input, each some steps late, beside one another as channels; zeros come before the first step.

    y_t[k*C + c] = x_(t - delays[k])[c]            (0 where t < delays[k])

    A step keeps as many steps of its input as the longest delay has. A 1x1 convolution of the result is a causal
    convolution over time with taps at `delays`.

    Shape: `[C, H, W]` or `[C]` to `[K*C, H, W]` or `[K*C]`; `delays` are int32 `[K]`.
    Raises:
        ProgramError: a delay is negative or too long, or there twice.
    """

    delays: NDArray[np.int32]

    kinds: ClassVar[Mapping[Kind, Kind]] = {"events": "events", "signed": "signed", "current": "current"}

    def __post_init__(self) -> None:
        delays = int32_vector(self.delays, "Delay delays")
        if int(delays.min()) < 0 or int(delays.max()) > MOST_DELAY or len(set(delays.tolist())) < len(delays):
            raise ProgramError(
                f"Delay delays must be different numbers of steps in 0..{MOST_DELAY}, got {delays.tolist()[:20]}"
            )
        object.__setattr__(self, "delays", delays)

    @property
    def depth(self) -> int:
        """Steps of its input that it keeps."""
        return max(int(self.delays.max()), 1)

    def state_bytes(self, shape: Shape, bits: int) -> int:
        """Bytes that live from step to step, given the output's shape: values of `bits` each, and where the oldest lies."""
        return -(-self.depth * (prod(shape) // len(self.delays)) * bits // 8) + 4

    def output_shape(self, shape: Shape) -> Shape:
        """See the class."""
        if len(shape) not in (1, 3):
            raise ProgramError(f"Delay needs an input [C, H, W] or [C], got {list(shape)}")
        return (len(self.delays) * shape[0], *shape[1:])

    def run(self, x: NDArray[Any]) -> NDArray[Any]:
        """See the class."""
        late = np.zeros((len(x), x.shape[1], len(self.delays), *x.shape[2:]), x.dtype)
        for k, delay in enumerate(self.delays.tolist()):
            late[delay:, :, k] = x[: max(len(x) - delay, 0)]
        return late.reshape(*x.shape[:2], -1, *x.shape[3:])

    def bounds(self, incoming: Bounds, shape: Shape, steps: int) -> Bounds:
        """Those of the input and 0, for every delay."""
        low, high = np.minimum(incoming.low, 0), np.maximum(incoming.high, 0)
        taps = len(self.delays)
        return Bounds(np.tile(low, taps), np.tile(high, taps), incoming.magnitude, incoming.storage)

    def work(self, x: NDArray[Any]) -> Work:
        """Nothing is computed."""
        return Work(int(np.count_nonzero(x)))

    def macs(self, shape: Shape) -> int:
        """None."""
        return 0

    def emit(self, emitter: "Emitter") -> None:
        """Read a ring of the last steps, then put this one over the oldest."""
        x = emitter.value
        emitter.storage = x.ctype
        kernel = emitter.kernel("delay", f"delay_{emitter.tag(x.ctype)}", value=x.ctype)
        channels = x.shape[0]
        places = prod(x.shape[1:])
        past, oldest = f"past{emitter.index}", f"oldest{emitter.index}"
        emitter.keep(x.ctype, past, self.depth * places * channels)
        emitter.keep("int32_t", oldest, 1)
        delays = emitter.constant("delays", self.delays)
        output = emitter.room()
        numbers = [len(self.delays), self.depth, places, channels, *x.pitch]
        arguments = f"{x.expression}, {output}, {delays}, {', '.join(map(str, numbers))}"
        emitter.line(f"{kernel}(state->{past}, state->{oldest}, {arguments});")
        emitter.give(output, shift=x.shift)
