"""Gathering kernels against the reference and the scattering ones, on the host, with sanitizers too."""

import subprocess

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from target_cases import all_at, cases, spikes_for, spiking, spiking_programs

from rheobase import native
from rheobase.program import CompiledProgram, ranges, reference, verify, write_c
from rheobase.program.c99 import gather
from rheobase.program.c99.generator import generate

pytestmark = pytest.mark.skipif(native.compiler() is None, reason="no C compiler on this machine")
STRICT = ("-std=c99", "-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Werror")


def kernels(program, rates):
    """Which kinds of convolution the C has."""
    text = generate(program, rates).model_c
    return {kind for kind in ("lanes", "planes") if f"conv2d_{kind}_" in text}


@given(spiking_programs(), st.sampled_from([0.0, 0.1, 0.6, 1.0]), st.sampled_from([0.0, 1.0]))
@settings(max_examples=20, deadline=None)
def test_every_spike_and_logit_equals_the_reference(program, density, rate):
    rates = all_at(program, rate)
    assert len(kernels(program, rates)) == 1 and not kernels(program, None)
    frames = spikes_for(program, density, 1)
    compiled = CompiledProgram(program, rates=rates, flags=("-std=c99", "-O1"))
    found = verify(compiled, reference.run(program, frames), frames)
    assert found.exact, found.first_difference


@pytest.mark.parametrize("rate", [0.0, 1.0])
@pytest.mark.parametrize(("bits", "out"), [(1, 16), (1, 33), (2, 16), (2, 50), (4, 23), (8, 17)])
def test_full_lanes_and_borders_under_sanitizers(tmp_path, bits, out, rate):
    """All 405 inputs of a window fire: more than 8-bit codes can add in a lane of 16 bits (257)."""
    program = spiking(bits, bits, 45, out, (3, 3), (4, 3), padding=1)
    rates = all_at(program, rate)
    frames = np.concatenate([spikes_for(program, density, 3, 1) for density in (1.0, 0.2, 0.0)], axis=1)
    write_c(program, tmp_path, frames, rates=rates)
    sanitizers = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    command = [str(native.compiler()), *STRICT, "-O1", "-DRHEOBASE_TRACE"]
    sources = ["self_test.c", "model.c", "-o", "self_test"]
    done = subprocess.run([*command, *sanitizers, *sources], cwd=tmp_path, capture_output=True, text=True)
    if "sanitize" in done.stderr or "asan" in done.stderr:
        done = subprocess.run([*command, *sources], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    done = subprocess.run(["./self_test"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.endswith("PASS\n"), done.stdout + done.stderr


def test_choice_by_bits_and_rate():
    def choice(bits, rate, **fields):
        program = spiking(0, bits, 4, 8, (3, 3), (5, 5), **fields)
        op, found = program.ops[2], ranges.analyse(program)[1]
        return gather.choose(op, found, (4, 5, 5), rate)

    assert [choice(bits, 0.02) for bits in (1, 2, 4, 8)] == ["planes", "lanes", "lanes", "lanes"]
    assert [choice(bits, 0.5) for bits in (1, 2, 4, 8)] == ["planes", "planes", "lanes", "lanes"]
    assert choice(4, None) is None


def test_frames_and_large_counts_are_scattered():
    """Frames count up to 255; a pooling over 2 x 2 of spikes up to 4, one over 3 x 3 up to 9."""
    rates = dict.fromkeys(range(9), 0.1)
    assert not kernels(cases.rounded_program(4), rates)
    assert kernels(spiking(0, 4, 2, 3, (3, 3), (12, 12), 2), rates) == {"lanes"}
    assert not kernels(spiking(0, 4, 2, 3, (3, 3), (12, 12), 3), rates)


def test_words_by_hand():
    codes = np.array([1, 2, 3, 0, 1], np.uint8)
    assert gather.pack_words(codes, 2, 32).tolist() == [1 | 2 << 16 | 3 << 2 | 0 << 18 | 1 << 4]
    assert gather.pack_words(np.array([9, 255], np.uint8), 8, 32).tolist() == [9 | 255 << 16]
    low = 1 | 0 << 8 | 1 << 1 | 0 << 9 | 1 << 2  # lowest bits of codes 1 2 3 0 1
    high = 0 | 1 << 8 | 1 << 1
    assert gather.pack_planes(codes, 2, 16).tolist() == [low, high]
