"""Distillation by hand, a teacher that nothing changes, and heads that learn from one side each."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from rheobase.errors import DataError, RecipeError
from rheobase.layers import Linear
from rheobase.models import create_model
from rheobase.objectives import (
    InformationEnhancement,
    InformationEnhancementConfig,
    TETConfig,
    WSDRConfig,
    collect,
    hard_distillation,
    soft_distillation,
)

TARGET = torch.tensor([0, 1, 2])


def frames(seed=0):
    return torch.poisson(torch.full((2, 3, 2, 8, 8), 0.7), generator=torch.Generator().manual_seed(seed))


def student(**options):
    torch.manual_seed(0)
    options = {"width": 16, "heads": 2, "depth": 1, "pools": [1, 3]} | options
    return create_model("bestformer_small", num_classes=3, input_size=(8, 8), T=2, options=options)


class Teacher(nn.Module):
    """Logits that follow the frames, with a batch-norm that must not move."""

    def __init__(self, classes=3):
        super().__init__()
        torch.manual_seed(1)
        self.norm, self.linear, self.seen = nn.BatchNorm1d(128), Linear(128, classes), []

    def forward(self, x):
        self.seen.append(x)
        return self.linear(self.norm(x.mean(0).flatten(1)))


def test_values_by_hand():
    logits = torch.tensor([[0.0, 0.0], [math.log(3.0), 0.0]])
    teacher = torch.tensor([[2.0, 1.0], [0.0, 5.0]])
    assert hard_distillation(logits, teacher).item() == pytest.approx((math.log(2) + math.log(4)) / 2)
    teacher = torch.tensor([[math.log(4.0), 0.0], [math.log(3.0), 0.0]])
    # KL([.8, .2] || [.5, .5]) = ln 2 - H(.8), and 0; over 2 * 2 elements
    kl = math.log(2) + 0.8 * math.log(0.8) + 0.2 * math.log(0.2)
    assert soft_distillation(logits, teacher).item() == pytest.approx(kl / 4)
    hot = soft_distillation(3 * logits, 3 * teacher, temperature=3.0)
    assert hot.item() == pytest.approx(9 * kl / 4)


@pytest.mark.parametrize("distill", ["hard", "soft"])
def test_each_head_learns_from_its_own_side(distill):
    model, teacher = student(), Teacher().train()
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    objective = InformationEnhancement(
        InformationEnhancementConfig(distill=distill, weight=0.25), teacher=teacher
    )
    x = frames()
    outputs = collect(model.train(), x, objective)
    first, second = (each.mean(0) for each in model.forward_heads(outputs.spikes["features"]))
    torch.testing.assert_close((first + second) / 2, outputs.logits.mean(0))
    loss = objective(outputs, TARGET)
    said = teacher(x)
    distilled = hard_distillation(second, said) if distill == "hard" else soft_distillation(second, said)
    torch.testing.assert_close(loss.total, 0.75 * F.cross_entropy(first, TARGET) + 0.25 * distilled)
    assert set(loss.parts) == {"cross_entropy", "distillation"}
    loss.total.backward()
    gradient = model.head.linear.weight.grad
    assert (gradient[:, :16].abs().sum() > 0) and (gradient[:, 16:].abs().sum() > 0)
    assert teacher.seen[0] is x, "the frames that the model saw"
    assert not teacher.training and all(p.grad is None and not p.requires_grad for p in teacher.parameters())
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())


def test_labels_alone_and_the_teacher_alone_move_one_head():
    for weight, half in ((0.0, slice(16, 32)), (1.0, slice(0, 16))):
        model = student()
        objective = InformationEnhancement(InformationEnhancementConfig(weight=weight), teacher=Teacher())
        objective(collect(model, frames(), objective), TARGET).total.backward()
        assert model.head.linear.weight.grad[:, half].abs().sum() == 0


def test_without_teacher_both_heads_learn_labels():
    model = student()
    objective = InformationEnhancement(InformationEnhancementConfig(distill="none"))
    outputs = collect(model, frames(), objective)
    wanted = [
        F.cross_entropy(each.mean(0), TARGET) for each in model.forward_heads(outputs.spikes["features"])
    ]
    torch.testing.assert_close(objective(outputs, TARGET).total, (wanted[0] + wanted[1]) / 2)


def test_any_model_any_task_and_teachers_of_images():
    vgg = create_model("vgg_small", num_classes=3, input_size=(8, 8))
    seen = []

    class Images(nn.Module):
        def forward(self, x):
            seen.append(x)
            return x.mean((2, 3)) @ torch.ones(2, 3)

    for task in (TETConfig(), WSDRConfig()):
        config = InformationEnhancementConfig(
            task=task, teacher_input="mean", teacher_size=(20, 24), distill="soft"
        )
        objective = InformationEnhancement(config, teacher=Images())
        loss = objective(collect(vgg, frames(), objective), TARGET)
        assert seen[-1].shape == (3, 2, 20, 24)
        assert {"step_cross_entropy", "distillation"} <= set(loss.parts)
        loss.total.backward()
    assert vgg.head.linear.weight.grad.abs().sum() > 0


def test_refusals():
    with pytest.raises(RecipeError, match=r"distill='hard' needs a teacher: in a recipe, objective.teacher"):
        InformationEnhancement()
    objective = InformationEnhancement(teacher=Teacher(classes=4))
    with pytest.raises(DataError, match=r"logits \[3, 3\] .*gave \[3, 4\]"):
        objective(collect(student(), frames(), objective), TARGET)
