"""What holds for every encoder: chunks, channels, C, strange signals."""

import subprocess
import sys

import numpy as np
import pytest
import signal_cases as cases
from hypothesis import given, settings
from hypothesis import strategies as st

from rheobase.errors import DataError, RecipeError, RheobaseError
from rheobase.native import compiler
from rheobase.signals import BSA, ENCODERS, TAE, Encoder, TemporalContrast, create_encoder, native

encoders = pytest.mark.parametrize("encoder", cases.ALL, ids=cases.name)


def test_every_encoder_is_tried():
    assert {encoder.name for encoder in cases.ALL} == set(ENCODERS)


@encoders
@given(data=st.data())
@settings(max_examples=20, deadline=None)
def test_streaming_equals_the_whole(encoder, data):
    x = data.draw(cases.signals())
    whole = encoder.encode(x)
    stream = encoder.stream(**encoder.calibrate(x))
    parts = [stream.push(x[a:b]) for a, b in cases.cut(data.draw, len(x))] + [stream.finish()]
    np.testing.assert_array_equal(np.concatenate(parts), whole.spikes)
    assert stream.side.keys() == whole.side.keys()
    for key, value in whole.side.items():
        np.testing.assert_array_equal(stream.side[key], value)


@pytest.mark.parametrize("encoder", cases.DETERMINISTIC, ids=cases.name)
@given(x=cases.signals())
@settings(max_examples=20, deadline=None)
def test_channels_are_coded_by_themselves(encoder, x):
    together = encoder.encode(x).spikes
    lines = together.shape[2] // x.shape[2]
    for item in range(x.shape[1]):
        for channel in range(x.shape[2]):
            alone = encoder.encode(x[:, item : item + 1, channel : channel + 1]).spikes
            where = slice(channel * lines, (channel + 1) * lines)
            np.testing.assert_array_equal(together[:, item : item + 1, where], alone)


@pytest.mark.skipif(compiler() is None, reason="no C compiler")
@pytest.mark.parametrize("encoder", cases.SEQUENTIAL, ids=cases.name)
@given(x=cases.signals(most=40, widest=70))
@settings(max_examples=30, deadline=None)
def test_c_equals_numpy(encoder, x):
    assert native.library() is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(native.VARIABLE, "c")
        compiled = encoder.encode(x)
        decoded = encoder.decode(compiled.spikes, **compiled.side) if encoder.invertible else None
        patch.setenv(native.VARIABLE, "numpy")
        plain = encoder.encode(x)
        np.testing.assert_array_equal(compiled.spikes, plain.spikes)
        if encoder.invertible:
            np.testing.assert_array_equal(decoded, encoder.decode(plain.spikes, **plain.side))


@encoders
@given(x=cases.signals())
@settings(max_examples=15, deadline=None)
def test_codes_are_small_integers_and_decode_to_the_shape_of_the_signal(encoder, x):
    before = x.copy()
    spikes, side = encoder.encode(x)
    np.testing.assert_array_equal(x, before)
    if encoder.name != "direct":
        assert spikes.dtype == np.int8
        assert set(np.unique(spikes)) <= {-1, 0, 1}
    if encoder.invertible:
        assert encoder.decode(spikes, **side).shape == x.shape
    else:
        with pytest.raises(DataError, match="cannot be decoded"):
            encoder.decode(spikes, **side)


@encoders
@pytest.mark.parametrize("length", [0, 1, 2, 30])
@pytest.mark.parametrize("value", [0.0, -3.0, 5e-324, 1e149, -1e149])
def test_constant_signals(encoder, length, value):
    x = np.full((length, 2, 3), value)
    spikes, side = encoder.encode(x)
    assert len(spikes) == length * getattr(encoder, "steps", 1)
    changes = {"tae", "step_forward", "send_on_delta", "moving_window", "temporal_contrast"}
    if encoder.name in changes and length < 30:  # sums of 1e149 round, so a mean of many may differ from it
        assert not spikes.any()
    if encoder.invertible:
        decoded = encoder.decode(spikes, **side)
        assert np.isfinite(decoded).all()
        if encoder.name in changes and length < 30:
            np.testing.assert_array_equal(decoded, x)


