"""Programs on emulated microcontrollers: equal to the reference, counted to the instruction, free of float and libraries."""

import subprocess

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from target_cases import all_at, cases, every_target, needs, spikes_for, spiking

from rheobase.errors import DataError, ProgramError, RecipeError
from rheobase.program import elf, measure, reference
from rheobase.program.c99.generator import logits_hash, spikes_hash
from rheobase.targets import TARGETS, ToolError, build, missing, profile, report, run, target
from rheobase.targets.image import compile_object, lay_out, link, undefined
from rheobase.targets.machine import emulate, instructions
from rheobase.targets.registry import tool

NOPS = """
#include "board.h"
static void print(uint32_t number)
{
    char text[12] = "0000000000\\n";
    for (int i = 9; i >= 0; --i, number /= 10u) text[i] = (char)('0' + number % 10u);
    board_print("ticks ");
    board_print(text);
}
int main(void)
{
    board_start_clock();
    uint32_t start = board_clock();
    __asm__ volatile(".rept 1000\\n nop\\n .endr");
    const uint32_t few = board_clock() - start;
    start = board_clock();
    __asm__ volatile(".rept 3001\\n nop\\n .endr");
    const uint32_t many = board_clock() - start;
    print(few);
    print(many);
    return 0;
}
"""


def equal(program, name, frames, folder, **options):
    expected = reference.run(program, frames)
    done = run(build(program, TARGETS[name], folder, **options), frames)
    assert done.logits_hash == logits_hash(expected), name
    assert done.spikes_hash == spikes_hash(expected), name
    return done


@every_target
@pytest.mark.parametrize(
    ("optimise", "plain_bits", "rounded_bits"), [("-O2", 1, 2), ("-Os", 4, 8)], ids=["O2", "Os"]
)
def test_hashes_of_every_target_equal_the_reference(tmp_path, name, optimise, plain_bits, rounded_bits):
    """Scattering and gathering kernels; membranes of 16 bits, and rounded ones."""
    rounded = cases.rounded_program(rounded_bits)
    equal(rounded, name, cases.frames_for(rounded, 2, 5), tmp_path / "rounded", optimise=optimise)
    gathering = spiking(3, plain_bits, 6, 21, (3, 3), (5, 4), padding=1)
    frames = spikes_for(gathering, 0.3, 4)
    equal(gathering, name, frames, tmp_path / "g", optimise=optimise, rates=all_at(gathering, 0.3))


@needs("cortex-m0plus")
@given(cases.programs())
@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
def test_random_programs_on_the_smallest_core(tmp_path_factory, program):
    frames = cases.frames_for(program, 2, 0)
    folder = tmp_path_factory.mktemp("random")
    equal(program, "cortex-m0plus", frames, folder, rates=all_at(program, 0.1))


@every_target
def test_the_clock_counts_single_instructions(tmp_path, name):
    """2001 more instructions between two readings are 2001, whatever the core."""
    lay_out(TARGETS[name], tmp_path)
    (tmp_path / "nops.c").write_text(NOPS)
    ticks = emulate(TARGETS[name], link(TARGETS[name], tmp_path, "nops", ["nops.c"]))["ticks"]
    few, many = (int(instructions(TARGETS[name], np.array(int(each)))) for each in ticks)
    assert many - few == 2001
    assert 1000 <= few <= 1030


@needs("cortex-m4")
def test_counts_repeat_and_follow_the_spikes(tmp_path):
    program = spiking(0, 4, 8, 16, (3, 3), (6, 6), padding=1)
    image = build(program, TARGETS["cortex-m4"], tmp_path, rates=all_at(program, 0.1), rows=False)
    quiet, busy = (spikes_for(program, rate, 0) for rate in (0.05, 0.5))
    first = run(image, busy)
    assert first.instructions.shape == (2, 2) and first.reset_instructions > 0
    assert np.array_equal(first.instructions, run(image, busy).instructions)
    assert run(image, quiet).per_inference < 0.7 * first.per_inference
    parts = profile(image, busy)
    assert parts.shape == (len(program.ops),)
    assert parts.sum() == pytest.approx(first.instructions.mean(), rel=0.02)
    assert parts.argmax() == 2  # the convolution
    by_row = build(program, TARGETS["cortex-m4"], tmp_path / "rows", rates=all_at(program, 0.1))
    assert by_row.bytes_state < image.bytes_state and profile(by_row, busy)[2] <= 0
    assert (run(by_row, busy).logits_hash, run(by_row, busy).spikes_hash) == (
        first.logits_hash,
        first.spikes_hash,
    )


