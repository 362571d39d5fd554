"""Programs in ONNX Runtime: equal to the reference, step by step."""

import re

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from program_cases import (
    firing_program,
    frames_for,
    graphs,
    programs,
    residual_program,
    rounded_program,
    small_program,
    weight,
)

from rheobase.errors import DataError
from rheobase.exchange import ExchangeError, export_onnx, run_onnx, to_onnx
from rheobase.program import (
    Conv2d,
    Flatten,
    Linear,
    Neuron,
    Program,
    Readout,
    Rescale,
    Weight,
    ranges,
    reference,
)

onnx = pytest.importorskip("onnx", reason="ONNX files need onnx: pip install 'rheobase[onnx]'")
pytest.importorskip("onnxruntime", reason="running ONNX files needs onnxruntime")

PLAIN_CONV = 9  # place of the convolution of a current in residual_program


def running(program: Program, frames: np.ndarray) -> np.ndarray:
    return np.cumsum(reference.run(program, frames).logits, axis=0)


def small_residual() -> Program:
    """`residual_program` with sums of weights below 2^24: the wide current is brought down first."""
    ops = list(residual_program().ops)
    w = Weight(np.random.default_rng(3).integers(0, 2, (5, 6, 1, 1), dtype=np.uint8), 1, 2, -1)
    ops[PLAIN_CONV] = Conv2d(w, stride=2, inputs=(5,), name="of_a_current")
    return residual_program(ops=ops)


@pytest.mark.parametrize(
    "program",
    [
        small_program(1),
        small_program(8, T=1),
        rounded_program(2),
        rounded_program(4),
        rounded_program(8),
        small_residual(),
        firing_program(),
    ],
    ids=lambda program: f"{program.name}-T{program.T}",
)
def test_running_logits_equal_the_reference(program, tmp_path):
    frames = frames_for(program, 9, 5)
    path = export_onnx(program, tmp_path / "program.onnx")
    found = run_onnx(path, program, frames)
    assert found.dtype == np.int32
    assert np.array_equal(found, running(program, frames))
    assert len(np.unique(found)) > 3
    assert np.array_equal(run_onnx(path, program, frames[:, :1]), found[:, :1])  # any N


@given(st.one_of(programs(), graphs(), graphs(signals=True)), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_random_programs_equal_the_reference(tmp_path_factory, program, seed):
    path = tmp_path_factory.mktemp("onnx") / "program.onnx"
    try:
        export_onnx(program, path)
    except ExchangeError as error:
        assert re.search("exact only below 2\\^24|(Delay|Recurrent\\w+) .*has no form in ONNX", str(error)), (
            error
        )
        assume(False)
    frames = frames_for(program, 3, seed)
    assert np.array_equal(run_onnx(path, program, frames), running(program, frames))


def wide(gain: int, shift: int = 0) -> Program:
    """One neuron layer behind gains that bring its current beyond 2^24."""
    rng = np.random.default_rng(0)
    ops = [
        Flatten(),
        Linear(weight(rng, (5, 8), 4)),
        Rescale(np.full(5, gain), np.full(5, 1), shift),
        Neuron(np.full(5, 3 * gain), np.full(5, -1), 1, saturation=(1 << 30) - 1, bits=32),
        Linear(weight(rng, (3, 5), 4)),
        Readout(np.zeros(3, int)),
    ]
    return Program("wide", (2, 2, 2), 4, ops)


def test_integers_beyond_float32_are_held_in_float64(tmp_path):
    program = wide(4001)
    widest = ranges.analyse(program)[2].widest
    assert widest > 1 << 25
    frames = np.random.default_rng(1).integers(0, 256, (4, 40, 2, 2, 2), dtype=np.uint8)
    reached = program.ops[2].run(program.ops[1].run(program.ops[0].run(frames)))
    assert np.any(reached.astype(np.float32) != reached)  # float32 would have rounded
    path = export_onnx(program, tmp_path / "program.onnx")
    assert np.array_equal(run_onnx(path, program, frames), running(program, frames))


def test_products_beyond_32_bits_are_exact(tmp_path):
    program = wide(1 << 20, 22)
    assert ranges.analyse(program)[2].product > 1 << 33
    frames = np.random.default_rng(1).integers(0, 256, (4, 40, 2, 2, 2), dtype=np.uint8)
    path = export_onnx(program, tmp_path / "program.onnx")
    assert np.array_equal(run_onnx(path, program, frames), running(program, frames))


def test_sums_of_weights_beyond_float32_are_refused_by_name():
    with pytest.raises(ExchangeError, match=r"op 9 Conv2d 'of_a_current' can reach \d+, .* float32"):
        to_onnx(residual_program())


def test_unknown_ops_are_refused():
    class Other(Flatten):
        pass

    program = small_program()
    ops = [*program.ops[:5], Other(), *program.ops[6:]]
    with pytest.raises(ExchangeError, match="op 5 Other has no form in ONNX"):
        to_onnx(small_program(ops=ops))


def test_the_model_says_what_it_is():
    program = small_program(logit_scale=0.25)
    model = to_onnx(program)
    facts = {entry.key: entry.value for entry in model.metadata_props}
    assert facts == {"rheobase_digest": program.digest(), "logit_scale": "0.25"}
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 18)]
    assert model.SerializeToString() == to_onnx(program).SerializeToString()


def test_frames_of_other_steps_or_types_are_refused(tmp_path):
    program = small_program()
    path = export_onnx(program, tmp_path / "program.onnx")
    with pytest.raises(ExchangeError, match="T=3, the frames have 2"):
        run_onnx(path, program, frames_for(program, 2, 0, steps=2))
    with pytest.raises(DataError, match="takes uint8 frames"):
        run_onnx(path, program, frames_for(program, 2, 0).astype(np.float32))
