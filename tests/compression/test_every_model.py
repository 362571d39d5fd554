"""Every registered model, in every form that its options give it, leaves as C that equals it."""

import ctypes
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from graph_cases import used

from rheobase.compression import QuantConfig, harden, quantise_
from rheobase.errors import LatticeError
from rheobase.layers import HeadScale
from rheobase.models import SpikingModel, create_model, family_of, list_models, model_options
from rheobase.neurons import NeuronConfig
from rheobase.neurons.saccadic import SaccadicNeuron
from rheobase.program import Trace, compare
from rheobase.program.lower import lower
from rheobase.spiketime import program as spiketime
from rheobase.training.export import hardened_trace

sys.path.append(str(Path(__file__).parents[1] / "program"))
from fuzz_programs import COMPILERS, Case, build, runner_of, unit
from test_program_c99 import needs_compiler

T = 2
ELSEWHERE = {
    "spike_time": "neurons that fire once, at a time: these have programs of their own, `spiketime.program`"
}
NARROW: dict[str, dict[str, Any]] = {
    "bestformer": {"width": 16, "heads": 2, "depth": 1},
    "meta_spikeformer": {"dims": [4, 4, 8, 8], "heads": 2, "blocks": [1, 1], "mlp_ratio": 1},
    "qkformer": {"dim": 16, "heads": 2, "mlp_ratio": 1},
    "sdt": {"dim": 16, "heads": 2, "depth": 1, "mlp_ratio": 1},
    "sdt_v3": {"dims": [4, 4, 8, 8], "heads": 2, "blocks": [1, 1], "mlp_ratio": 1},
    "sequence": {"hidden": [8, 6]},
    "snn_vit": {"dim": 16, "heads": 2, "depth": 1, "mlp_ratio": 1},
    "snn_vit_pyramid": {"dims": [4, 4, 8, 8], "heads": 2, "blocks": [1, 1], "mlp_ratio": 1},
    "spikformer": {"dim": 16, "heads": 2, "depth": 1, "mlp_ratio": 1},
    "spikingformer": {"dim": 16, "heads": 2, "depth": 1, "mlp_ratio": 1},
}
FORMS: dict[str, list[dict[str, Any]]] = {
    "bestformer_small": [
        {"order": "kv_first", "lam": "none", "two_heads": False},
        {"binary_attention": False, "reversible": False},
    ],
    "meta_spikeformer_small": [{"order": "quadratic"}],
    "qkformer_small": [{"over": "channel", "pool": "currents", "order": "quadratic"}],
    "sdt_small": [{"erode": "spatial"}],
    "sdt_v3_small": [{"order": "quadratic", "levels": 9}],
    "snn_vit_small": [
        {"attention": "spiking", "residual": "spike"},
        {"mode": "v2b", "gl_dilation": None, "saccadic": {"infer": "decoupled", "sharing": "head"}},
        {"memory_gate": "lif", "salience_norm": "bn"},
        {
            "salience_norm": "none",
            "saccadic": {"sharing": "head"},
            "residual": "spike",
            "down": ["none", "pool", "stride", "pool"],
            "rpe": True,
        },
    ],
    "spikformer_small": [{"order": "quadratic"}],
    "spikingformer_small": [{"order": "quadratic"}],
    "spiking_mlp": [{"norm": False, "convs": [{"channels": 4, "kernel": 3, "stride": 2, "delays": [0, 1]}]}],
    "spiking_rnn": [{"norm": False, "delays": [[0, 2]], "readout": [0, 1]}],
}
"""What changes the graph and no model here has by default; `auto` is the order `linear` at these sizes."""
TERNARY = [
    "bestformer_small",
    "ms_resnet18",
    "qkformer_small",
    "sdt_event",
    "snn_vit_small",
    "spikformer_small",
    "spiking_rnn",
]
OTHER_HEAD = {"gap": "flatten", "flatten": "gap"}


