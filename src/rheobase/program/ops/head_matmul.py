"""Products of maps as matrices of tokens by entries, head by head: what attention computes."""

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rheobase.errors import ProgramError
from rheobase.program.ops.base import Bounds, Shape, Work, exact_float, whole
from rheobase.program.ops.product import Product, product_bounds, product_ends, with_zero

if TYPE_CHECKING:
    from rheobase.program.c99.emitter import Emitter

TRANSPOSES = ("none", "first", "second")
BUSY = 0.06  # rate of spikes from which counting ones takes fewer instructions than scattering (Cortex-M4, heads of 16)


@dataclass(frozen=True, eq=False)
class HeadMatMul(Product):
    """Matrix product within heads. A map's matrix has its L pixels as rows and a head's d channels as columns.

    Y_h = A_h B_h       (kind "none")
    Y_h = A_h^T B_h     (kind "first")
    Y_h = A_h B_h^T     (kind "second")

    The rows of Y are the pixels of the result, and its columns a head's channels: `[heads * columns, H, W]` with H, W those
    of the first map, or `[heads * columns, rows, 1]` where that is transposed.

    Raises:
        ProgramError: a field is unknown, the heads do not divide the channels, or the matrices do not go together.
    """

    heads: int
    kind: str = "none"

    def __post_init__(self) -> None:
        whole(self.heads, "HeadMatMul heads", 1, 65535)
        if self.kind not in TRANSPOSES:
            raise ProgramError(f"HeadMatMul kind {self.kind!r} is not one of {', '.join(TRANSPOSES)}")

    def sizes(self, first: Shape, second: Shape) -> tuple[int, int, int]:
        """Rows, inner size and columns of a head's product.

        Raises:
            ProgramError: see the class.
        """
        for shape in (first, second):
            if len(shape) != 3 or shape[0] % self.heads:
                raise ProgramError(
                    f"HeadMatMul needs inputs [C, H, W] with C a multiple of {self.heads}, got {list(shape)}"
                )
        a, b = ((prod(shape[1:]), shape[0] // self.heads) for shape in (first, second))
        a, b = a[::-1] if self.kind == "first" else a, b[::-1] if self.kind == "second" else b
        if a[1] != b[0]:
            raise ProgramError(
                f"HeadMatMul cannot multiply matrices {list(a)} and {list(b)} of the maps {list(first)} and {list(second)}"
            )
        return a[0], a[1], b[1]

    def output_shape(self, first: Shape, second: Shape) -> Shape:
        """See the class."""
        rows, _, columns = self.sizes(first, second)
        return (self.heads * columns, *((rows, 1) if self.kind == "first" else first[1:]))

    def run(self, first: NDArray[Any], second: NDArray[Any]) -> NDArray[Any]:
        """See the class; exact: the product runs in a float that holds every partial sum."""
        _, inner, _ = self.sizes(first.shape[2:], second.shape[2:])
        largest = [int(np.abs(x).max(initial=0)) for x in (first, second)]
        a, b = self.matrices(first, second, exact_float(inner * largest[0] * largest[1]))
        return self.map_of((a @ b).astype(np.int64), self.output_shape(first.shape[2:], second.shape[2:]))

    def matrices(
        self, first: NDArray[Any], second: NDArray[Any], kind: type[Any]
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Both factors of every head in `kind`: `[T, N, heads, rows, inner]` and `[T, N, heads, inner, columns]`."""
        a, b = (
            x.reshape(*x.shape[:2], self.heads, x.shape[2] // self.heads, -1).swapaxes(3, 4).astype(kind)
            for x in (first, second)
        )
        return a.swapaxes(3, 4) if self.kind == "first" else a, b.swapaxes(
            3, 4
        ) if self.kind == "second" else b

    def map_of(self, product: NDArray[Any], shape: Shape) -> NDArray[Any]:
        """The map of `shape` whose matrices these are: `[T, N, heads, rows, columns]` to `[T, N, *shape]`."""
        return np.ascontiguousarray(product.swapaxes(3, 4)).reshape(*product.shape[:2], *shape)

    def bounds(self, first: Bounds, second: Bounds, shape: Shape, other: Shape, steps: int) -> Bounds:
        """Sums of the extreme products; every partial sum lies within them."""
        _, inner, columns = self.sizes(shape, other)
        a = first.low.reshape(self.heads, -1, 1), first.high.reshape(self.heads, -1, 1)
        if self.kind == "second":  # entries [heads, d, 1], the same for every column
            b = second.low.reshape(self.heads, -1, 1), second.high.reshape(self.heads, -1, 1)
            low, high = (end.sum(axis=1).repeat(columns, axis=1) for end in with_zero(*product_ends(a, b)))
        else:
            b = second.low.reshape(self.heads, 1, -1), second.high.reshape(self.heads, 1, -1)
            low, high = with_zero(*product_ends(a, b))  # [heads, d of A, columns]
            if self.kind == "first":
                low, high = low.min(axis=1) * inner, high.max(axis=1) * inner
            else:
                low, high = low.sum(axis=1), high.sum(axis=1)
        return product_bounds(first, second, low.reshape(-1), high.reshape(-1))

    def work(self, first: NDArray[Any], second: NDArray[Any]) -> Work:
        """Each non-zero entry of the first factor reaches every column: as in a layer whose weights are the second factor."""
        _, _, columns = self.sizes(first.shape[2:], second.shape[2:])
        ones, reached = int(np.count_nonzero(np.abs(first) == 1)), int(np.count_nonzero(first))
        return Work(reached + int(np.count_nonzero(second)), ones * columns, (reached - ones) * columns)

    def macs(self, first: Shape, second: Shape) -> int:
        """One for each entry of the product and of its row."""
        return self.heads * prod(self.sizes(first, second))

    def emit(self, emitter: "Emitter") -> None:
        """Scatter: every non-zero entry of the first factor adds its multiple of a row of the second.

        Spikes that are known to be frequent become strings of bits, whose ANDs' ones are counted.
        """
        a, b = emitter.inputs
        emitter.kernel("head_matmul_shape", "head_matmul_shape")
        rows, inner, columns = self.sizes(a.shape, b.shape)
        spikes = a.ctype == b.ctype == "uint8_t" and emitter.highs == (1, 1)
        counted = spikes and (emitter.rate or 0.0) >= BUSY
        if counted:
            words = -(-inner // 32)
            name = f"head_matmul_bits_{emitter.tag(emitter.storage)}"
            kernel = emitter.kernel("head_matmul_bits", name, sum=emitter.storage)
            bits = emitter.temporary("bits", "uint32_t", (columns + 1) * words) + ", "
        else:
            types = [a.ctype, b.ctype, emitter.storage]
            name = "_".join(["head_matmul", *map(emitter.tag, types)])
            kernel = emitter.kernel("head_matmul", name, first=types[0], second=types[1], sum=types[2])
            bits = ""
        (a_pixel, a_channel), (b_pixel, b_channel) = a.pitch, b.pitch
        a_steps = (a_channel, a_pixel) if self.kind == "first" else (a_pixel, a_channel)
        b_steps = (b_channel, b_pixel) if self.kind == "second" else (b_pixel, b_channel)
        heads = a.shape[0] // self.heads * a_channel, b.shape[0] // self.heads * b_channel
        sizes = [self.heads, rows, inner, columns, heads[0], *a_steps, heads[1], *b_steps]
        emitter.constants.append(
            f"static const head_matmul_shape shape{emitter.index} = {{{', '.join(map(str, sizes))}}};"
        )
        product = emitter.room()
        emitter.line(f"{kernel}({a.expression}, {b.expression}, {product}, {bits}&shape{emitter.index});")
        emitter.give(product, shift=a.shift + b.shift)
