"""A current whose change of unit is another one from step to step: what scales learned by step become."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rheobase.errors import ProgramError
from rheobase.program.ops.base import Bounds, Shape, accumulator, whole
from rheobase.program.ops.rescale import Rescale

if TYPE_CHECKING:
    from rheobase.program.c99.emitter import Emitter

MOST_STEPS = 1024
COUNTER = 4  # bytes of the number of the step


@dataclass(frozen=True, eq=False)
class StepRescale(Rescale):
    """`Rescale` whose gains and biases are those of the step.

    y_t[c] = floor((x_t[c] * gain[t, c] + 2^(gain_shift - 1)) / 2^gain_shift) + bias[t, c]

    After `steps` steps the last one's numbers go on, but programs with it run no longer.

    Shape: `[C, H, W]` or `[C]` to the same; `gain` and `bias` are int32 `[steps * C]`, step by step.
    Raises:
        ProgramError: a field is out of range, or the sizes do not go together.
    """

    steps: int = field(kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        whole(self.steps, "StepRescale steps", 1, MOST_STEPS)
        if len(self.gain) % self.steps:
            raise ProgramError(
                f"StepRescale over {self.steps} steps needs as many gains for each channel, got {len(self.gain)}"
            )

    @property
    def wire(self) -> None:
        """It is never a shift alone."""
        return None

    @property
    def most_steps(self) -> int:
        """Those that have numbers of their own."""
        return self.steps

    @property
    def channels(self) -> int:
        """Number of channels."""
        return len(self.gain) // self.steps

    def of_step(self, step: int) -> Rescale:
        """The change of unit at one step, from 0 on."""
        part = slice(step * self.channels, (step + 1) * self.channels)
        return Rescale(self.gain[part], self.bias[part], self.gain_shift)

    def output_shape(self, shape: Shape) -> Shape:
        """See the class."""
        if not shape or shape[0] != self.channels:
            raise ProgramError(
                f"StepRescale has gains for {self.channels} channels, but its input is {list(shape)}"
            )
        return shape

    def run(self, x: NDArray[Any]) -> NDArray[Any]:
        """See the class."""
        last = self.steps - 1
        return np.concatenate([self.of_step(min(t, last)).run(x[t : t + 1]) for t in range(len(x))])

    def bounds(self, incoming: Bounds, shape: Shape, steps: int) -> Bounds:
        """Those of all steps together."""
        if steps > self.steps:
            raise ProgramError(
                f"StepRescale has gains for {self.steps} steps, but the program is made for T={steps}; make it for at most "
                f"{self.steps}"
            )
        found = [self.of_step(t).bounds(incoming, shape, 1) for t in range(self.steps)]
        low = np.minimum.reduce([each.low for each in found])
        high = np.maximum.reduce([each.high for each in found])
        widest, product = max(each.widest for each in found), max(each.product for each in found)
        return Bounds(low, high, widest, accumulator(low, high), product)

    def emit(self, emitter: "Emitter") -> None:
        """As `Rescale`, with numbers that move on by a step."""
        step = f"step{emitter.index}"
        emitter.keep("int32_t", step, 1)
        vectors = [
            f"{emitter.constant(what, array)} + *state->{step} * {self.channels}"
            for what, array in (("gain", self.gain), ("bias", self.bias))
        ]
        self.call(emitter, vectors)
        emitter.line(f"*state->{step} += *state->{step} < {self.steps - 1};")
