"""Pictures decode to what they should show; decisions are the arg max and its softmax."""

import base64
import io
import struct
import zlib

import numpy as np
import pytest
from report_example import example

from rheobase.report.decisions import decide, rasters, recordings
from rheobase.report.pixels import event_frames, frame_pictures, png, raster


def decode(address: str) -> np.ndarray:
    """Palette indices of a picture: an independent reader of the PNG we write (filter 0 only)."""
    data = base64.b64decode(address.removeprefix("data:image/png;base64,"))
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, body, width, height = 8, b"", 0, 0
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        kind, chunk = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        assert struct.unpack(">I", data[at + 8 + length : at + 12 + length])[0] == zlib.crc32(kind + chunk)
        if kind == b"IHDR":
            width, height = struct.unpack(">II", chunk[:8])
        body += chunk if kind == b"IDAT" else b""
        at += 12 + length
    rows = np.frombuffer(zlib.decompress(body), np.uint8).reshape(height, width + 1)
    assert not rows[:, 0].any()
    return rows[:, 1:]


def test_png_round_trip() -> None:
    indices = np.arange(6, dtype=np.uint8).reshape(2, 3)
    address = png(indices, [((i, i, i), 255) for i in range(6)])
    np.testing.assert_array_equal(decode(address), indices)


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_images_are_shown_as_they_are(channels: int, mode: str) -> None:
    from PIL import Image

    frames = np.random.default_rng(0).integers(0, 256, (2, channels, 5, 7), np.uint8)
    for step, address in zip(frames, frame_pictures(frames), strict=True):
        picture = Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2])))
        assert picture.mode == mode
        np.testing.assert_array_equal(np.asarray(picture).reshape(5, 7, channels), step.transpose(1, 2, 0))


def test_polarity_is_colour_and_count_is_strength() -> None:
    frames = np.zeros((1, 2, 2, 3), np.uint8)
    frames[0, 1, 0, 0] = 1  # one ON event: faint blue, index 1
    frames[0, 0, 0, 1] = 1  # one OFF event: faint orange, index 4
    frames[0, 1, 1, 0] = 9  # many ON events: full blue, index 3
    frames[0, :, 1, 2] = 1  # both: index 7
    np.testing.assert_array_equal(decode(event_frames(frames)[0]), [[1, 4, 0], [3, 0, 7]])


def test_binary_and_empty_frames() -> None:
    frames = np.zeros((2, 2, 1, 2), np.uint8)
    frames[0, 1, 0, 0] = 1
    first, second = (decode(f) for f in event_frames(frames))
    np.testing.assert_array_equal(first, [[3, 0]])
    assert not second.any()


@pytest.mark.parametrize("side", [160, 161, 480])
def test_large_sensors_are_pooled_and_keep_single_events(side: int) -> None:
    frames = np.zeros((1, 2, side, side + 3), np.uint8)
    frames[0, 0, -1, -1] = 1
    picture = decode(event_frames(frames)[0])
    assert max(picture.shape) <= 164
    assert picture[-1, -1] == 6 and np.count_nonzero(picture) == 1


def test_raster_sorts_by_spikes_and_marks_steady_neurons() -> None:
    spikes = np.array([[0, 1, 0], [1, 1, 0]])  # neuron 0 fires late, 1 always, 2 never
    picture = decode(raster(spikes))
    assert picture.shape == (9, 96)
    assert [picture[row, 0] for row in (0, 3, 6)] == [2, 0, 0]
    assert [picture[row, 50] for row in (0, 3, 6)] == [2, 1, 0]
    assert not picture[2::3].any()


def test_raster_shows_at_most_64_neurons() -> None:
    assert decode(raster(np.ones((4, 1000), bool))).shape[0] == 3 * 64


def test_raster_layers_carry_rate_and_steadiness() -> None:
    arms = rasters(example())
    assert [name for name, _ in arms] == ["baseline", "Stable Spike"]
    assert all(len(layers) == 8 for _, layers in arms)
    assert arms[1][1][0].notes == ["4,096 neurons", "17.1% rate", "73% steady"]


def test_decisions_are_the_arg_max_with_its_softmax() -> None:
    found = decide(np.array([0.0, np.log(3.0)]), ["a", "b"], 1)
    assert (found.name, found.probability, found.width, found.right) == ("b", "75%", 75, True)
    assert decide(np.array([1e9, 0.0]), ["a", "b"], 1).right is False
    assert decide(np.array([np.nan, 0.0]), ["a", "b"], 1).right is None
    assert decide(np.array([4.0]), ["only"], 0).probability == "100%"


def test_recordings_follow_the_samples() -> None:
    data = example()
    shown = recordings(data)
    assert [r.label for r in shown] == data.classes[:4]
    assert all(len(r.pictures) == 4 and r.steps == [1, 2, 3, 4] for r in shown)
    assert all([name for _, name, _ in r.decisions] == ["baseline", "Stable Spike"] for r in shown)