def model(name: str, options: dict[str, Any], **chosen: Any) -> SpikingModel:
    """A narrow model with fresh weights."""
    torch.manual_seed(0)
    family = family_of(name)
    narrow = dict(NARROW.get(family, {}))
    if family == "qkformer":
        narrow["blocks"] = [1 for _ in model_options(name)["blocks"]]
    sizes: dict[str, Any] = {"input_size": (9, 1) if family == "sequence" else (24, 24), "T": T}
    sizes |= {"width": 0.0625} if family in ("vgg", "resnet", "ms_resnet") else {}
    return create_model(name, num_classes=3, options=narrow | options, **sizes, **chosen)


def trained(fresh: SpikingModel) -> SpikingModel:
    """Quantised, with gains of both signs, and numbers by step and by head that differ."""
    with torch.no_grad():
        for module in fresh.modules():
            if isinstance(module, HeadScale | SaccadicNeuron):
                for parameter in module.parameters():
                    parameter += 0.3 * torch.rand_like(parameter)
    return used(quantise_(fresh, QuantConfig()), 1)


def forms(family: str) -> dict[str, SpikingModel]:
    """The models of a family, fresh and narrow; names that differ in nothing but their sizes are one model then."""
    found = {}
    for name in (name for name in list_models() if family_of(name) == family):
        made = [model(name, options) for options in [{}, *FORMS.get(name, [])]]
        if name in TERNARY:
            neuron = NeuronConfig(ternary=True, v_reset=0.0)
            made.append(model(name, {}, neuron=neuron, head=OTHER_HEAD[made[0].config.head]))
        found |= {str(fresh.config.model_copy(update={"name": family})): fresh for fresh in made}
    return found


def exported(fresh: SpikingModel, number: int) -> tuple[Case, Trace]:
    """The program of a model with frames, and what the hardened model makes of them; the reference must have made the same."""
    hardened = harden(trained(fresh))
    case = Case(lower(hardened, name="model", T=T), number=number)
    expected = hardened_trace(hardened, case.frames)
    found = compare(case.expected, expected)
    assert found.exact, f"{fresh.config}: {found.first_difference}"
    assert any(spikes.any() for spikes in expected.spikes)
    return case, expected


@needs_compiler
@pytest.mark.parametrize(
    "family", sorted({family_of(name) for name in list_models() if name not in ELSEWHERE})
)
def test_every_form_of_every_model_equals_its_c(family, tmp_path):
    """The hardened model, the reference and C, which is compiled for all of a family at once."""
    every = forms(family)
    cases, expected = zip(*(exported(each, i) for i, each in enumerate(every.values())), strict=True)
    path = tmp_path / "family.so"
    build(COMPILERS[0], ["-shared", "-fPIC", "-DRHEOBASE_TRACE", "-O0"], unit(cases), path)
    library = ctypes.CDLL(str(path))
    for config, case, trace in zip(every, cases, expected, strict=True):
        found = compare(runner_of(case, library).run_traced(case.frames), trace)
        assert found.exact, f"{config}: {found.first_difference}"


@needs_compiler
@pytest.mark.parametrize("rule", ["rel_psp", "std_ed"])
def test_models_of_spike_times_equal_the_c_of_their_own_programs(rule):
    """They are refused here, and lowered there; the rules of the other two papers have no program."""
    assert set(ELSEWHERE) == {name for name in list_models() if family_of(name) == "spike_time"}
    chosen = {"num_classes": 3, "input_size": (4, 4), "input_unit": 1 / 255}
    fresh = create_model("spike_time", options={"layers": "6", "rule": {"name": rule}}, **chosen).eval()
    with pytest.raises(LatticeError):
        harden(fresh)
    program = spiketime.lower(fresh, ticks=64)
    x = np.random.default_rng(0).integers(0, 256, (1, 9, 2, 4, 4)).astype(np.uint8)
    expected, found = spiketime.reference.run(program, x), spiketime.CompiledProgram(program).run(x)
    assert np.array_equal(found.result, expected.result) and len(np.unique(expected.result)) > 3
