"""Convolution of events that gathers: kernels that need fewer instructions than scattering events, bit for bit the same.

For each output place the events of its window are listed once, a count of two as two; each block of output channels then adds its
weight rows in registers, in one of two ways:

* `lanes`: two 16-bit sums a register (SWAR). The codes stay biased, as unsigned numbers; the offset is added once,
  times the number of events.
* `planes`: bit-sliced counters behind carry-save adders, which add one bit of 32 channels at a time. They pay
  for 1 bit at any rate and for 2 bits where many inputs fire.
"""

from math import prod
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rheobase.program.c99.emitter import Emitter
from rheobase.program.ops import Conv2d
from rheobase.program.ops.base import INT32_MAX
from rheobase.program.ranges import Range
from rheobase.program.weight import Weight, rows_last

Gather = Literal["lanes", "planes"]
MOST = 4  # largest count of an input that is listed: pooling over 2 x 2
WORD = 32
BLOCK = 16  # channels of a block of lanes: eight registers
BUSY = 0.12  # rate of 2-bit layers from which planes take fewer instructions than lanes


def choose(op: Conv2d, incoming: Range | None, shape: tuple[int, ...], rate: float | None) -> Gather | None:
    """The kernel that takes fewest instructions on a Cortex-M4 where a share `rate` of the inputs fires.

    None where no rate is known, where the convolution has groups or dilation or reads the frame or counts beyond 4, or where
    lists would not count in 16 bits or a window's sums not stay in 32. `incoming` is the range of its input,
    None for the frame.
    """
    if op.groups > 1 or op.dilation > 1 or rate is None or incoming is None:
        return None
    weight, most = op.weight, incoming.high
    rows = prod(op.weight.shape[1:]) * most
    widest = (abs(weight.step) * ((1 << weight.bits) - 1) + abs(weight.offset)) * rows
    events = incoming.storage == "uint8_t" and 1 <= most <= MOST
    if not events or max(rows, shape[0] * shape[2] * most) >= 1 << 16 or widest > INT32_MAX:
        return None
    return "planes" if weight.bits == 1 or (weight.bits == 2 and rate >= BUSY) else "lanes"


