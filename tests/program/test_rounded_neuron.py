"""Neurons with packed membranes: hand-worked traces, what is refused, and the C against the reference."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from program_cases import frames_for, rounded_neuron, rounded_program, weight
from test_program_c99 import build, sanitizers

from rheobase import native
from rheobase.errors import ProgramError
from rheobase.program import (
    CompiledProgram,
    Flatten,
    Linear,
    Program,
    Readout,
    RoundedNeuron,
    Weight,
    load,
    measure,
    ranges,
    reference,
    save,
    verify,
    write_c,
)
from rheobase.program.c99.generator import generate
from rheobase.program.ops import Bounds
from rheobase.program.storage import decode, encode

needs_compiler = pytest.mark.skipif(native.compiler() is None, reason="no C compiler on this machine")

THREE: dict[str, Any] = {"gain": [1], "gain_shift": 0, "levels": [-10, 0, 10], "edges": [-5, 5], "bits": 2}


def trace(neuron: RoundedNeuron, *values: int) -> tuple[list[int], list[int]]:
    membranes, spikes = neuron.membranes(np.array(values).reshape(-1, 1, 1))
    return membranes.ravel().tolist(), spikes.ravel().tolist()


def test_membranes_round_to_levels_and_an_edge_is_the_start_of_one():
    assert trace(RoundedNeuron([99], [0], **THREE), 4, 5, -14, -1, -100) == ([0, 10, 0, 0, -10], [0] * 5)
    assert trace(RoundedNeuron([99], [0], **THREE), -5, 0) == ([0, 0], [0, 0])
    assert trace(RoundedNeuron([99], [0], **THREE), -6, 0) == ([-10, -10], [0, 0])


def test_spikes_are_decided_before_rounding():
    # 7 is kept as 10, which is no spike though 10 >= 8; 10 + 4 fires and leaves 6, kept as 10
    neuron = RoundedNeuron([8], [0], **THREE)
    assert trace(neuron, 7, -12) == ([10, 0], [0, 0])
    assert trace(neuron, 7, 4) == ([10, 10], [0, 1])
    assert trace(RoundedNeuron([8], [0], v_reset=-7, **THREE), 7, 4, 0) == ([10, -10, -10], [0, 1, 0])


def test_leak_acts_on_levels_and_floors():
    # 10 - 5 = 5 stays 10; 10 - 10 // 4 = 8; -10 - floor(-2.5) = -7
    assert trace(RoundedNeuron([99], [0], leak_shift=1, **THREE), 9, 0, -1) == ([10, 10, 0], [0, 0, 0])
    assert trace(RoundedNeuron([99], [0], leak_shift=2, **THREE), -9, 2, 2) == ([-10, 0, 0], [0, 0, 0])
    assert trace(RoundedNeuron([99], [0], leak_shift=2, **THREE), -9, 1) == ([-10, -10], [0, 0])


@pytest.mark.parametrize(
    ("gain", "shift", "total", "current"),
    [
        (3, 1, 1, 2),
        (3, 1, -1, -1),
        (-3, 1, 1, -1),
        (1, 2, 1, 0),
        (1, 2, 2, 1),
        (-1, 2, 2, 0),
        (5, 0, -3, -15),
    ],
)
def test_sums_are_rescaled_with_halves_rounded_up(gain, shift, total, current):
    neuron = RoundedNeuron([99], [0], **THREE | {"gain": [gain], "gain_shift": shift})
    assert neuron.current(np.array([[[total]]])).item() == current


@given(st.integers(0, 1 << 30), st.sampled_from([2, 4, 8]), st.integers(1, 9), st.integers(1, 6))
@settings(max_examples=60, deadline=None)
def test_membranes_take_levels_only_and_rest_at_0(seed, bits, channels, steps):
    rng = np.random.default_rng(seed)
    neuron = rounded_neuron(rng, channels, 50, bits, leak_shift=int(rng.integers(0, 4)))
    membranes, _ = neuron.membranes(rng.integers(-300, 300, (steps, 3, channels)))
    assert len(np.unique(membranes)) <= len(neuron.levels) <= 1 << bits
    assert np.isin(membranes, neuron.levels).all()
    assert neuron.table[0] == 0 and len(neuron.table) == 1 << bits
    assert sorted(set(neuron.table.tolist())) == neuron.levels.tolist()  # padding repeats level 0


@given(st.integers(0, 1 << 30), st.sampled_from([2, 4, 8]), st.integers(1, 6))
@settings(max_examples=60, deadline=None)
def test_no_integer_passes_the_range_rule(seed, bits, channels):
    """The largest sums of either sign, each step of the equation in unbounded integers."""
    rng = np.random.default_rng(seed)
    neuron = rounded_neuron(rng, channels, 50, bits)
    low = -rng.integers(0, 5000, channels)
    high = rng.integers(0, 5000, channels)
    found = neuron.bounds(Bounds(low, high, 7, "int16_t"), (channels,), 4)
    half = (1 << neuron.gain_shift) // 2
    for ends in (low, high):
        for total, gain, bias in zip(ends.tolist(), neuron.gain.tolist(), neuron.bias.tolist(), strict=True):
            product = total * gain + half
            current = product >> neuron.gain_shift
            reached = [abs(product), abs(current), abs(current + bias)]
            reached += [abs(level + current + bias) for level in neuron.levels.tolist()]
            assert max(reached) <= found.widest


def test_products_beyond_32_bits_are_refused():
    def program(gain: int) -> Program:
        wide = Linear(Weight(np.full((1, 4), 255, np.uint8), 8, 1, 0))
        neuron = RoundedNeuron([9], [0], **THREE | {"gain": [gain]})
        head = Linear(weight(np.random.default_rng(0), (2, 1), 4))
        return Program("big", (1, 2, 2), 1, [Flatten(), wide, neuron, head, Readout([0, 0])])

    sums = 4 * 255 * 255
    program((2**31 - 33000) // sums).validate()
    with pytest.raises(
        ProgramError, match=r"op 2 RoundedNeuron: a sum times its gain can reach \d+, beyond 32"
    ):
        program(2**31 // sums + 1).validate()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bits": 16}, "2 or 4 or 8 bits"),
        ({"bits": 3}, "2 or 4 or 8 bits"),
        ({"gain": [1, 2]}, "channels differ"),
        ({"gain": 1}, "gain must be a 1-d integer array"),
        ({"gain_shift": 31}, "gain_shift must be"),
        ({"gain_shift": -1}, "gain_shift must be"),
        ({"gain_shift": None}, "gain_shift must be"),
        ({"levels": [0]}, "1 levels"),
        ({"levels": [-2, -1, 0, 1, 2], "edges": [0] * 4}, "5 levels; 2 bits"),
        ({"levels": [-10, 0, 0]}, "rise strictly"),
        ({"levels": [10, 0, -10]}, "rise strictly"),
        ({"levels": [-10, 1, 10]}, "must hold 0"),
        ({"levels": [-10, 0, 32768]}, "outside its saturation"),
        ({"levels": [-10.0, 0.0, 10.0]}, "integer array"),
        ({"levels": None}, "levels must be"),
        ({"edges": [-5]}, "1 edges between 3 levels; give 2"),
        ({"edges": [5, -5]}, "must not fall"),
        ({"edges": [1 << 40, 1 << 41]}, "32 bits"),
        ({"v_reset": np.array([0])}, "one integer for all channels"),
        ({"v_reset": -40000}, "outside its saturation"),
        ({"saturation": 1 << 31}, "saturation"),
        ({"leak_shift": 31}, "leak_shift"),
    ],
)
def test_refusals_say_what_is_wrong(change, message):
    with pytest.raises(ProgramError, match=message):
        RoundedNeuron([9], [0], **THREE | change)


def test_decode_inverts_encode_and_every_field_is_in_the_digest(tmp_path):
    program = rounded_program(4)
    assert program.ops[1].levels[0] < 0
    save(program, tmp_path / "p.safetensors")
    again = load(tmp_path / "p.safetensors")
    assert again.digest() == program.digest()
    description, _ = encode(program)
    digests = {program.digest()}
    for field, outwards in (("gain", 1), ("levels", -1), ("edges", -1)):
        _, tensors = encode(program)
        changed = tensors[f"1.{field}"].copy()
        changed[0] += outwards
        saturated = json.loads(json.dumps(description))
        saturated["ops"][1]["saturation"] += 1
        digests.add(decode(saturated, tensors | {f"1.{field}": changed}).digest())
    assert len(digests) == 4


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_bent_descriptions_are_refused_or_valid(data):
    """Any field of the neuron replaced by anything: a ProgramError, or a program that runs as C would."""
    program = rounded_program(data.draw(st.sampled_from([2, 4, 8])))
    description, tensors = encode(program)
    description, tensors = json.loads(json.dumps(description)), dict(tensors)
    entry = description["ops"][1]
    number = st.one_of(st.integers(-5, 40), st.integers(-(1 << 40), 1 << 40))
    if data.draw(st.booleans()):
        field = data.draw(st.sampled_from(sorted(entry)))
        entry[field] = data.draw(
            st.one_of(number, st.none(), st.text(max_size=3), st.just("int32"), st.just([]))
        )
    else:
        field = data.draw(st.sampled_from(["gain", "levels", "edges", "threshold", "bias"]))
        values = tensors[f"1.{field}"].copy()
        values[data.draw(st.integers(0, len(values) - 1))] = data.draw(st.integers(-(1 << 31), (1 << 31) - 1))
        length = data.draw(st.integers(1, len(values) + 1))
        tensors[f"1.{field}"] = np.resize(values, length)
    try:
        bent = decode(description, tensors)
        bent.validate()
    except ProgramError:
        return
    frames = frames_for(bent, 1, 0)
    spikes, _ = bent.ops[1].membranes(bent.ops[0].run(frames))
    assert np.isin(spikes, bent.ops[1].levels).all()
    generate(bent)


@needs_compiler
@pytest.mark.parametrize("channels", [1, 3, 4, 5])
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_bytes_and_spikes_of_the_compiled_program(bits, channels):
    """Codes of the whole map are packed together: 7 x 5 x C of them, rounded up to bytes once."""
    program = rounded_program(bits, channels)
    sizes = measure(program)
    places = 35 * channels
    assert sizes.bytes_membranes == -(-places * bits // 8) + -(-11 * bits // 8) + 4 * 3
    tables = sum(4 * (2**bits + len(op.edges)) for op in program.neurons)
    weights = sum(op.weight.bytes for op in program.ops if hasattr(op, "weight"))
    assert sizes.bytes_weights == weights + tables + 4 * (3 * channels + 3 * 11 + 3)
    assert sizes.bytes_state == CompiledProgram(program).state_bytes
    frames = frames_for(program, 3, channels)
    found = verify(CompiledProgram(program), reference.run(program, frames), frames)
    assert found.exact, found.first_difference


def test_packed_codes_are_relative_to_rest_by_hand():
    """Level 0 has code 2 of 4 bits: codes 0, 1, 2, 3 are kept as 14, 15, 0, 1."""
    neuron = RoundedNeuron(
        [9], [0], gain=[1], gain_shift=0, levels=[-30, -8, 0, 7], edges=[-20, -4, 3], bits=4
    )
    assert neuron.rest == 2
    assert neuron.table.tolist() == [0, 7, *[0] * 12, -30, -8]
    assert neuron.table_bytes == 4 * (16 + 3) and neuron.membrane_bytes((1, 3, 3)) == 5


def extreme_program() -> Program:
    """Sums, products, currents and membranes up to the last value that 32 bits hold."""
    wide = Linear(Weight(np.array([[255], [0]], np.uint8), 8, 1, -128))  # sums -128 * 255 .. 127 * 255
    top = 2**31 - 1
    gain = (top - 2) // (128 * 255)
    half = gain * 128 * 255 // 4 + 1
    neuron = RoundedNeuron(
        [top - half - 2, 5],
        [0, -1],
        gain=[gain, -gain],
        gain_shift=2,
        levels=[-(top - half - 2), -3, 0, top - half - 2],
        edges=[-2, -1, 1],
        saturation=top - half - 2,
        bits=2,
        leak_shift=30,
    )
    head = Linear(weight(np.random.default_rng(0), (2, 2), 4))
    return Program("extreme", (1, 1, 1), 3, [Flatten(), wide, neuron, head, Readout([0, 0])])


@needs_compiler
@pytest.mark.parametrize("level", ["-O1", "-O2"])
def test_self_test_is_clean_under_sanitizers(tmp_path, level):
    if not sanitizers(tmp_path):
        pytest.skip("the compiler has no address and undefined-behaviour sanitizers")
    extreme = extreme_program()
    assert max(found.widest for found in ranges.analyse(extreme)) > 2**31 - 8
    full = np.full((3, 1, 1, 1, 1), 255, np.uint8)
    cases = [
        (rounded_program(bits), frames_for(rounded_program(bits), 2, bits, steps=5)) for bits in (2, 4, 8)
    ]
    for number, (program, frames) in enumerate([*cases, (extreme, full)]):
        folder = tmp_path / str(number)
        write_c(program, folder, frames)
        done = build(
            folder, level, "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-DRHEOBASE_TRACE"
        )
        assert done.returncode == 0 and done.stdout.endswith("PASS\n"), done.stderr
