"""The end of a program: class scores summed over time."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from rheobase.errors import ProgramError
from rheobase.program.ops.base import INT32_MAX, Bounds, Kind, Op, Shape, Work, int32_vector

if TYPE_CHECKING:
    from rheobase.program.c99.emitter import Emitter


@dataclass(frozen=True, eq=False)
class Readout(Op):
    """Sum of the last layer's output over the steps; the class is its argmax, ties to the lowest.

    logits_t = logits_(t-1) + I_t + bias

    Shape: `[K]` to `[K]`; the reference gives each step's contribution `I_t + bias`.
    Raises:
        ProgramError: another kind than `sum`, another number of classes, or a sum over T beyond 32 bits.
    """

    bias: NDArray[np.int32]
    kind: str = "sum"

    kinds: ClassVar[Mapping[Kind, Kind]] = {"current": "logits"}

    def __post_init__(self) -> None:
        if self.kind != "sum":
            raise ProgramError(f"Readout kind {self.kind!r} is not in this program version; use 'sum'")
        object.__setattr__(self, "bias", int32_vector(self.bias, "Readout bias"))

    def output_shape(self, shape: Shape) -> Shape:
        """See the class."""
        if shape != self.bias.shape:
            raise ProgramError(f"Readout has {len(self.bias)} biases, but its input is {list(shape)}")
        return shape

    def run(self, x: NDArray[Any]) -> NDArray[Any]:
        """Each step's contribution."""
        return x.astype(np.int64) + self.bias

    def bounds(self, incoming: Bounds, shape: Shape, steps: int) -> Bounds:
        """One step's contribution; its sum over `steps` must fit 32 bits."""
        low, high = incoming.low + self.bias, incoming.high + self.bias
        step = max(int(np.abs(low).max()), int(np.abs(high).max()))
        widest = max(step * steps, incoming.widest)
        if widest > INT32_MAX:
            raise ProgramError(
                f"a logit can reach {step} a step, {step * steps} over T={steps}, beyond 32 bits; "
                "lower the shift, the weight bits or T"
            )
        return Bounds(low, high, widest, "int32_t")

    def work(self, x: NDArray[Any]) -> Work:
        """Every class is updated at every step."""
        return Work(neuron_updates=prod(x.shape))

    def macs(self, shape: Shape) -> int:
        """None."""
        return 0

    def emit(self, emitter: "Emitter") -> None:
        """Add the sums to the running logits."""
        x = emitter.value
        kernel = emitter.kernel("readout", f"readout_{emitter.tag(x.ctype)}", sum=x.ctype)
        bias = emitter.constant("bias", self.bias)
        emitter.keep("int32_t", "logits", len(self.bias))
        emitter.line(f"{kernel}(state->logits, {x.expression}, {bias}, {len(self.bias)}, {1 << x.shift});")
