"""What `auto` becomes, that a run keeps it, and that bf16 learns as well as float32."""

import os

import pytest
import torch

from rheobase.datasets import DataConfig, load_dataset
from rheobase.errors import RecipeError
from rheobase.models import create_model
from rheobase.objectives import StableSpike
from rheobase.training import (
    ArrayFrames,
    OptimiserConfig,
    TrainConfig,
    arithmetic,
    fit,
    load_recipe,
    parse_recipe,
    train,
)


@pytest.mark.parametrize(("hardware", "expected"), [(True, "bf16"), (False, "32")])
def test_auto_is_what_the_machine_does_in_hardware(monkeypatch, hardware, expected):
    monkeypatch.setattr(arithmetic, "has_bf16", lambda device=None: hardware)
    settled = arithmetic.settle(TrainConfig())
    assert (settled.precision, settled.channels_last) == (expected, True)
    chosen = TrainConfig(precision="32", channels_last=False)
    assert arithmetic.settle(chosen) == chosen


def test_a_processor_without_bf16_instructions(monkeypatch):
    monkeypatch.setattr(arithmetic.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False, raising=False)
    assert not arithmetic.has_bf16("cpu")
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True, raising=False)
    assert arithmetic.has_bf16("cpu")


def test_yaml_spellings(values):
    for given, expected in ((32, "32"), ("32", "32"), ("bf16", "bf16"), ("auto", "auto")):
        assert parse_recipe({**values, "train": {"precision": given}}).train.precision == expected
    with pytest.raises(RecipeError, match=r"train\.precision.*'auto', '32' or 'bf16'.*got '16'"):
        parse_recipe({**values, "train": {"precision": "16"}})


def test_a_resumed_run_keeps_the_arithmetic_it_began_with(recipe, tmp_path, monkeypatch):
    """Begun without bf16, resumed on a machine with it: the folder's recipe decides, and nothing is refused."""
    monkeypatch.setattr(arithmetic, "has_bf16", lambda device=None: False)
    train(recipe, tmp_path / "run", quiet=True, evaluate=False)
    assert load_recipe(tmp_path / "run" / "recipe.yaml").train.precision == "32"
    monkeypatch.setattr(arithmetic, "has_bf16", lambda device=None: True)
    assert (
        train(recipe, tmp_path / "run", resume=True, quiet=True, evaluate=False).recipe.train.precision
        == "32"
    )


def test_the_model_is_given_back_contiguous(frames):
    model = create_model("vgg_small", num_classes=2, input_size=(8, 8), width=0.25)
    with arithmetic.layout(model, True):
        assert model.features.conv2.weight.is_contiguous(memory_format=torch.channels_last)
        assert not model.features.conv2.weight.is_contiguous()
    assert model.features.conv2.weight.is_contiguous()


def test_strided_pointwise_convolutions_of_few_channels_stay_contiguous():
    """Channels last, their backward pass writes outside its memory (a fault of oneDNN)."""
    narrow = create_model("ms_resnet18", num_classes=2, in_channels=2, input_size=(16, 16), width=0.0625)
    wide = create_model("ms_resnet18", num_classes=2, in_channels=2, input_size=(16, 16), width=0.25)
    for model, expected in ((narrow, False), (wide, True)):
        with arithmetic.layout(model, True):
            weight = model.features.stage1_block1.conv1.weight
            assert weight.is_contiguous(memory_format=torch.channels_last) is expected


def test_layouts_learn_the_same(frames):
    """One epoch of few steps: float32 sums in another order, which decide hardly any spike."""
    rows = []
    for channels_last in (False, True):
        torch.manual_seed(0)
        model = create_model("vgg_small", num_classes=2, input_size=(8, 8), width=0.25)
        settings = TrainConfig(epochs=1, batch_size=20, threads=1, channels_last=channels_last)
        rows.append(fit(model, frames, StableSpike(), train=settings, quiet=True)[-1])
    assert rows[0]["train_loss"] == pytest.approx(rows[1]["train_loss"], rel=1e-3)


def test_bf16_learns_nmnist_as_well_as_float32():
    """Within 8 points on the 100 test recordings (one point each), and far above chance, with one seed each."""
    if not os.environ.get("RHEOBASE_DATA"):
        pytest.skip("needs N-MNIST: set RHEOBASE_DATA to a folder with nmnist_small.zip")
    data = load_dataset(DataConfig(name="nmnist", T=2, binning="count"))
    some = ArrayFrames(data.train.frames[:600], data.train.labels[:600])
    accuracy = {}
    for precision in ("32", "bf16"):
        torch.manual_seed(0)
        model = create_model("vgg_small", num_classes=10, input_size=data.sensor, width=0.5)
        settings = TrainConfig.model_validate({"epochs": 6, "batch_size": 32, "precision": precision})
        rows = fit(
            model,
            some,
            StableSpike(),
            validation=data.test,
            optimiser=OptimiserConfig(lr=0.1),
            train=settings,
            quiet=True,
        )
        accuracy[precision] = rows[-1]["validation_accuracy"]
    assert accuracy["32"] > 0.8, accuracy
    assert accuracy["bf16"] > accuracy["32"] - 0.08, accuracy
