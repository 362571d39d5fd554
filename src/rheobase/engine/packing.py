"""Weights in the layouts of the engine's kernels; each says which one."""

from math import prod

import numpy as np
from numpy.typing import NDArray

BLOCK = 128


def block_size(channels: int, bits: int) -> int:
    """Output channels that a kernel works on at a time: 32 or 64 where more would be padding, and such rows exist."""
    if bits < 4:
        return BLOCK
    return next((block for block in (32, 64) if channels <= block), BLOCK)


def held_bits(bits: int, block: int) -> int:
    """Bits that a code takes in the kernels: rows of 32 codes exist with 8 bits only, one vector each."""
    return 8 if block == 32 else bits


def padded(channels: int, block: int) -> int:
    """`channels` up to whole blocks."""
    return -(-channels // block) * block


def code_rows(codes: NDArray[np.uint8], block: int) -> NDArray[np.uint8]:
    """One row a synapse, codes one to a byte, and a last row of zeros.

    Shape: `[Cout, Cin, kh, kw]` to `[kh * kw * Cin + 1, padded Cout]`.
    """
    out, rows = codes.shape[0], prod(codes.shape[1:])
    table = np.zeros((rows + 1, padded(out, block)), np.uint8)
    table[:rows, :out] = codes.transpose(2, 3, 1, 0).reshape(rows, out)
    return table


def event_rows(rows: NDArray[np.uint8], bits: int, block: int) -> NDArray[np.uint8]:
    """Rows of the event-driven kernels: 16 lanes of 16 bits; code `16 * k + j` of a vector in lane j at bit `bits * k`.

    One bit has no lanes: code c of a block is bit c of 16 bytes.

    Shape: `[R, padded Cout]` to `[blocks, R, block * bits / 8]`.
    """
    count = len(rows)
    if bits == 1:
        packed = np.packbits(rows.reshape(count, -1, block), axis=-1, bitorder="little")
        return np.ascontiguousarray(packed.transpose(1, 0, 2))
    fields = 16 // bits
    codes = rows.reshape(count, -1, block // (16 * fields), fields, 16).astype(np.uint16)
    shifts = (bits * np.arange(fields, dtype=np.uint16))[:, None]
    lanes = np.bitwise_or.reduce(codes << shifts, axis=3)  # [R, blocks, vectors, 16]
    return np.ascontiguousarray(lanes.astype("<u2").transpose(1, 0, 2, 3)).view(np.uint8)


def pair_rows(codes: NDArray[np.uint8], block: int) -> NDArray[np.int16]:
    """Rows of the dense kernel: codes of two input channels side by side, in parts of 64 outputs (or the block, if smaller).

    Shape: `[Cout, Cin, kh, kw]` to int16 `[parts, kh * kw * pairs, part, 2]`.
    """
    part = min(64, block)
    out, channels, kh, kw = codes.shape
    wide = np.zeros((padded(out, block), padded(channels, 2), kh, kw), np.int16)
    wide[:out, :channels] = codes
    parts = wide.reshape(-1, part, wide.shape[1] // 2, 2, kh, kw).transpose(0, 4, 5, 2, 1, 3)
    return np.ascontiguousarray(parts).reshape(len(parts), -1, part, 2)


def lookup_tables(codes: NDArray[np.uint8], bits: int, block: int) -> NDArray[np.uint8]:
    """Sums of the codes of four neighbouring channels, one for each of the 16 ways to choose among them.

    Shape: `[Cout, Cin, kh, kw]` to `[passes, padded Cout / 4, kh * kw * words * 16, 4, 16]`; 8 bits take two passes, one
    for each nibble.
    """
    out, channels, kh, kw = codes.shape
    wide = np.zeros((padded(out, block), kh, kw, padded(channels, 64)), np.uint8)
    wide[:out, :, :, :channels] = codes.transpose(0, 2, 3, 1)
    fours = wide.reshape(len(wide), -1, 4)
    chosen = (np.arange(16) >> np.arange(4)[:, None] & 1).astype(np.uint8)  # [4, 16]
    nibbles = [fours] if bits < 8 else [fours & 15, fours >> 4]
    tables = np.stack([part @ chosen for part in nibbles])  # [passes, Cout, groups, 16]
    by_four = tables.reshape(len(nibbles), -1, 4, *tables.shape[2:])
    return np.ascontiguousarray(by_four.transpose(0, 1, 3, 2, 4))


def bit_planes(codes: NDArray[np.uint8], bits: int, block: int) -> NDArray[np.uint64]:
    """Bit p of the codes of 64 channels as a word, for 64 outputs side by side.

    Shape: `[Cout, Cin, kh, kw]` to uint64 `[padded Cout / 64, kh * kw * words, bits, 64]`.
    """
    out, channels, kh, kw = codes.shape
    wide = np.zeros((padded(out, block), kh, kw, padded(channels, 64)), np.uint8)
    wide[:out, :, :, :channels] = codes.transpose(0, 2, 3, 1)
    planes = np.stack([wide >> p & 1 for p in range(bits)])
    words = np.packbits(planes, axis=-1, bitorder="little").view("<u8").astype(np.uint64)
    by_output = words.reshape(bits, -1, 64, kh * kw * words.shape[-1])
    return np.ascontiguousarray(by_output.transpose(1, 3, 0, 2))
