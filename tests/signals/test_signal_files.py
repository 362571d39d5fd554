"""Signals from files, damaged files, and spikes written and read again."""

import importlib.util
import struct
import wave

import numpy as np
import pytest
import signal_cases as cases
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rheobase.errors import DataError
from rheobase.signals import BSA, Encoded, Scaling, load_encoded, read_signal, save_encoded


def write_wav(path, codes, width, rate=8000, channels=1):
    """Little-endian PCM of integers; 8-bit samples are unsigned."""
    data = b"".join(
        (c + (128 if width == 1 else 0)).to_bytes(width, "little", signed=width > 1) for c in codes
    )
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(data)


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_wav_of_all_widths(tmp_path, width):
    full = 1 << (8 * width - 1)
    codes = [0, 1, -1, full - 1, -full, full // 2]
    write_wav(tmp_path / "a.wav", codes, width, rate=16000)
    signal = read_signal(tmp_path / "a.wav", rate=16000)
    assert signal.rate == 16000 and signal.channels == ("0",)
    assert signal.samples[:, 0].tolist() == [code / full for code in codes]
    assert signal.x.shape == (6, 1, 1)


def test_wav_channels_are_columns(tmp_path):
    write_wav(tmp_path / "a.wav", [0, 16384, 8192, -16384], 2, channels=2)
    signal = read_signal(tmp_path / "a.wav")
    assert signal.samples.tolist() == [[0, 0.5], [0.25, -0.5]]
    assert signal.select("1", "0").samples.tolist() == [[0.5, 0], [-0.5, 0.25]]
    with pytest.raises(DataError, match="no channel '2'; there are 0, 1"):
        signal.select("2")


@pytest.mark.parametrize(
    ("text", "names", "values"),
    [
        ("1\n2\n\n-3e-1\n", ("0",), [[1], [2], [-0.3]]),
        ("t, lead\n0,1.5\n1,2\n", ("t", "lead"), [[0, 1.5], [1, 2]]),
        ("# made by x\n1;2\n3;4\n", ("0", "1"), [[1, 2], [3, 4]]),
        ("1\t2  3\r\n4 5 6\r\n", ("0", "1", "2"), [[1, 2, 3], [4, 5, 6]]),
    ],
)
def test_text(tmp_path, text, names, values):
    (tmp_path / "a.csv").write_text(text)
    signal = read_signal(tmp_path / "a.csv", rate=173.61)
    assert signal.channels == names and signal.rate == 173.61
    np.testing.assert_array_equal(signal.samples, values)


def test_numpy(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(6, dtype=np.int16))
    np.savez(tmp_path / "a.npz", x=np.ones((4, 2), np.float32), rate=360.0)
    assert read_signal(tmp_path / "a.npy").samples.tolist() == [[i] for i in range(6)]
    signal = read_signal(tmp_path / "a.npz")
    assert signal.samples.shape == (4, 2) and signal.rate == 360


def test_another_rate_is_refused(tmp_path):
    write_wav(tmp_path / "a.wav", [1, 2], 2, rate=44100)
    with pytest.raises(DataError, match="44100 Hz, 16000 Hz was asked for; resample"):
        read_signal(tmp_path / "a.wav", rate=16000)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.mp3", b"", r"cannot read .mp3; readable: .wav"),
        ("a", b"", "a file without suffix"),
        ("a.csv", b"", "holds no samples"),
        ("a.csv", b"x,y\n", "holds no samples"),
        ("a.csv", b"1,2\n3\n", "line 2: 1 columns, the first line has 2"),
        ("a.csv", b"1\n2\nthree\n", "line 3: 'three' is no number"),
        ("a.csv", b"v\n1\nnan\n", "sample 1 of channel v is nan"),
        ("a.csv", b"1\ninf\n1e200\n", r"is inf \(2 such values\)"),
        ("a.txt", b"\xff\xfe\x00", "not a text file"),
        ("a.wav", b"", "ends within its header"),
        ("a.wav", b"RIFF\x00\x00\x00\x00WAVX", "not a WAVE file"),
        ("a.npy", b"\x93NUMPY", "damaged or no NumPy file"),
        ("a.npz", b"PK\x03\x04 and no more", "damaged or no NumPy file"),
    ],
)
def test_damaged_files(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_signal(tmp_path / name)


def test_absent_files_and_wrong_arrays(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_signal(tmp_path / "none.wav")
    np.save(tmp_path / "a.npy", np.zeros((2, 2, 2)))
    with pytest.raises(DataError, match=r"got float64 of shape \(2, 2, 2\)"):
        read_signal(tmp_path / "a.npy")
    np.save(tmp_path / "b.npy", np.array([1j]))
    with pytest.raises(DataError, match="real numbers"):
        read_signal(tmp_path / "b.npy")
    np.save(tmp_path / "c.npy", np.array(3.0))
    with pytest.raises(DataError, match="expected real numbers"):
        read_signal(tmp_path / "c.npy")
    np.savez(tmp_path / "d.npz", y=np.zeros(3))
    with pytest.raises(DataError, match="holds y; the signal is expected under x"):
        read_signal(tmp_path / "d.npz")


@given(kept=st.integers(0, 143))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_wav_cut_anywhere_is_refused(tmp_path, kept):
    write_wav(tmp_path / "whole.wav", range(50), 2)
    whole = (tmp_path / "whole.wav").read_bytes()
    assert len(whole) == 144
    (tmp_path / "cut.wav").write_bytes(whole[:kept])
    with pytest.raises(DataError):
        read_signal(tmp_path / "cut.wav")


def test_a_header_that_promises_too_much_is_refused(tmp_path):
    write_wav(tmp_path / "a.wav", range(50), 2)
    data = bytearray((tmp_path / "a.wav").read_bytes())
    data[40:44] = struct.pack("<I", 100_000)
    (tmp_path / "a.wav").write_bytes(data)
    with pytest.raises(DataError, match="promises 50000 samples, the file holds 50"):
        read_signal(tmp_path / "a.wav")


@pytest.mark.skipif(importlib.util.find_spec("soundfile") is not None, reason="soundfile is there")
def test_flac_without_its_reader_says_what_to_install(tmp_path):
    (tmp_path / "a.flac").write_bytes(b"fLaC")
    with pytest.raises(DataError, match="pip install soundfile"):
        read_signal(tmp_path / "a.flac")


def test_flac(tmp_path):
    soundfile = pytest.importorskip("soundfile")
    codes = np.arange(-500, 500, dtype=np.int16)
    soundfile.write(tmp_path / "a.flac", codes, 16000)
    signal = read_signal(tmp_path / "a.flac", rate=16000)
    np.testing.assert_array_equal(signal.samples[:, 0], codes / 32768)
    data = (tmp_path / "a.flac").read_bytes()
    for kept in (0, 10, len(data) // 2, len(data) - 3):
        (tmp_path / "cut.flac").write_bytes(data[:kept])
        with pytest.raises(DataError):
            read_signal(tmp_path / "cut.flac")


@pytest.mark.parametrize("encoder", cases.ALL, ids=cases.name)
def test_spikes_are_kept_with_all_that_decodes_them(tmp_path, encoder):
    x = cases.bursts(1, 200) * 5 + 100
    scaling = Scaling.centre(x)
    code = encoder.encode(scaling.apply(x))
    save_encoded(Encoded(code, encoder, ("lead",), 360.0, scaling), tmp_path / "s.npz")
    found = load_encoded(tmp_path / "s.npz")
    assert (found.encoder, found.channels, found.rate, found.scaling) == (encoder, ("lead",), 360.0, scaling)
    np.testing.assert_array_equal(found.code.spikes, code.spikes)
    assert found.code.spikes.dtype == code.spikes.dtype
    if encoder.invertible:
        expected = scaling.undo(encoder.decode(code.spikes, **code.side))
        np.testing.assert_array_equal(found.signal(), expected)


def test_files_that_are_no_spikes(tmp_path):
    with pytest.raises(DataError, match="not a file of spikes"):
        load_encoded(tmp_path / "none.npz")
    np.savez(tmp_path / "a.npz", x=np.zeros(3))
    with pytest.raises(DataError, match="not a file of spikes"):
        load_encoded(tmp_path / "a.npz")
    encoder = BSA()
    save_encoded(Encoded(encoder.encode(cases.bursts(0, 50)), encoder, ("0",)), tmp_path / "b.npz")
    data = (tmp_path / "b.npz").read_bytes()
    (tmp_path / "c.npz").write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match="not a file of spikes"):
        load_encoded(tmp_path / "c.npz")
    assert load_encoded(tmp_path / "b.npz").scaling is None
