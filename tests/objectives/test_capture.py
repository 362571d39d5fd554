"""Hooks: what they record, in what shape, and that they never stay."""

import pytest
import torch
from torch import nn

from rheobase.errors import DataError, RecipeError
from rheobase.objectives import CrossEntropy, StableSpike, StableSpikeConfig, capture, collect


class Pair(nn.Module):
    def forward(self, x):
        return (x > 0).float(), x


class Net(nn.Module):
    def __init__(self, per_step: bool = False, used: bool = True):
        super().__init__()
        self.fc, self.spike, self.idle = nn.Linear(3, 4), Pair(), nn.Identity()
        self.per_step, self.used = per_step, used

    def step(self, x):
        return self.spike(self.fc(x))[0]

    def forward(self, x):
        return torch.stack([self.step(each) for each in x]) if self.per_step else self.step(x)


X = torch.randn(5, 2, 3, generator=torch.Generator().manual_seed(0))


def hooks(model: nn.Module) -> int:
    return sum(len(module._forward_hooks) for module in model.modules())


def test_a_module_called_once_gives_its_tensor_and_one_called_per_step_is_stacked():
    whole, steps = Net(), Net(per_step=True)
    steps.load_state_dict(whole.state_dict())
    for model in (whole, steps):
        with capture(model, ["spike", "fc"]) as captured:
            out = model(X)
        maps = captured.spikes(steps=5)
        assert list(maps) == ["spike", "fc"]
        assert torch.equal(maps["spike"], out) and maps["fc"].shape == (5, 2, 4)
        assert torch.equal(maps["spike"], (whole.fc(X) > 0).float())


def test_it_can_be_read_inside_the_block_and_gradients_flow():
    model = Net(per_step=True)
    with capture(model, ("fc",)) as captured:
        model(X)
        captured.spikes()["fc"].sum().backward()
    torch.testing.assert_close(model.fc.bias.grad, torch.full((4,), 10.0))


def test_one_name_and_no_names():
    model = Net()
    with capture(model, "fc") as one, capture(model, []) as none:
        model(X)
    assert list(one.spikes()) == ["fc"] and none.spikes() == {}


def test_hooks_go_also_after_an_error():
    model = Net()
    with pytest.raises(ValueError), capture(model, ["fc", "spike"]):
        assert hooks(model) == 2
        raise ValueError
    assert hooks(model) == 0
    with pytest.raises(RecipeError), capture(model, ["fc", "spikes"]):
        pass
    assert hooks(model) == 0


def test_a_capture_starts_afresh_when_entered_again():
    model, captured = Net(), None
    captured = capture(model, ["fc"])
    for _ in range(2):
        with captured:
            model(X)
        assert captured.spikes()["fc"].shape == (5, 2, 4)


def test_entering_twice_leaves_no_hook():
    model = Net()
    captured = capture(model, ["fc"])
    with captured, captured:
        model(X)
    assert captured.spikes()["fc"].shape == (5, 2, 4) and hooks(model) == 0


def test_unknown_layer_suggests_a_name():
    with pytest.raises(RecipeError, match="unknown layer 'spikes'; did you mean 'spike'"):
        capture(Net(), ["spikes"])


def test_a_layer_that_did_not_run():
    model = Net()
    with capture(model, ["idle"]) as captured:
        model(X)
    with pytest.raises(DataError, match="'idle' did not run"):
        captured.spikes()
    with pytest.raises(DataError, match="did not run"):
        capture(model, ["fc"]).spikes()


def test_calls_that_are_not_steps():
    model = Net()
    with capture(model, ["fc"]) as captured:
        model(X)
        model(X[:2])
    with pytest.raises(DataError, match="different shapes"):
        captured.spikes()
    with capture(model, ["fc"]) as captured:
        model(X)
        model(X)
    with pytest.raises(DataError, match="called 2 time"):
        captured.spikes(steps=5)


def test_a_module_without_a_tensor():
    class Names(nn.Module):
        def forward(self, x):
            return {"x": x}

    model = nn.Sequential(Names())
    with pytest.raises(DataError, match="returned a dict"), capture(model, ["0"]):
        model(X)
    assert hooks(model) == 0


def test_collect_captures_only_what_is_needed():
    model = Net()
    seen = []
    model.spike.register_forward_hook(lambda *_: seen.append(hooks(model)))
    outputs = collect(model, X, CrossEntropy())
    assert outputs.spikes == {} and seen == [1]
    with pytest.raises(RecipeError, match="without a head"):
        outputs.head(X)
    objective = StableSpike(StableSpikeConfig(hook_point="spike"))
    with pytest.raises(RecipeError, match="head="):
        collect(model, X, objective)
    outputs = collect(model, X, objective, head=nn.Identity())
    assert list(outputs.spikes) == ["spike"] and seen == [1, 2]


def test_collect_wants_logits_of_every_step():
    class Mean(Net):
        def forward(self, x):
            return super().forward(x).mean(0)

    with pytest.raises(DataError, match=r"\[T, N, K\], and got shape \[2, 4\]"):
        collect(Mean(), X, CrossEntropy())
    with pytest.raises(DataError, match="got a tuple"):
        collect(Pair(), X, CrossEntropy())
