"""Generated C: it compiles without a warning, proves itself, and equals the reference on random programs."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from program_cases import frames_for, graphs, programs, residual_program, small_program, weight

from rheobase import native
from rheobase.errors import DataError, ProgramError
from rheobase.program import (
    CompiledProgram,
    Conv2d,
    Flatten,
    Linear,
    Neuron,
    Program,
    Readout,
    SumPool,
    Trace,
    Weight,
    elf,
    measure,
    reference,
    verify,
    write_c,
)
from rheobase.program.c99.arena import Block, plan
from rheobase.program.c99.generator import fnv1a, generate

STRICT = ("-std=c99", "-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Werror")
needs_compiler = pytest.mark.skipif(native.compiler() is None, reason="no C compiler on this machine")
FILES = ["model.h", "model.c", "kernels.h", "self_test.c", "CMakeLists.txt", "README.md"]


def build(folder: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    command = [str(native.compiler()), *STRICT, *flags, "self_test.c", "model.c", "-o", "self_test"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return subprocess.run(["./self_test"], cwd=folder, capture_output=True, text=True)


def sanitizers(tmp: Path) -> bool:
    (tmp / "probe.c").write_text("int main(void) { return 0; }\n")
    command = [str(native.compiler()), "-fsanitize=address,undefined", "probe.c", "-o", "probe"]
    return subprocess.run(command, cwd=tmp, capture_output=True).returncode == 0


def test_fnv1a_published_values():
    assert fnv1a(b"") == 0xCBF29CE484222325
    assert fnv1a(b"a") == 0xAF63DC4C8601EC8C
    assert fnv1a(b"foobar") == 0x85944171F73967E8


@needs_compiler
@pytest.mark.parametrize("level", ["-O0", "-O1", "-O2", "-O3", "-Os"])
@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_self_test_passes_without_a_warning(tmp_path, level, bits):
    paths = write_c(small_program(bits), tmp_path)
    assert (
        [path.name for path in paths]
        == FILES
        == sorted((p.name for p in tmp_path.iterdir()), key=FILES.index)
    )
    done = build(tmp_path, level, "-DRHEOBASE_TRACE")
    assert (done.returncode, done.stdout) == (0, "logits equal\nspikes equal\nPASS\n")
    done = build(tmp_path, level)
    assert (done.returncode, done.stdout) == (0, "logits equal\nPASS\n")


@needs_compiler
def test_self_test_is_clean_under_sanitizers(tmp_path):
    if not sanitizers(tmp_path):
        pytest.skip("the compiler has no address and undefined-behaviour sanitizers")
    for program in (small_program(1), small_program(4), small_program(8), residual_program()):
        folder = tmp_path / program.digest()
        write_c(program, folder, frames_for(program, 3, 0, steps=5))
        done = build(
            folder,
            "-O1",
            "-g",
            "-fsanitize=address,undefined",
            "-fno-sanitize-recover=all",
            "-DRHEOBASE_TRACE",
        )
        assert done.returncode == 0 and done.stdout.endswith("PASS\n"), done.stderr


@needs_compiler
def test_self_test_fails_when_a_weight_differs(tmp_path):
    write_c(small_program(), tmp_path)
    other = generate(small_program(name="small", bits=4, ops=_changed_weight()))
    (tmp_path / "model.c").write_text(other.model_c)
    done = build(tmp_path, "-O1", "-DRHEOBASE_TRACE")
    assert done.returncode == 1 and done.stdout.endswith("FAIL\n")


def _changed_weight() -> list:
    ops = list(small_program().ops)
    codes = ops[0].weight.codes.copy()
    codes[0] ^= 15
    ops[0] = Conv2d(Weight(codes, 4, 2, -15), padding=1)
    return ops


@needs_compiler
@given(st.one_of(programs(), graphs()), st.integers(0, 1000))
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_c_equals_reference_on_random_programs(program, seed):
    frames = frames_for(program, 3, seed)
    expected = reference.run(program, frames)
    compiled = CompiledProgram(program, flags=(*STRICT, "-O1"))
    found = verify(compiled, expected, frames)
    assert found.exact, found.first_difference
    assert np.array_equal(compiled.run(frames), expected.logits)


@needs_compiler
@given(st.one_of(programs(), graphs()))
@settings(max_examples=16, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_random_programs_are_clean_under_sanitizers(tmp_path_factory, program):
    folder = tmp_path_factory.mktemp("c")
    if not sanitizers(folder):
        pytest.skip("the compiler has no address and undefined-behaviour sanitizers")
    write_c(program, folder)
    done = build(
        folder, "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-DRHEOBASE_TRACE"
    )
    assert done.returncode == 0 and done.stdout.endswith("PASS\n"), done.stderr


def wide_program() -> Program:
    """Rows that cross a vector, 16-bit counts, 32-bit membranes, a reset by channel."""
    rng = np.random.default_rng(3)
    ops = [
        Conv2d(weight(rng, (67, 2, 3, 3), 1), padding=1),
        Neuron(
            np.full(67, 9),
            np.full(67, 3),
            leak_shift=2,
            v_reset=rng.integers(-9, 9, 67),
            saturation=90000,
            bits=32,
        ),
        SumPool(None),
        Flatten(),
        Linear(weight(rng, (35, 67), 2)),
        Neuron(np.full(35, 50), np.zeros(35, int)),
        Linear(weight(rng, (10, 35), 8)),
        Readout(np.arange(10)),
    ]
    return Program("Wide-net.v2", (2, 20, 17), 4, ops)


@needs_compiler
def test_threads_batches_and_predictions_agree():
    program = wide_program()
    frames = frames_for(program, 7, 1)
    expected = reference.run(program, frames)
    for threads in (1, 2, 16):
        compiled = CompiledProgram(program, threads=threads)
        assert np.array_equal(compiled.run(frames), expected.logits)
        assert verify(compiled, expected, frames).exact
    assert compiled.run(frames).dtype == np.int32
    assert compiled.predict(frames).tolist() == expected.logits.sum(axis=0).argmax(axis=-1).tolist()
    assert compiled.run(frames[:, :0]).shape == (4, 0, 10)
    assert np.array_equal(compiled.run(frames[:2]), expected.logits[:2])
    assert np.array_equal(compiled.run(frames[:, ::2]), expected.logits[:, ::2])  # not contiguous


@needs_compiler
def test_api_of_a_step_by_step_caller(tmp_path):
    program = wide_program()
    frames = frames_for(program, 1, 5)
    write_c(program, tmp_path, frames)
    logits = np.cumsum(reference.run(program, frames).logits, axis=0)[:, 0]
    numbers = ", ".join(map(str, logits[-1]))
    (tmp_path / "main.c").write_text(f"""#include <string.h>