@encoders
def test_signals_between_the_extremes(encoder):
    """From 1e150 to -1e150 and down to the smallest numbers, without a warning or an infinity."""
    x = np.array([0.0, 1e150, -1e150, 5e-324, -5e-324, 1e150, 0, 0, 0, 1.0])[:, None, None]
    spikes, side = encoder.encode(x)
    if encoder.invertible:
        assert np.isfinite(encoder.decode(spikes, **side)).all()


@encoders
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e151])
def test_what_is_no_number_is_refused_by_place(encoder, bad):
    x = np.zeros((9, 2, 3))
    x[4, 1, 2] = bad
    with pytest.raises(DataError, match="sample 4 of item 1, channel 2"):
        encoder.encode(x)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros(5), r"x\[:, None, None\]"),
        (np.zeros((5, 2)), r"x\[:, None\]"),
        (np.zeros((5, 2, 2, 2)), r"got shape \(5, 2, 2, 2\)"),
        (np.zeros((5, 1, 1), complex), "real"),
        (["a"], "array of numbers"),
    ],
)
@pytest.mark.filterwarnings("ignore:Casting complex:numpy.exceptions.ComplexWarning")
def test_what_is_no_signal_is_refused(x, message):
    with pytest.raises(DataError, match=message):
        TAE().encode(x)


def test_a_stream_keeps_its_shape():
    stream = TAE().stream()
    with pytest.raises(DataError, match="saw no chunk"):
        stream.finish()
    stream.push(np.zeros((2, 1, 3)))
    with pytest.raises(DataError, match=r"\[l, 1, 3\]"):
        stream.push(np.zeros((2, 3, 1)))


@pytest.mark.parametrize("encoder", [BSA(), TemporalContrast()], ids=cases.name)
def test_what_comes_from_the_whole_signal_must_be_given_to_a_stream(encoder):
    with pytest.raises(RecipeError, match="from the whole signal"):
        encoder.stream()
    with pytest.raises(RecipeError, match="no colour"):
        TAE().stream(colour=np.zeros(1))


@pytest.mark.parametrize(
    ("spikes", "message"),
    [
        (np.zeros((3, 2)), "L, N, C"),
        (np.full((3, 1, 1), 2), "-1, 0 or 1"),
        (np.full((3, 1, 1), 0.5), "-1, 0 or 1"),
    ],
)
def test_what_are_no_spikes_is_not_decoded(spikes, message):
    with pytest.raises(DataError, match=message):
        TAE().decode(spikes)


def test_side_must_fit_the_spikes():
    with pytest.raises(DataError, match="start has shape"):
        TAE().decode(np.zeros((4, 1, 2), np.int8), start=np.zeros((1, 3)))


@encoders
def test_configurations_are_read_by_name(encoder):
    from pydantic import TypeAdapter

    assert TypeAdapter(Encoder).validate_python(encoder.model_dump(mode="json")) == encoder
    options = {key: value for key, value in encoder.model_dump().items() if key != "name"}
    assert create_encoder(encoder.name, **options) == encoder


def test_unknown_names_and_options():
    with pytest.raises(RecipeError, match="did you mean 'tae'"):
        create_encoder("tea")
    with pytest.raises(RecipeError, match=r"tae th1: .*options: th0, alpha"):
        create_encoder("tae", th1=3)
    with pytest.raises(RecipeError, match="tae th0: Input should be greater than 0"):
        create_encoder("tae", th0=0.0)
    with pytest.raises(RecipeError, match="th_min <= th0 <= th_max"):
        create_encoder("tae", th0=0.1, th_max=0.05)
    with pytest.raises(RecipeError, match="low < high"):
        create_encoder("phase", low=1.0, high=1.0)


def test_way_to_encode_is_checked(monkeypatch):
    monkeypatch.setenv(native.VARIABLE, "cuda")
    with pytest.raises(RheobaseError, match="way to encode"):
        TAE().encode(np.zeros((3, 1, 1)))


def test_torch_is_left_alone():
    code = "import sys, rheobase.signals; assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
