import io

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from rich.console import Console

from rheobase.errors import DataError, RecipeError
from rheobase.models import create_model
from rheobase.objectives import StableSpike
from rheobase.training import (
    ArrayFrames,
    AugmentConfig,
    Callback,
    DivergenceError,
    OptimiserConfig,
    TrainConfig,
    fit,
)
from rheobase.training.progress import TrainingProgress

QUICK = TrainConfig(epochs=6, batch_size=8, threads=1)


def small(seed=0):
    torch.manual_seed(seed)
    return create_model("vgg_small", num_classes=2, input_size=(8, 8), width=0.25)


@pytest.mark.parametrize(
    "optimiser",
    [OptimiserConfig(lr=0.05), OptimiserConfig(name="adam", lr=0.01), OptimiserConfig(name="adamw", lr=0.01)],
)
def test_it_learns(frames, optimiser):
    history = fit(small(), frames, validation=frames, optimiser=optimiser, train=QUICK, quiet=True)
    assert [row["epoch"] for row in history] == [1, 2, 3, 4, 5, 6]
    assert history[-1]["train_loss"] < 0.7 * history[0]["train_loss"]
    assert history[-1]["train_accuracy"] > 0.9
    layers = [value for name, value in history[-1].items() if name.startswith("rate/")]
    assert len(layers) == 4
    assert min(layers) <= history[-1]["rate"] <= max(layers)


def test_parts_of_the_loss_add_up(frames):
    row = fit(small(), frames, StableSpike(), train=QUICK, quiet=True)[-1]
    parts = row["train_cross_entropy"] + row["train_spike_consistency"] + row["train_noise_consistency"]
    assert row["train_loss"] == pytest.approx(parts, rel=1e-5)
    assert "validation_loss" not in row


def test_the_same_seed_gives_the_same_model(frames):
    nets = [small(), small()]
    rows = [
        fit(net, frames, StableSpike(), train=QUICK, augment=AugmentConfig(shift=1), quiet=True)
        for net in nets
    ]
    for one, two in zip(*rows, strict=True):
        assert {**one, "seconds": 0} == {**two, "seconds": 0}
    for one, two in zip(*(net.parameters() for net in nets), strict=True):
        assert torch.equal(one, two)


def test_half_precision(frames):
    history = fit(
        small(), frames, StableSpike(), train=QUICK.model_copy(update={"precision": "bf16"}), quiet=True
    )
    assert history[-1]["train_loss"] < history[0]["train_loss"]


def test_divergence_names_epoch_and_step(frames):
    class Break(Callback):
        def epoch_ended(self, state):
            with torch.no_grad():
                next(state.model.head.parameters()).fill_(float("nan"))

    with pytest.raises(DivergenceError, match=r"nan at epoch 2, step 1 .*lower optimiser.lr"):
        fit(small(), frames, train=QUICK, callbacks=[Break()], quiet=True)


def test_what_does_not_fit_is_found_first(frames):
    class Never(Callback):
        def started(self, state):
            raise AssertionError("training started")

    one = ArrayFrames(frames.frames[:, :1], frames.labels)
    with pytest.raises(DataError, match="T >= 2"):
        fit(small(), one, StableSpike(), callbacks=[Never()], quiet=True)
    wide = ArrayFrames(np.zeros((4, 3, 2, 16, 16), np.uint8), np.arange(4) % 2)
    with pytest.raises(DataError, match="expects"):
        fit(small(), wide, callbacks=[Never()], quiet=True)
    three = ArrayFrames(frames.frames, np.arange(40) % 3)
    with pytest.raises(DataError, match="labels are 0 to 2; a model of 2 classes"):
        fit(small(), three, callbacks=[Never()], quiet=True)
    with pytest.raises(DataError, match="0 rows of frames and 0 labels"):
        fit(small(), ArrayFrames(frames.frames[:0], frames.labels[:0]), callbacks=[Never()], quiet=True)
    with pytest.raises(RecipeError, match="head"):
        fit(torch.nn.Identity(), frames, StableSpike(), callbacks=[Never()], quiet=True)


def test_threads_are_given_back(frames):
    before = torch.get_num_threads()
    fit(small(), frames, train=TrainConfig(epochs=1, threads=before + 1), quiet=True)
    assert torch.get_num_threads() == before


def test_a_callers_fabric_is_used(frames):
    fabric = Fabric(accelerator="cpu", devices=1)
    assert len(fit(small(), frames, train=TrainConfig(epochs=1, threads=1), fabric=fabric, quiet=True)) == 1


def test_silent_layers_are_reported_once(frames):
    class Look(Callback):
        def epoch_ended(self, state):
            self.warnings = list(state.warnings)

    blank, look = ArrayFrames(np.zeros_like(frames.frames), frames.labels), Look()
    net = small()
    for name, parameter in net.named_parameters():
        if "norm1.bias" in name:
            torch.nn.init.constant_(parameter, -5)
    slow = OptimiserConfig(lr=1e-9)
    fit(net, blank, validation=blank, optimiser=slow, train=QUICK, callbacks=[look], quiet=True)
    assert sum("'features.neuron1' is dead" in warning for warning in look.warnings) == 1
    assert look.warnings[0].startswith("epoch 2: ")


def test_one_line_an_epoch_without_a_terminal(frames, capsys):
    fit(small(), frames, train=TrainConfig(epochs=2, threads=1))
    lines = capsys.readouterr().out.splitlines()
    assert [line[:9] for line in lines] == ["epoch 1/2", "epoch 2/2"]


def test_a_bar_in_a_terminal():
    screen = Console(file=io.StringIO(), force_terminal=True, color_system=None, width=120)
    with TrainingProgress(2, 3, done=1, console=screen) as progress:
        progress.step(2, 0.5)
        progress.epoch({"epoch": 2, "train_loss": 0.5, "train_accuracy": 0.75, "seconds": 1.0, "rate": 0.1})
        progress.note("a [bracket]")
    assert "4/6" in screen.file.getvalue()
    assert "a [bracket]" in screen.file.getvalue()
