"""The fuzz of `make fuzz`, a few graphs long, and that it would find a difference."""

from dataclasses import replace

import pytest
from fuzz_programs import COMPILERS, Case, Mismatch, check, fuzz
from program_cases import attention_program, small_program
from test_program_c99 import needs_compiler

pytestmark = needs_compiler


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_random_graphs_in_batches(compiler):
    if compiler not in COMPILERS:
        pytest.skip(f"{compiler} is not installed")
    number, seen = fuzz(12, compilers=[compiler], levels=["-O1"])
    assert number == 12 and sum(seen.values()) > 12 * 4


def test_a_difference_is_found_and_named(tmp_path):
    """Two graphs, the second compared with what another program gives: a bias that is 1 higher."""
    program = small_program()
    readout = replace(program.ops[-1], bias=program.ops[-1].bias + 1)
    other = Case(small_program(ops=[*program.ops[:-1], readout]), number=1)
    wrong = Case(program, number=1)
    object.__setattr__(wrong, "expected", other.expected)
    with pytest.raises(Mismatch, match=r"graph 1: .*logits, step 0") as found:
        check([Case(attention_program()), wrong], tmp_path, COMPILERS[:1], ["-O0"])
    assert found.value.case is wrong
