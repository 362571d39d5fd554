"""Signal encoders in integers: C equals NumPy sample for sample, and both follow the float encoder."""

import os
import subprocess
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rheobase import native
from rheobase.datasets.archive import Archive
from rheobase.datasets.clips import clip
from rheobase.datasets.speech_commands import RATE, index
from rheobase.errors import DataError, RecipeError
from rheobase.signals import TAE, MovingWindow, Scaling, StepForward
from rheobase.signals.coding import Coding
from rheobase.signals.frontends import Bands, Gammatone, LogMel
from rheobase.signals.program import CompiledCoding, generate, integer_coding, integer_log_mel
from rheobase.targets import TARGETS, missing
from rheobase.targets.image import FREESTANDING, WARNINGS, compile_object, lay_out, undefined

needs_compiler = pytest.mark.skipif(native.compiler() is None, reason="no C compiler on this machine")
ONE = Scaling(low=(-1.0,), high=(1.0,))
AUDIO = 1 / 32768
SMALL_MEL = LogMel(bands=6, window=0.008, hop=0.005, low=100)


def wide(front, unit, scale=1.0):
    """A scaling that a front end's values of noise fill."""
    rng = np.random.default_rng(1)
    return Scaling.fit(front.apply(rng.normal(size=(4000, 1, 1)) * 8000 * unit * scale))


CODINGS = {
    "samples": Coding(front=None, scaling=ONE, encoder=TAE(th0=0.02), sampling=16000, unit=AUDIO),
    "steep": Coding(
        front=None, scaling=ONE, encoder=TAE(th0=1e-3, alpha=3.9, th_max=8), pool=3, sampling=1, unit=AUDIO
    ),
    "step": Coding(
        front=None, scaling=ONE, encoder=StepForward(threshold=0.05), pool=2, sampling=1, unit=AUDIO
    ),
    "jump": Coding(
        front=None, scaling=ONE, encoder=TAE(th0=0.05, base_mode="send_on_delta"), sampling=1, unit=AUDIO
    ),
    "log_mel": Coding(
        front=SMALL_MEL, scaling=wide(SMALL_MEL, AUDIO), encoder=TAE(), pool=2, sampling=16000, unit=AUDIO
    ),
    "bands": Coding(
        front=(EEG := Bands(sampling=173.61)),
        scaling=wide(EEG, 1.0),
        encoder=TAE(),
        pool=4,
        sampling=173.61,
        unit=1.0,
    ),
}


@cache
def compiled(name: str) -> CompiledCoding:
    return CompiledCoding(integer_coding(CODINGS[name]))


def chirp(samples: int) -> np.ndarray:
    rng, t = np.random.default_rng(0), np.arange(samples) / 16000
    burst = np.sin(2 * np.pi * (200 + 800 * t) * t) * np.exp(-(((t - t[-1] / 2) / 0.2) ** 2))
    return (burst * 12000 + rng.normal(size=samples) * 100).astype(np.int16)


