"""Maximum over neighbouring tokens and entries of each attention head."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar

from numpy.typing import NDArray

from rheobase.errors import ProgramError
from rheobase.program.ops.base import Bounds, Kind, Op, Shape, Work, whole
from rheobase.program.ops.or_pool import OrPool

if TYPE_CHECKING:
    from rheobase.program.c99.emitter import Emitter


@dataclass(frozen=True, eq=False)
class HeadOrPool(Op):
    """As `OrPool` with stride 1, on the matrix of each head: tokens, which are a map's pixels in order, by entries, its channels.

    Y_h[l, i] = max over |a|, |b| <= kernel // 2 of X_h[l + a, i + b]

    What lies outside the matrix is left out.

    Shape: `[C, H, W]` to the same.
    Raises:
        ProgramError: a field is out of range, the kernel is even, or the heads do not divide the channels.
    """

    heads: int
    kernel: int

    kinds: ClassVar[Mapping[Kind, Kind]] = OrPool.kinds

    def __post_init__(self) -> None:
        whole(self.heads, "HeadOrPool heads", 1, 65535)
        if whole(self.kernel, "HeadOrPool kernel", 1, 255) % 2 == 0:
            raise ProgramError(f"HeadOrPool kernel must be odd, so that it has a middle, got {self.kernel}")

    @property
    def pool(self) -> OrPool:
        """What is done to matrices `[heads, entries, tokens]`."""
        return OrPool(self.kernel, 1, self.kernel // 2)

    def matrices(self, shape: Shape) -> Shape:
        """A map's shape as that of its matrices: a map lies in memory as `[heads, entries, tokens]`."""
        return self.heads, shape[0] // self.heads, prod(shape[1:])

    def output_shape(self, shape: Shape) -> Shape:
        """See the class."""
        if len(shape) != 3 or shape[0] % self.heads:
            raise ProgramError(
                f"HeadOrPool needs an input [C, H, W] with C a multiple of {self.heads}, got {list(shape)}"
            )
        return shape

    def run(self, x: NDArray[Any]) -> NDArray[Any]:
        """See the class."""
        return self.pool.run(x.reshape(*x.shape[:2], *self.matrices(x.shape[2:]))).reshape(x.shape)

    def bounds(self, incoming: Bounds, shape: Shape, steps: int) -> Bounds:
        """The largest ends among the channels of a window."""
        ends = [end.reshape(1, 1, self.heads, -1, 1) for end in (incoming.low, incoming.high)]
        low, high = (self.pool.run(end).reshape(-1) for end in ends)
        return Bounds(low, high, incoming.magnitude, incoming.storage)

    def work(self, x: NDArray[Any]) -> Work:
        """As `OrPool`, on the matrices."""
        return self.pool.work(x.reshape(*x.shape[:2], *self.matrices(x.shape[2:])))

    def macs(self, shape: Shape) -> int:
        """None: a maximum multiplies nothing."""
        return 0

    def emit(self, emitter: "Emitter") -> None:
        """The kernel of `OrPool` with other strides: from entry to entry a channel, from token to token a place."""
        x = emitter.value
        emitter.storage = x.ctype
        output = emitter.room()
        place, channel = x.pitch
        matrices = self.matrices(x.shape)
        strides = (matrices[1] * channel, channel, place), (matrices[1], 1, x.shape[0])
        self.pool.call(emitter, matrices, strides, output)
        emitter.give(output, shift=x.shift)