def pack_words(rows: NDArray[np.uint8], bits: int, width: int) -> NDArray[np.uint32]:
    """Codes in words of `width` bits: channel 2p at bit `bits * p`, channel 2p + 1 half a word above.

    Shape: uint8 `[..., C]` to uint32 `[..., ceil(C * bits / width)]`.
    """
    each = width // bits
    words = -(-rows.shape[-1] // each)
    padded = np.zeros((*rows.shape[:-1], words * each), np.uint32)
    padded[..., : rows.shape[-1]] = rows
    pairs = padded.reshape(*rows.shape[:-1], words, each // 2, 2)
    shifts = np.arange(each // 2, dtype=np.uint32)[:, None] * bits + np.array([0, width // 2], np.uint32)
    return np.bitwise_or.reduce(pairs << shifts, axis=(-2, -1))


def pack_planes(rows: NDArray[np.uint8], bits: int, width: int) -> NDArray[np.uint32]:
    """One bit of `width` channels a word; the bits of a block of channels follow each other, lowest first.

    Shape: uint8 `[..., C]` to uint32 `[..., ceil(C / width) * bits]`.
    """
    planes = [pack_words((rows >> np.uint8(b)) & np.uint8(1), 1, width) for b in range(bits)]
    return np.stack(planes, axis=-1).reshape(*rows.shape[:-1], -1)


def emit(op: Conv2d, emitter: Emitter, kind: Gather, most: int) -> None:
    """Write a convolution of events that count to `most`: its kernels, its weights as words, and the call."""
    x, weight = emitter.value, op.weight
    channels, bits = emitter.shape[0], weight.bits
    if kind == "lanes":
        lanes, word = BLOCK, "uint32_t"
        packed = pack_words(rows_last(weight.codes), bits, WORD)
    else:
        lanes = WORD if channels > WORD // 2 else WORD // 2
        word = f"uint{lanes}_t"
        packed = pack_planes(rows_last(weight.codes), bits, lanes)
    tag = f"{emitter.tag(emitter.storage)}_w{bits}_c{channels}"
    words = lanes * bits // (WORD if kind == "lanes" else lanes)
    add_block = add_lanes if kind == "lanes" else add_planes
    full, rest = divmod(channels, lanes)
    call = f"(window, part, block, {packed.shape[-1]}, out, step, part * offset);\n"
    tail = add_block(emitter, weight, rest) if rest else ""
    window = {
        "channels": channels,
        "most": 65535 // ((1 << bits) - 1),
        "word": word,
        "sum": emitter.storage,
        "words": words,
        "lanes": lanes,
        "row": packed.shape[-1],
        "full_blocks": full,
        "full": add_block(emitter, weight, lanes) if full else tail,
        "tail": tail and f"        {tail}{call}",
    }
    add_window = emitter.kernel("add_window", f"add_{kind}_{tag}", **window)
    append = "list[count] = (uint16_t)(at + i); /* kept where the count moves on */\n{0}count += events[i];"
    if most > 1:
        append = "uint32_t n;\n{0}for (n = events[i]; n > 0; --n) {{\n{0}    list[count++] = (uint16_t)(at + i);\n{0}}}"
    event_row = emitter.kernel(
        "event_row",
        f"event_row_{most}",
        most=most,
        append_four=append.format(" " * 16),
        append=append.format(" " * 12),
    )
    emitter.kernel("conv2d_shape", "conv2d_shape")
    kernel = emitter.kernel(
        "conv2d_gather",
        f"conv2d_{kind}_{tag}_x{most}",
        word=word,
        sum=emitter.storage,
        add_window=add_window,
        event_row=event_row,
        most=most,
    )
    out, height, width = emitter.shape
    kh, kw = weight.shape[2:]
    sizes = [
        *x.shape,
        *x.strides(),
        out,
        height,
        width,
        kh,
        kw,
        op.stride,
        op.padding,
        weight.step,
        weight.offset,
    ]
    weights = emitter.constant("weights", packed.astype(word.removesuffix("_t")))
    emitter.constants.append(
        f"static const conv2d_shape shape{emitter.index} = {{{', '.join(map(str, sizes))}}};"
    )
    scratch = emitter.temporary("lists", "uint16_t", scratch_size(op, x.shape, most))
    given = f"{scratch}, {weights}, &shape{emitter.index}, row, &listed);"
    if emitter.rows:
        sums = emitter.row_room([scratch])
        emitter.give_rows(f"{kernel}({x.expression}, {sums}, {given}", sums, shift=op.shift + x.shift)
        return
    sums = emitter.room()
    emitter.by_rows(height, f"{kernel}({x.expression}, {sums} + row * {width * out}, {given}")
    emitter.give(sums, shift=op.shift + x.shift)


def scratch_size(op: Conv2d, shape: tuple[int, ...], most: int) -> int:
    """Lists of as many input rows as a window has, their ends, and the list of a window."""
    channels, height, width = shape
    rows = min(op.weight.shape[2], height)
    return rows * (width * channels * most + width + 1) + prod(op.weight.shape[1:]) * most


def add_lanes(emitter: Emitter, weight: Weight, channels: int) -> str:
    """The kernel that adds rows of up to 16 channels in 16-bit lanes."""
    bits, each = weight.bits, WORD // weight.bits
    mask = ((1 << bits) - 1) * 0x10001
    pairs = -(-channels // 2)
    adds = []
    for p in range(pairs):
        i, place = divmod(p, each // 2)
        if place == 0:
            adds.append(f"        w = words[{i}];")
        part = f"(w >> {bits * place})" if place else "w"
        adds.append(f"        a{p} += {part} & {mask:#010x}u;")
    half = ("a{p} & 0xffffu", "a{p} >> 16")
    stores = [
        f"    sums[{c}] = ({emitter.storage})(sums[{c}] + (int32_t)({half[c % 2].format(p=c // 2)}) * step + base);"
        for c in range(channels)
    ]
    return emitter.kernel(
        "add_rows_lanes",
        f"add_rows_lanes_{emitter.tag(emitter.storage)}_w{bits}_c{channels}",
        channels=channels,
        bits=bits,
        sum=emitter.storage,
        registers=", ".join(f"a{p} = 0" for p in range(pairs)),
        adds="\n".join(adds),
        stores="\n".join(stores),
    )


def add_planes(emitter: Emitter, weight: Weight, channels: int) -> str:
    """The kernel that counts rows of up to 32 channels in bit-sliced counters."""
    width = WORD if emitter.shape[0] > WORD // 2 else WORD // 2
    emitter.kernel("carry_save", "carry_save")
    return emitter.kernel(
        "add_rows_planes",
        f"add_rows_planes{width}_{emitter.tag(emitter.storage)}_w{weight.bits}_c{channels}",
        channels=channels,
        bits=weight.bits,
        sum=emitter.storage,
        word=f"uint{width}_t",
        width=width,
        half=width // 2,
        pairs=width // 2,
        spread="planes[k] >> n" if width == WORD else "planes[k] | planes[k] << 8",
    )
