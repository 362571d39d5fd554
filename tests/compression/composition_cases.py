"""What composes with what, tried out: every quantiser with every other option, trained, pruned, hardened, lowered, run.

python tests/compression/composition_cases.py docs/composition.md      # writes the table into the page anew
"""

import sys
from pathlib import Path

import numpy as np
import torch

from rheobase.compression import QuantConfig, harden, quantise_, quantiser_config
from rheobase.compression.pruning import PruneConfig, prune_
from rheobase.errors import LatticeError
from rheobase.models import create_model
from rheobase.neurons import NeuronConfig
from rheobase.objectives import CrossEntropyConfig, StableSpikeConfig, WSDRConfig, build_objective
from rheobase.program import reference
from rheobase.program.lower import lower
from rheobase.training import ArrayFrames, TrainConfig, fit
from rheobase.training.loader import as_input

START, END = "<!-- table: start -->", "<!-- table: end -->"
RNG = np.random.default_rng(1)
FRAMES = RNG.poisson(0.6, (16, 2, 2, 16, 16)).astype(np.uint8)
DATA = ArrayFrames(FRAMES, RNG.integers(0, 4, 16))

QUANTISERS = {
    "rescaw, 2 bit": ("rescaw", {"bits": 2}),
    "uniform, 4 bit": ("uniform", {"bits": 4}),
    "libra, 1 bit": ("libra", {}),
    "irnet, 1 bit": ("irnet", {}),
    "bwn, 1 bit": ("bwn", {}),
    "lsq, 4 bit": ("lsq", {"bits": 4}),
    "dorefa, 3 bit": ("dorefa", {"bits": 3}),
    "ternary": ("ternary", {}),
    "mint, 4 bit": ("mint", {"bits": 4}),
    "max_abs, 8 bit": ("max_abs", {"bits": 8}),
}
NEURONS = {
    "8-bit tanh membranes": {"membrane": {"name": "tanh", "bits": 8}, "v_reset": 0.0},
    "4-bit SQUAT membranes": {"membrane": {"name": "squat", "bits": 4}},
    "2-bit uniform membranes": {"membrane": {"name": "uniform", "bits": 2}, "v_reset": 0.0},
    "PLIF": {"kind": "plif"},
    "ternary spikes": {"ternary": True},
}
OBJECTIVES = {"Stable Spike": StableSpikeConfig(), "WS-DR": WSDRConfig()}
COLUMNS = ["alone", "SVS 50 %", *OBJECTIVES, *NEURONS, "everything", "residual network"]


def outcome(row: str, column: str) -> str:
    """`program`: trains, hardens, and the program's logits are the hardened model's. `trains`: `harden` refuses it."""
    torch.manual_seed(0)
    everything = column == "everything"
    neuron = NeuronConfig.model_validate(NEURONS.get("8-bit tanh membranes" if everything else column, {}))
    residual = column == "residual network"
    model = create_model(
        "ms_resnet18" if residual else "vgg_small",
        num_classes=4,
        in_channels=2,
        input_size=(16, 16),
        width=0.0625 if residual else 0.25,
        neuron=neuron,
    )
    name, options = QUANTISERS[row]
    quantise_(model, QuantConfig(weights=quantiser_config(name, **options)))
    objective = build_objective(
        OBJECTIVES.get("Stable Spike" if everything else column, CrossEntropyConfig())
    )
    fit(model, DATA, objective, train=TrainConfig(epochs=4, batch_size=4), quiet=True)
    if column == "SVS 50 %" or everything:
        prune_(model, PruneConfig(score="svs", ratio=0.5), as_input(FRAMES))
        fit(model, DATA, objective, train=TrainConfig(epochs=2, batch_size=4), quiet=True)
    try:
        hardened = harden(model.eval())
    except LatticeError:
        return "trains"
    program = lower(hardened, name="tried", T=2)
    found = reference.run(program, np.ascontiguousarray(FRAMES.swapaxes(0, 1)))
    assert np.array_equal(found.logits, hardened(as_input(FRAMES)).numpy()), (row, column)
    assert found.spikes[0].any(), "a silent network proves nothing"
    return "program"


def table() -> list[list[str]]:
    """Header and rows as they stand in the page."""
    return [["weights", *COLUMNS]] + [[row, *(outcome(row, c) for c in COLUMNS)] for row in QUANTISERS]


def read(page: str) -> list[list[str]]:
    """The table of a page."""
    lines = page.partition(START)[2].partition(END)[0].strip().splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [cells[0], *cells[2:]]


def write(path: Path) -> None:
    """Put the table into a page, between its marks."""
    rows = table()
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines.insert(1, "|" + " --- |" * len(rows[0]))
    before, _, rest = path.read_text().partition(START)
    after = rest.partition(END)[2]
    path.write_text(before + START + "\n\n" + "\n".join(lines) + "\n\n" + END + after)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
