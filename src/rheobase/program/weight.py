"""Integer weights as small codes: `value = step * code + offset`, packed below the byte."""

from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from rheobase.errors import ProgramError

BITS = (1, 2, 4, 8)
LIMIT = 1 << 15  # largest magnitude of a weight's step, offset and value


@dataclass(frozen=True, eq=False)
class Weight:
    """Codes of `bits` bits each and the two integers that decode them.

    value = step * code + offset

    Examples: odd 4-bit integers are `step=2, offset=-15`; a signed byte is `step=1, offset=-128`.

    Shape: `codes` is uint8 `[Cout, Cin, kh, kw]` or `[Cout, F]`.
    Raises:
        ProgramError: codes do not fit `bits`, or the values do not fit 16 bits.
    """

    codes: NDArray[np.uint8]
    bits: int
    step: int
    offset: int

    def __post_init__(self) -> None:
        if self.bits not in BITS:
            raise ProgramError(f"weights have {self.bits} bits; a program packs {', '.join(map(str, BITS))}")
        codes = np.asarray(self.codes)
        if codes.dtype != np.uint8 or codes.ndim not in (2, 4) or codes.size == 0:
            raise ProgramError(
                f"weight codes must be a non-empty uint8 array [Cout, Cin, kh, kw] or [Cout, F], "
                f"got {codes.dtype} {list(codes.shape)}"
            )
        top = (1 << self.bits) - 1
        if int(codes.max()) > top:
            raise ProgramError(f"a weight code is {int(codes.max())}, but {self.bits} bits hold 0..{top}")
        ends = (self.offset, self.offset + top * self.step)
        if any(abs(x) > LIMIT for x in (self.step, *ends)):
            raise ProgramError(f"weights {ends[0]}..{ends[1]} in steps of {self.step} do not fit 16 bits")
        codes = np.array(codes, order="C")
        codes.setflags(write=False)
        object.__setattr__(self, "codes", codes)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the codes."""
        return self.codes.shape

    @property
    def bytes(self) -> int:
        """Bytes of the packed form: rows of `Cout` codes, each row padded to whole bytes."""
        return packed_bytes(self.shape, self.bits)

    def values(self) -> NDArray[np.int64]:
        """The integers the codes stand for, in the codes' shape."""
        return self.step * self.codes.astype(np.int64) + self.offset

    def packed(self) -> NDArray[np.uint8]:
        """The packed form, one row for each input synapse.

        Shape: `[kh, kw, Cin, row]` or `[F, row]` with `row = ceil(Cout * bits / 8)`; see `pack`.
        """
        return pack(rows_last(self.codes), self.bits)


def rows_last(codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """`[Cout, Cin, kh, kw]` to `[kh, kw, Cin, Cout]`; `[Cout, F]` to `[F, Cout]`."""
    return codes.transpose(2, 3, 1, 0) if codes.ndim == 4 else codes.T


def rows_first(rows: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Inverse of `rows_last`."""
    return rows.transpose(3, 2, 0, 1) if rows.ndim == 4 else rows.T


def row_bytes(channels: int, bits: int) -> int:
    """Bytes of one packed row of `channels` codes."""
    return -(-channels * bits // 8)


def packed_bytes(shape: tuple[int, ...], bits: int) -> int:
    """Bytes of packed weights of `shape` (`Cout` first)."""
    return prod(shape[1:]) * row_bytes(shape[0], bits)


def pack(rows: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """Pack codes along the last axis in planes, so that decoding walks contiguous bytes.

    With `P = 8 / bits` codes a byte and `row = ceil(C / P)` bytes, code `c` sits in byte `c % row` at bit
    `bits * (c // row)`. Unused bits are zero.

    Shape: `[..., C]` to `[..., row]`.
    """
    planes = 8 // bits
    channels = rows.shape[-1]
    row = row_bytes(channels, bits)
    padded = np.zeros((*rows.shape[:-1], planes * row), np.uint8)
    padded[..., :channels] = rows
    packed = np.zeros((*rows.shape[:-1], row), np.uint8)
    for plane in range(planes):
        packed |= padded[..., plane * row : (plane + 1) * row] << np.uint8(bits * plane)
    return packed


def unpack(packed: NDArray[np.uint8], bits: int, channels: int) -> NDArray[np.uint8]:
    """Inverse of `pack`.

    Shape: `[..., row]` to `[..., channels]`.
    """
    mask = np.uint8((1 << bits) - 1)
    planes = [(packed >> np.uint8(bits * plane)) & mask for plane in range(8 // bits)]
    return np.concatenate(planes, axis=-1)[..., :channels]
