import json

import pytest
import torch
from torch import nn

from rheobase.errors import CheckpointError
from rheobase.training import Checkpoint, load_checkpoint, load_model_tensors, save_checkpoint


def stepped(kind=torch.optim.AdamW, seed=0):
    """A model and its optimiser after two steps."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    optimiser = kind(model.parameters(), lr=0.1)
    for _ in range(2):
        optimiser.zero_grad()
        model(torch.randn(5, 3)).square().sum().backward()
        optimiser.step()
    return model, optimiser


def saved(folder, epoch=2):
    model, optimiser = stepped()
    save_checkpoint(folder, Checkpoint(epoch, model.state_dict(), optimiser.state_dict(), {"a": [1]}))
    return model, optimiser


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW])
def test_model_and_optimiser_come_back(tmp_path, kind):
    model, optimiser = stepped(kind)
    save_checkpoint(tmp_path, Checkpoint(2, model.state_dict(), optimiser.state_dict(), {"a": [1]}))
    found = load_checkpoint(tmp_path)
    assert (found.epoch, found.notes) == (2, {"a": [1]})
    other, fresh = stepped(kind, seed=1)
    load_model_tensors(other, found.model)
    fresh.load_state_dict(found.optimiser)
    x = torch.randn(5, 3)
    for net, opt in ((model, optimiser), (other, fresh)):
        opt.zero_grad()
        net(x).square().sum().backward()
        opt.step()
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name])


def test_only_the_newest_stays(tmp_path):
    saved(tmp_path, 1)
    (tmp_path / ".checkpoint-2.safetensors.x.part").write_text("left by a kill")
    saved(tmp_path, 2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint-2.safetensors", "checkpoint.json"]


def test_tied_and_strided_tensors(tmp_path):
    weight = torch.arange(6.0).reshape(2, 3)
    save_checkpoint(tmp_path, Checkpoint(1, {"a": weight, "b": weight, "c": weight.t()}))
    found = load_checkpoint(tmp_path).model
    assert torch.equal(found["b"], weight)
    assert torch.equal(found["c"], weight.t())


def test_nothing_is_pickled(tmp_path):
    saved(tmp_path)
    assert b"pickle" not in (tmp_path / "checkpoint-2.safetensors").read_bytes()
    json.loads((tmp_path / "checkpoint.json").read_text())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_broken_tensor_is_not_saved(tmp_path, value):
    saved(tmp_path, 1)
    with pytest.raises(CheckpointError, match=r"tensor 'model.w' was not saved"):
        save_checkpoint(tmp_path, Checkpoint(2, {"w": torch.tensor([1.0, value])}))
    assert load_checkpoint(tmp_path).epoch == 1


def test_a_broken_tensor_is_not_loaded(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("rheobase.training.checkpoint._refuse_broken", lambda *_: None)
        save_checkpoint(tmp_path, Checkpoint(1, {"w": torch.tensor([float("nan")])}))
    with pytest.raises(CheckpointError, match=r"tensor 'model.w' .* NaN"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-1], lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b[:-1] + b"\1"]
)
def test_truncated_or_changed(tmp_path, damage):
    saved(tmp_path)
    path = tmp_path / "checkpoint-2.safetensors"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(CheckpointError, match="truncated or was changed"):
        load_checkpoint(tmp_path)


def edited(**changes):
    def edit(path):
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return edit


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda p: p.unlink(), "there is no checkpoint"),
        (lambda p: p.write_text("{"), "cannot be read"),
        (lambda p: p.write_text("[]"), "not a checkpoint pointer"),
        (edited(format=99), "format 99"),
        (edited(file="../other"), "outside its folder"),
        (edited(file="gone.safetensors"), "gone.safetensors cannot be read"),
    ],
)
def test_bad_pointers(tmp_path, edit, message):
    saved(tmp_path)
    edit(tmp_path / "checkpoint.json")
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(tmp_path)


def test_another_model_is_named(tmp_path):
    saved(tmp_path)
    tensors = load_checkpoint(tmp_path).model
    with pytest.raises(CheckpointError, match=r"missing 'bias', 'weight', unexpected '0.bias'"):
        load_model_tensors(nn.Linear(3, 4), tensors)
    with pytest.raises(CheckpointError, match=r"'0.weight' is \[4, 3\] and the model's \[4, 5\]"):
        load_model_tensors(nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4)), tensors)


def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "f").write_text("")
    with pytest.raises(CheckpointError, match="cannot be written"):
        saved(tmp_path / "f" / "run")