@needs("cortex-m4")
@pytest.mark.parametrize(("bits", "goal"), [(1, 0.25), (2, 0.30), (4, 0.30), (8, 0.30)])
def test_instructions_of_a_layer_stay_below_their_goal(tmp_path, bits, goal):
    """32 -> 32, 8x8, 3x3 at a rate of 10 %: instructions per dense multiplication and step."""
    program = spiking(bits, bits, 32, 32, (3, 3), (8, 8), padding=1)
    frames = spikes_for(program, 0.1, 0, samples=1)
    image = build(program, TARGETS["cortex-m4"], tmp_path, rates=all_at(program, 0.1), rows=False)
    assert profile(image, frames)[2] / (32 * 32 * 9 * 64) <= goal


@every_target
def test_no_library_and_no_float_is_linked(tmp_path, name):
    program = cases.rounded_program(4)
    image = build(program, TARGETS[name], tmp_path)
    assert image.symbols <= {"memcpy", "memset"}
    nm = str(tool(f"{TARGETS[name].prefix}nm"))
    symbols = subprocess.run([nm, str(image.plain)], capture_output=True, text=True, check=True).stdout
    names = {line.split()[-1] for line in symbols.splitlines()}
    assert "memset" in names and not {"malloc", "printf", "_start", "_exit"} & names
    assert not [
        n for n in names if n.startswith(("__aeabi_f", "__aeabi_d", "__aeabi_i2", "__addsf", "__muldf"))
    ]


@needs("cortex-m4")
def test_a_float_would_be_noticed(tmp_path):
    (tmp_path / "float.c").write_text("float half(float x) { return x * 0.5f; }\n")
    path = compile_object(TARGETS["cortex-m4"], tmp_path, "float.c", TARGETS["cortex-m4"].flags, "float.o")
    assert undefined(TARGETS["cortex-m4"], path) == {"__aeabi_fmul"}


@needs("cortex-m4")
def test_bytes_are_those_of_the_object(tmp_path):
    program = cases.rounded_program(2)
    image = build(program, TARGETS["cortex-m4"], tmp_path, optimise="-Os")
    flags = (*TARGETS["cortex-m4"].flags, "-Os", "-std=c99", "-ffreestanding", f"-I{tmp_path}/include")
    sizes = measure(program, compiler=str(tool("arm-none-eabi-gcc")), flags=flags)
    assert (image.bytes_weights, image.bytes_state) == (sizes.bytes_weights, sizes.bytes_state)
    assert image.bytes_flash == image.bytes_weights + image.bytes_code
    assert abs(image.bytes_code - sizes.bytes_code) < 64
    whole = elf.read(image.plain.read_bytes())
    assert sum(section.size for section in whole.sections if section.code) > image.bytes_code


@needs("cortex-m4")
def test_report_compares_and_counts():
    program = cases.rounded_program(2)
    frames = cases.frames_for(program, 2, 0)
    found = report(program, TARGETS["cortex-m4"], frames)
    expected = reference.run(program, frames)
    assert found.logits_hash == f"{logits_hash(expected):016x}"
    assert found.spikes_hash == f"{spikes_hash(expected):016x}"
    assert found.bytes_ram == found.bytes_state + found.bytes_stack and 64 < found.bytes_stack < 4096
    macs = 5 * 2 * 9 * 35 + 5 * 11 + 11 * 3
    assert found.instructions_per_dense_mac == pytest.approx(
        found.instructions_per_inference / (macs * program.T)
    )


@needs("cortex-m4")
def test_report_refuses_another_result(monkeypatch):
    program = cases.rounded_program(2)
    monkeypatch.setattr("rheobase.targets.reports.spikes_hash", lambda trace: 0)
    with pytest.raises(ProgramError, match="cortex-m4 computes other spikes"):
        report(program, TARGETS["cortex-m4"], cases.frames_for(program, 1, 0))


def test_errors_teach(monkeypatch, tmp_path):
    with pytest.raises(RecipeError, match=r"unknown target 'cortex-m5'; did you mean 'cortex-m\d+'"):
        target("cortex-m5")
    monkeypatch.setenv("PATH", str(tmp_path))
    tool.cache_clear()
    try:
        with pytest.raises(ToolError, match="apt install gcc-arm-none-eabi"):
            build(cases.small_program(), TARGETS["cortex-m4"], tmp_path)
        assert "apt install gcc-riscv64-unknown-elf" in str(missing(TARGETS["rv32imac"]))
    finally:
        monkeypatch.undo()
        tool.cache_clear()


@needs("cortex-m4")
def test_frames_that_do_not_fit(tmp_path):
    program = cases.small_program()
    image = build(program, TARGETS["cortex-m4"], tmp_path)
    with pytest.raises(DataError, match="takes uint8 frames"):
        run(image, np.zeros((1, 1, 3, 8, 8), np.uint8))
    with pytest.raises(DataError, match="takes 1 or more"):
        run(image, np.zeros((1, 0, 2, 8, 8), np.uint8))
    with pytest.raises(DataError, match="takes 1 or more"):
        run(image, np.zeros((1, 140_000, 2, 8, 8), np.uint8))
