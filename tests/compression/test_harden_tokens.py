"""Spiking transformers on the lattice: attention, gates, saccadic neurons, pooled and dilated currents, two streams."""

import sys
from pathlib import Path

import pytest
import torch
from graph_cases import frames, straying, used
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_harden_graphs import hardened_or_refused
from token_cases import BLOCKS, NEURONS, STEPS, transformer, transformers

from rheobase import native
from rheobase.compression import account, harden
from rheobase.neurons import NeuronConfig
from rheobase.program import (
    CompiledProgram,
    compare,
    load,
    measure,
    reference,
    save,
)
from rheobase.program.lower import lower
from rheobase.training.export import hardened_trace

sys.path.append(str(Path(__file__).parents[1] / "program"))
from program_cases import slow
from test_program_c99 import STRICT

needs_compiler = pytest.mark.skipif(native.compiler() is None, reason="no C compiler on this machine")
SLOW = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.filter_too_much]}


def lowered(model, T=STEPS):
    hardened = hardened_or_refused(model)
    return hardened, lower(hardened, name="toy", T=T)


@settings(max_examples=12, **SLOW)
@given(transformers(), st.integers(0, 1000))
def test_hardened_reference_and_slow_interpreter_agree_on_random_transformers(model, seed):
    hardened, program = lowered(used(model, seed))
    x = frames(seed, model, samples=1, steps=STEPS)
    x[0, 0, :, 0] = 255
    expected = hardened_trace(hardened, x)
    found = compare(reference.run(program, x), expected)
    assert found.exact, found.first_difference
    spikes, logits = slow(program, x[:, 0])
    assert expected.logits[:, 0].tolist() == logits
    for layer, by_hand in zip(expected.spikes, spikes, strict=True):
        assert layer[:, 0].tolist() == by_hand


@needs_compiler
@pytest.mark.parametrize("kind", BLOCKS)
def test_every_block_leaves_as_c_as_it_was_trained(kind, tmp_path):
    """float, quantised, hardened, program, file, C."""
    model = used(transformer([kind], NeuronConfig(), heads=2, seed=len(kind)), 1)
    hardened, program = lowered(model)
    x = frames(3, model, samples=3, steps=STEPS)
    expected = hardened_trace(hardened, x)
    assert all(spikes.any() and not spikes.all() for spikes in expected.spikes), "such layers prove nothing"
    save(program, tmp_path / "toy.safetensors")
    again = load(tmp_path / "toy.safetensors")
    assert again.digest() == program.digest()
    found = compare(CompiledProgram(again, flags=(*STRICT, "-O2")).run_traced(x), expected)
    assert found.exact, found.first_difference
    counted, compiled = account(program), measure(program)
    assert counted.constants == compiled.bytes_weights and counted.state == compiled.bytes_membranes


@torch.no_grad()
@pytest.mark.parametrize("neuron", NEURONS[:2], ids=["soft", "hard"])
@pytest.mark.parametrize("kind", BLOCKS)
def test_hardened_follows_the_quantised_model_layer_by_layer(kind, neuron):
    model = used(transformer([kind], NeuronConfig.model_validate(neuron), heads=2), 2)
    x = frames(5, model, samples=24, steps=STEPS)
    hardened = harden(model)
    trace = hardened_trace(hardened, x)
    given_spikes = dict(zip(hardened.neurons(), trace.spikes, strict=True))
    found = straying(model, given_spikes, x)
    assert found.keys() == given_spikes.keys()
    assert max(found.values()) < 4e-3, found