#include "model.h"
#include "frames.h"
static Wide_net_v2_state one, two;
int main(void) {{
    static const int32_t expected[] = {{ {numbers} }};
    int32_t logits[WIDE_NET_V2_CLASSES];
    int t;
    if (Wide_net_v2_state_size() != sizeof one || Wide_net_v2_version() != 3) return 1;
    if (strcmp(Wide_net_v2_hash(), "{program.digest()}") != 0) return 2;
    Wide_net_v2_reset(&one);
    Wide_net_v2_reset(&two);
    for (t = 0; t < WIDE_NET_V2_STEPS; ++t) {{ /* two instances side by side, the second one step behind */
        Wide_net_v2_step(&one, frames + t * WIDE_NET_V2_FRAME_SIZE);
        if (t > 0) Wide_net_v2_step(&two, frames + (t - 1) * WIDE_NET_V2_FRAME_SIZE);
    }}
    if (memcmp(Wide_net_v2_logits(&one), expected, sizeof expected) != 0) return 3;
    if (Wide_net_v2_run(&two, frames, WIDE_NET_V2_STEPS, logits) != {int(logits[-1].argmax())}) return 4;
    return memcmp(logits, expected, sizeof expected) != 0 || Wide_net_v2_argmax(&one) != Wide_net_v2_argmax(&two);
}}
""")
    (tmp_path / "frames.h").write_text(
        f"static const uint8_t frames[] = {{ {', '.join(map(str, frames.ravel()))} }};\n"
    )
    command = [str(native.compiler()), *STRICT, "-O1", "main.c", "model.c", "-o", "main"]
    subprocess.run(command, cwd=tmp_path, check=True)
    assert subprocess.run(["./main"], cwd=tmp_path).returncode == 0


@needs_compiler
def test_object_needs_nothing_but_memcpy_and_memset(tmp_path):
    if shutil.which("nm") is None:
        pytest.skip("no nm on this machine")
    for program in (small_program(), wide_program()):
        write_c(program, tmp_path)
        command = [str(native.compiler()), *STRICT, "-O2", "-c", "model.c"]
        subprocess.run(command, cwd=tmp_path, check=True)
        table = subprocess.run(["nm", "-u", "model.o"], cwd=tmp_path, capture_output=True, text=True).stdout
        assert {line.split()[-1] for line in table.splitlines()} <= {
            "memcpy",
            "memset",
            "_GLOBAL_OFFSET_TABLE_",
        }
        text = (tmp_path / "model.c").read_text() + (tmp_path / "kernels.h").read_text()
        assert not any(word in text for word in ("float", "double", "malloc"))


@needs_compiler
def test_a_residual_network_equals_the_reference():
    program = residual_program()
    frames = frames_for(program, 4, 2)
    expected = reference.run(program, frames)
    assert all(0.02 < layer.mean() < 0.98 for layer in expected.spikes), "silent layers prove nothing"
    found = verify(CompiledProgram(program, flags=(*STRICT, "-O3"), threads=2), expected, frames)
    assert found.exact, found.first_difference


def test_scratch_memory_is_that_of_the_values_that_live_together():
    """By hand. Chain: sums and spikes of the first layer. Graph: the stem's current in place, spikes, depthwise sums."""
    assert generate(small_program()).scratch_bytes == 5 * 64 * (2 + 1)
    source = generate(residual_program())
    assert source.scratch_bytes == 6 * 64 * (4 + 1 + 2)
    assert "add_i32_i16_i32(x1, x4, x5" in source.model_c


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 9), st.integers(0, 5)), min_size=1, max_size=20))
def test_blocks_that_live_together_lie_apart(cases):
    blocks = [Block(size, first, first + life) for size, first, life in cases]
    total = plan(blocks)
    for i, one in enumerate(blocks):
        assert one.offset % 4 == 0 and one.offset + one.size <= total
        for other in blocks[:i]:
            together = one.first <= other.last and other.first <= one.last
            apart = one.offset + one.size <= other.offset or other.offset + other.size <= one.offset
            assert apart or not together
    at_once = max(sum(b.size for b in blocks if b.first <= t <= b.last) for t in range(15))
    assert at_once <= total <= sum(-(-b.size // 4) * 4 for b in blocks)


def test_only_the_kernels_in_use_are_written():
    ops = [Flatten(), Linear(weight(np.random.default_rng(0), (2, 4), 4)), Readout([0, 0])]
    text = generate(Program("tiny", (1, 2, 2), 1, ops)).kernels_h
    assert "linear_u8" in text and "conv2d" not in text and "neuron" not in text and "sum_pool" not in text


def test_golden_frames_must_fit(tmp_path):
    program = small_program()
    for bad in (np.zeros((3, 0, 2, 8, 8), np.uint8), np.zeros((3, 1, 2, 8, 9), np.uint8)):
        with pytest.raises(DataError):
            write_c(program, tmp_path, bad)


def test_more_steps_than_a_logit_holds_are_refused():
    ops = [Flatten(), Linear(Weight(np.full((2, 2048), 255, np.uint8), 8, 8, 0)), Readout([0, 0])]
    compiled = CompiledProgram(Program("big", (2, 32, 32), 2, ops))
    with pytest.raises(ProgramError, match="3 steps could overflow a logit"):
        compiled.run(np.zeros((3, 1, 2, 32, 32), np.uint8))


def test_verify_names_the_first_difference():
    program = small_program()
    frames = frames_for(program, 4, 0)
    expected = reference.run(program, frames)
    assert verify(lambda _: expected, expected, frames).exact
    spikes = [layer.copy() for layer in expected.spikes]
    spikes[1][2, 3, 4, 1, 1] ^= 1
    spikes[1][1, 2, 4, 1, 1] ^= 1
    found = verify(lambda _: Trace(spikes, expected.logits + 1), expected, frames)
    assert (found.samples, found.equal_samples) == (4, 0)
    assert found.first_difference is not None
    assert found.first_difference.startswith("neuron layer 1, step 1, sample 2, place (4, 1, 1)")
    found = verify(lambda _: Trace(spikes, expected.logits), expected, frames)
    assert found.equal_samples == 2 and not found.exact
    with pytest.raises(DataError, match="neuron layers"):
        verify(lambda _: Trace(spikes[:1], expected.logits), expected, frames)
    empty = frames[:, :0]
    nothing = reference.run(program, empty)
    assert not verify(lambda _: nothing, nothing, empty).exact


@needs_compiler
def test_sizes_are_those_of_the_object():
    program = wide_program()
    sizes = measure(program)
    weights = sum(op.weight.bytes for op in program.ops if isinstance(op, (Conv2d, Linear)))
    vectors = 4 * (3 * 67 + 2 * 35 + 10)
    assert weights == 18 * 9 + 67 * 9 + 35 * 10
    assert sizes.bytes_weights == weights + vectors
    assert sizes.bytes_membranes == 4 * 67 * 340 + 2 * 35 + 4 * 10
    assert sizes.bytes_state == CompiledProgram(program).state_bytes
    assert 0 <= sizes.bytes_state - sizes.bytes_membranes - sizes.bytes_scratch < 32  # alignment
    assert 500 < sizes.bytes_code < 8000


@needs_compiler
def test_sizes_notice_another_array_size(monkeypatch):
    monkeypatch.setattr("rheobase.program.sizes.generate", lambda program: _lie(generate(program)))
    with pytest.raises(ProgramError, match="weights0"):
        measure(wide_program())


def _lie(source):
    source.constants["weights0"] += 1
    return source


@pytest.mark.parametrize("data", [b"", b"MZ", b"\x7fELF\x02\x01" + bytes(60), b"\x7fELF\x01\x01\xff" * 20])
def test_elf_reader_refuses_what_is_not_elf(data):
    with pytest.raises(ProgramError):
        elf.read(data)
