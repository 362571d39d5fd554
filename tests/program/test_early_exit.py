"""Early exit: Python against a plain loop, C against Python, and what calibration promises."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from program_cases import frames_for, small_program

from rheobase import native
from rheobase.errors import DataError, ProgramError
from rheobase.program import CompiledProgram, early_exit, reference

needs_compiler = pytest.mark.skipif(native.compiler() is None, reason="no C compiler on this machine")


def stopped(logits, margin):
    """One sample in plain Python: class and steps."""
    running = [0] * logits.shape[1]
    for t, step in enumerate(logits, 1):
        running = [a + int(b) for a, b in zip(running, step, strict=True)]
        best, second = sorted(running, reverse=True)[:2]
        if best - second >= margin or t == len(logits):
            return running.index(best), t
    raise AssertionError


@st.composite
def decided(draw):
    rng = np.random.default_rng(draw(st.integers(0, 1 << 30)))
    T, N, K = draw(st.integers(1, 5)), draw(st.integers(1, 12)), draw(st.integers(2, 5))
    logits = rng.integers(-9, 10, (T, N, K))
    labels = rng.integers(0, K, N)
    logits[:, np.arange(N), labels] += draw(st.integers(0, 6))
    return logits, labels


@given(decided(), st.integers(0, 30))
def test_stops_where_a_plain_loop_does(given_, margin):
    logits, labels = given_
    expected = [stopped(logits[:, n], margin) for n in range(len(labels))]
    assert early_exit.exit_steps(logits, margin).tolist() == [steps for _, steps in expected]
    found = early_exit.evaluate(logits, labels, margin)
    assert found.accuracy == pytest.approx(np.mean([k for k, _ in expected] == labels))
    assert found.mean_steps == pytest.approx(np.mean([steps for _, steps in expected]))


@given(decided(), st.sampled_from([0.0, 0.1, 0.5, 1.0]))
def test_calibration_keeps_its_word_and_is_the_smallest(given_, lost):
    logits, labels = given_
    full = early_exit.evaluate(logits, labels, early_exit.NEVER)
    assert full.mean_steps == len(logits)
    chosen = early_exit.calibrate(logits, labels, lost)
    assert chosen == early_exit.evaluate(logits, labels, chosen.margin)
    assert chosen.accuracy >= full.accuracy - lost - 1e-9
    if lost == 1:
        assert chosen.margin == 0 and chosen.mean_steps == 1
    below = [m for m in early_exit.margins(logits)[:-1].ravel().tolist() if m < chosen.margin]
    if below:  # the next smaller margin that stops another sample earlier loses more
        assert early_exit.evaluate(logits, labels, max(below)).accuracy < full.accuracy - lost
    table = early_exit.curve(logits, labels)
    steps = [one.mean_steps for one in table]
    assert steps == sorted(steps) and table[-1].mean_steps == len(logits)
    assert table[-1].accuracy == full.accuracy


def test_what_cannot_be_decided_is_refused():
    with pytest.raises(DataError, match="two classes"):
        early_exit.margins(np.zeros((3, 2, 1), int))
    with pytest.raises(DataError, match="labels"):
        early_exit.curve(np.zeros((3, 2, 4), int), np.zeros(3, int))
    with pytest.raises(DataError, match="fraction"):
        early_exit.calibrate(np.zeros((3, 2, 4), int), np.zeros(2, int), 2.0)


@needs_compiler
@settings(max_examples=8)
@given(st.integers(0, 1000))
def test_the_c_stops_where_python_does(seed):
    program = small_program()
    frames = frames_for(program, 12, seed)
    logits = reference.run(program, frames).logits
    compiled = CompiledProgram(program)
    margins = np.unique(early_exit.margins(logits))
    for margin in [0, *margins[:: max(1, len(margins) // 4)].tolist(), early_exit.NEVER]:
        classes, steps = compiled.run_until(frames, margin)
        assert steps.tolist() == early_exit.exit_steps(logits, margin).tolist()
        running = np.cumsum(logits, axis=0)[steps - 1, np.arange(len(steps))]
        assert classes.tolist() == running.argmax(-1).tolist()
    with pytest.raises(ProgramError, match="margin"):
        compiled.run_until(frames, -1)