# noise of any size, full-scale square waves of any period, the ends of the range
signals = st.one_of(
    st.tuples(st.integers(0, 1 << 32), st.integers(0, 700), st.integers(0, 15)).map(
        lambda d: (np.random.default_rng(d[0]).integers(-32768, 32768, d[1]) >> d[2]).astype(np.int16)
    ),
    st.tuples(st.integers(1, 90), st.integers(1, 700)).map(
        lambda d: np.where(np.arange(d[1]) // d[0] % 2, 32767, -32768).astype(np.int16)
    ),
    st.lists(st.sampled_from([-32768, -1, 0, 1, 32767]), max_size=60).map(lambda x: np.array(x, np.int16)),
)


@needs_compiler
@pytest.mark.parametrize("name", CODINGS)
@settings(max_examples=25)
@given(x=signals, cut=st.integers(0, 700))
def test_c_equals_numpy_in_any_chunks(name, x, cut):
    expected = integer_coding(CODINGS[name]).encode(x)
    for stream in (compiled(name).stream(), integer_coding(CODINGS[name]).stream()):
        found = np.concatenate([stream.push(x[:cut]), stream.push(x[cut:]), stream.finish()])
        assert np.array_equal(found, expected)


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("samples", 1.0),  # 16-bit samples are what the float encoder sees, and thresholds have 30 bits
        ("steep", 1.0),
        ("step", 1.0),
        ("jump", 1.0),
        (
            "log_mel",
            0.98,
        ),  # measured .991: values within .001 of a threshold fall on its other side, and bases then differ
        ("bands", 0.999),  # measured 1
    ],
)
def test_spikes_are_those_of_the_float_encoder(name, least):
    coding, x = CODINGS[name], chirp(6000)
    found, expected = integer_coding(coding).encode(x), coding.encode(x * coding.unit)
    assert found.shape == expected.shape and 0.05 < np.abs(expected).mean() < 0.99
    assert (found == expected).mean() >= least


@pytest.mark.parametrize("name", CODINGS)
def test_the_float_stream_gives_the_frames_of_the_whole(name):
    coding, x = CODINGS[name], chirp(3001) * CODINGS[name].unit
    stream, parts = coding.stream(), np.split(x, [0, 1, 700, 1999])
    found = np.concatenate([*(stream.push(part) for part in parts), stream.finish()])
    assert np.array_equal(found, coding.encode(x))


@given(x=signals)
def test_bounds_of_the_encoder_hold(x):
    for name in ("samples", "steep", "jump"):
        encoder = integer_coding(CODINGS[name]).encoder
        stream = encoder.stream()
        for value in x:
            stream.push(np.array([[value]]))
            assert np.abs(stream.base).max() <= 1 << 29
            assert (encoder.least <= stream.threshold).all() and (stream.threshold <= 1 << 30).all()


def test_step_forward_keeps_its_threshold_and_counts_finely():
    step, tae = (integer_coding(CODINGS[name]).encoder for name in ("step", "samples"))
    assert step.growth == step.shrinkage == 1 << 30
    assert tae.scale[0] == 1 << 14 and tae.start[0] == round(0.02 * 32768 * (1 << 14))


def test_log_mel_is_that_of_the_float_front_end():
    """Speech-like sizes: 512 points, 40 bands; the quietest values are where roundings matter most."""
    front, x = LogMel(), chirp(8000)
    integer = integer_log_mel(front, AUDIO)
    found = integer.stream().push(x[:, None]) * integer.unit
    expected = front.apply(x[:, None, None] * AUDIO)[:, 0]
    error = found - expected
    error -= error.mean(0)  # the unit's constant
    assert expected.std() > 1 and np.abs(error).max() < 0.01 and error.std() < 0.001


@given(st.integers(1, (1 << 63) - 1), st.integers(0, 62))
def test_logarithm_is_within_a_unit(value, shift):
    value = max(value >> shift, 1)
    found = int(integer_log_mel(SMALL_MEL, AUDIO)._log2(np.array([value]))[0])
    assert abs(found - 512 * np.log2(float(value))) < 0.75


@pytest.mark.parametrize(
    ("encoder", "front", "said"),
    [
        (MovingWindow(), None, "no integer form"),
        (TAE(th_mode="amplitude"), None, "no integer form"),
        (TAE(alpha=5), None, "alpha up to"),
        (TAE(th0=1e-12), None, "raise the threshold"),
        (TAE(), Gammatone(sampling=16000, bands=1), "log_mel and bands have one"),
        (TAE(), LogMel(bands=1, window=4.0, hop=1.0), "windows of 5 to"),
    ],
)
def test_what_has_no_integer_form_says_so(encoder, front, said):
    coding = Coding(front=front, scaling=ONE, encoder=encoder, sampling=16000, unit=AUDIO)
    with pytest.raises(RecipeError, match=said):
        integer_coding(coding)


