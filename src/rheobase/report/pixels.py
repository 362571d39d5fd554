"""Pictures made of pixels: event frames and spike rasters as small PNG data addresses."""

import base64
import struct
import zlib
from collections.abc import Sequence

import numpy as np

from rheobase.evenly import evenly
from rheobase.report.data import Array
from rheobase.report.palette import PIXEL_BOTH, PIXEL_OFF, PIXEL_ON, PIXEL_SOME

Colour = tuple[int, int, int]
_ALPHA = (110, 180, 255)  # opacity of few, some and many events at a pixel
_FRAME_SIDE = 160  # larger sensors are pooled below this many pixels
_NEURONS, _RASTER_WIDTH = 64, 96
_VEIL, _VEILED = 16, 225  # steps of opacity, and the opacity where no head looks


def png(indices: Array, palette: Sequence[tuple[Colour, int]]) -> str:
    """Palette picture as a `data:` address: `indices` uint8 [H, W] into `palette` of (colour, opacity)."""
    colours = bytes(channel for colour, _ in palette for channel in colour)
    return _png(indices[..., None], 3, (b"PLTE", colours), (b"tRNS", bytes(alpha for _, alpha in palette)))


def _png(pixels: Array, kind: int, *tables: tuple[bytes, bytes]) -> str:
    """Picture of PNG's colour type `kind` as a `data:` address: `pixels` uint8 [H, W, samples]."""
    height, width, samples = pixels.shape
    rows = np.zeros((height, width * samples + 1), np.uint8)  # each row starts with its filter type, 0
    rows[:, 1:] = pixels.reshape(height, -1)
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)),
        *tables,
        (b"IDAT", zlib.compress(rows.tobytes(), 9)),
        (b"IEND", b""),
    )
    data = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )
    return "data:image/png;base64," + base64.b64encode(data).decode()


def frame_pictures(frames: Array) -> list[str]:
    """One picture a step of [T, C, H, W]: event counts of two polarities, or grey or coloured images."""
    if frames.shape[1] == 2:
        return event_frames(frames)
    kind = {1: 0, 3: 2}[frames.shape[1]]  # grey, red-green-blue
    stride = -(-max(frames.shape[2:]) // _FRAME_SIDE)
    return [_png(step[:, ::stride, ::stride].transpose(1, 2, 0), kind) for step in frames]


def event_frames(frames: Array) -> list[str]:
    """One picture a step of [T, 2, H, W]: ON blue, OFF orange, the more events the stronger."""
    pool = -(-max(frames.shape[2:]) // _FRAME_SIDE)
    if pool > 1:
        T, _, H, W = frames.shape
        padded = np.zeros((T, 2, -(-H // pool) * pool, -(-W // pool) * pool), frames.dtype)
        padded[:, :, :H, :W] = frames
        frames = padded.reshape(T, 2, padded.shape[2] // pool, pool, padded.shape[3] // pool, pool).max(
            (3, 5)
        )
    off, on = frames[:, 0].astype(np.int64), frames[:, 1].astype(np.int64)
    most = np.maximum(off, on)
    active = most[most > 0]
    cuts = np.quantile(active, (0.4, 0.8)) if active.size else np.zeros(2)
    level = (most > cuts[0]).astype(np.int64) + (most > cuts[1])
    level[level > most - 1] = np.maximum(most - 1, 0)[level > most - 1]  # one event is never drawn as many
    if active.size and active.max() == 1:
        level[:] = 2  # binary frames: full strength
    group = np.where(on > off, 0, np.where(off > on, 1, 2))
    indices = np.where(most > 0, 1 + 3 * group + level, 0).astype(np.uint8)
    palette = [((0, 0, 0), 0)]
    palette += [(colour, alpha) for colour in (PIXEL_ON, PIXEL_OFF, PIXEL_BOTH) for alpha in _ALPHA]
    return [png(step, palette) for step in indices]


def veil(looks: Array) -> str:
    """Picture to lay over a frame, one pixel a token of [H, W]: the fewer heads look, the denser the grey."""
    indices = (_VEIL * (1 - looks)).round().astype(np.uint8)
    return png(indices, [(PIXEL_SOME, round(_VEILED * level / _VEIL)) for level in range(_VEIL + 1)])


def raster(spikes: Array) -> str:
    """[T, n] spikes, steps from left to right, at most 64 evenly chosen neurons from top to bottom.

    Neurons are sorted by how often they fire; those that fire at every step are blue, the others grey.
    """
    T, n = spikes.shape
    active = spikes[:, evenly(n, _NEURONS)] != 0
    often = active.sum(0)
    active = active[:, np.lexsort((active.argmax(0), -often))]
    steady = active.all(0) & (T > 1)
    cell = max(3, _RASTER_WIDTH // T)
    picture = np.zeros((3 * active.shape[1], cell * T), np.uint8)
    for step in range(T):
        marks = np.where(active[step], np.where(steady, 2, 1), 0)
        for line in (0, 1):  # the third line is the gap between two neurons
            picture[line::3, step * cell : (step + 1) * cell - 1] = marks[:, None]
    return png(picture, [((0, 0, 0), 0), (PIXEL_SOME, 255), (PIXEL_ON, 255)])