def test_other_samples_are_refused():
    stream = integer_coding(CODINGS["samples"]).stream()
    with pytest.raises(DataError, match="int16"):
        stream.push(np.zeros(4))
    with pytest.raises(DataError, match="within ±32768"):
        integer_coding(CODINGS["samples"]).encoder.encode(np.array([[1 << 20]]))


MAIN = """\
#include <stdio.h>
#include "encoder.h"
int main(void)
{
    static host_encoder encoder;
    int8_t frame[HOST_ENCODER_CHANNELS];
    int16_t sample;
    host_encoder_reset(&encoder);
    while (fread(&sample, sizeof sample, 1, stdin) == 1) {
        if (host_encoder_push(&encoder, sample, frame)) fwrite(frame, 1, sizeof frame, stdout);
    }
    if (host_encoder_finish(&encoder, frame)) fwrite(frame, 1, sizeof frame, stdout);
    return 0;
}
"""


@needs_compiler
@pytest.mark.parametrize("name", CODINGS)
def test_sanitizers_find_nothing(name, tmp_path):
    texts = {**generate(integer_coding(CODINGS[name]), "host").files, "main.c": MAIN}
    for file, text in texts.items():
        (tmp_path / file).write_text(text)
    flags = ["-std=c99", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    command = [native.compiler(), *flags, "main.c", "encoder.c", "-o", "main"]
    built = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    if "cannot find" in built.stderr:
        pytest.skip("the compiler has no sanitizers")
    assert built.returncode == 0, built.stderr
    square = np.where(np.arange(1500) // 40 % 2, 32767, -32768).astype(np.int16)
    x = np.concatenate([square, chirp(1000), square[::-1]])
    done = subprocess.run([tmp_path / "main"], input=x.tobytes(), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    expected = integer_coding(CODINGS[name]).encode(x)
    assert np.array_equal(np.frombuffer(done.stdout, np.int8).reshape(-1, expected.shape[1]), expected)


@pytest.mark.parametrize("target", TARGETS.values(), ids=lambda target: target.name)
@pytest.mark.parametrize("name", ["samples", "log_mel", "bands"])
def test_cross_compiles_without_a_library(name, target, tmp_path):
    if reason := missing(target):
        pytest.skip(reason)
    lay_out(target, tmp_path)
    for file, text in generate(integer_coding(CODINGS[name]), "host").files.items():
        (tmp_path / file).write_text(text)
    flags = [*target.flags, "-O2", *FREESTANDING, *WARNINGS, "-Iinclude"]
    compile_object(target, tmp_path, "encoder.c", flags, "encoder.o")
    compilers = {
        "__aeabi_lmul",
        "__aeabi_llsl",
        "__aeabi_llsr",
        "__aeabi_idiv",
        "__aeabi_idivmod",
        "__aeabi_uidiv",
    }
    assert undefined(target, tmp_path / "encoder.o") <= {"memset", "memcpy"} | compilers


def test_real_speech_agrees(tmp_path):
    root = os.environ.get("RHEOBASE_DATA", "")
    archive = Path(root) / "speech_commands_v2_test.zip"
    if not root or not archive.is_file():
        pytest.skip("RHEOBASE_DATA holds no Speech Commands")
    pytest.importorskip("soundfile")
    held = Archive(archive)
    rows = index(held)[:: len(index(held)) // 8]
    clips = np.stack([clip(held, row["path"], tmp_path, RATE, RATE) for row in rows])
    front = LogMel()
    scaling = Scaling.fit(front.apply(clips.T[..., None]))
    coding = Coding(front=front, scaling=scaling, encoder=TAE(th0=0.08), pool=2, sampling=16000, unit=AUDIO)
    same = [
        (integer_coding(coding).encode(np.rint(x * 32768).astype(np.int16)) == coding.encode(x)).mean()
        for x in clips
    ]
    assert min(same) > 0.98 and np.mean(same) > 0.995
