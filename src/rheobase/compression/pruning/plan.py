"""A plan: which channels stay, and the slices that this means for every tensor. JSON in, JSON out.

A run folder keeps the plan beside its tensors; the model is rebuilt from its recipe, cut by `apply_plan`, and loaded.
No data and no trace are needed for that.
"""

from typing import Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from rheobase.compression.pruning.errors import PruneError
from rheobase.compression.pruning.resize import resize
from rheobase.compression.pruning.tensors import module_of, tensors
from rheobase.config import Config


class Cut(Config):
    """One axis of one parameter or buffer, `size` long before; the positions `kept` stay, in order."""

    tensor: str
    axis: int = Field(ge=0)
    size: int = Field(ge=1)
    kept: tuple[int, ...]

    @model_validator(mode="after")
    def _inside(self) -> Self:
        _check_kept(f"{self.tensor}, axis {self.axis}", self.kept, self.size)
        return self


class GroupPlan(Config):
    """The channels of one group, numbered as the outputs of its first layer; `name` is that layer."""

    name: str
    layers: tuple[str, ...]
    channels: int = Field(ge=1)
    kept: tuple[int, ...]

    @model_validator(mode="after")
    def _inside(self) -> Self:
        _check_kept(self.name, self.kept, self.channels)
        return self


class PrunePlan(Config):
    """What was removed from a model: per group of channels for the reader, per tensor for `apply_plan`.

    `plan.model_dump(mode="json")` and `PrunePlan.model_validate(...)` are inverse.
    """

    version: int = Field(default=1, ge=1, le=1)
    groups: tuple[GroupPlan, ...] = ()
    cuts: tuple[Cut, ...] = ()

    @property
    def ratio(self) -> float:
        """Share of the channels that went, of all groups that were looked at."""
        before = sum(group.channels for group in self.groups)
        return 1 - sum(len(group.kept) for group in self.groups) / before if before else 0.0

    def then(self, later: "PrunePlan") -> "PrunePlan":
        """One plan for this one followed by another, which was made on the model that this one leaves.

        Raises:
            PruneError: the later plan does not start where this one ends.
        """
        groups = {group.name: group for group in self.groups}
        for group in later.groups:
            if group.name in groups:
                kept = _compose(group.name, groups[group.name].kept, group.channels, group.kept)
                groups[group.name] = groups[group.name].model_copy(update={"kept": kept})
            else:
                groups[group.name] = group
        cuts = {(cut.tensor, cut.axis): cut for cut in self.cuts}
        for cut in later.cuts:
            if (key := (cut.tensor, cut.axis)) in cuts:
                kept = _compose(f"{cut.tensor}, axis {cut.axis}", cuts[key].kept, cut.size, cut.kept)
                cuts[key] = cuts[key].model_copy(update={"kept": kept})
            else:
                cuts[key] = cut
        return PrunePlan(groups=tuple(groups.values()), cuts=tuple(cuts.values()))


def _check_kept(where: str, kept: tuple[int, ...], size: int) -> None:
    if not kept or list(kept) != sorted(set(kept)) or kept[0] < 0 or kept[-1] >= size:
        raise ValueError(
            f"{where}: kept channels must be one or more different numbers in rising order between 0 and {size - 1}"
        )


def _compose(where: str, first: tuple[int, ...], size: int, second: tuple[int, ...]) -> tuple[int, ...]:
    if len(first) != size:
        raise PruneError(
            f"plans do not follow each other: {where} ends with {len(first)} channels, then starts with {size}"
        )
    return tuple(first[i] for i in second)


def pruned_shapes(model: nn.Module, plan: PrunePlan) -> dict[str, tuple[int, ...]]:
    """The shapes of all parameters and buffers after a plan, by name (`layer.weight` for a quantised weight too).

    Raises:
        PruneError: the plan is for another model.
    """
    shapes = {name: list(tensor.shape) for name, tensor in tensors(model).items()}
    for cut in checked(model, plan):
        shapes[cut.tensor][cut.axis] = len(cut.kept)
    return {name: tuple(shape) for name, shape in shapes.items()}


def checked(model: nn.Module, plan: PrunePlan) -> tuple[Cut, ...]:
    """The cuts of a plan that fit a model.

    A cut of a quantiser's own tensor is left out where the model is not quantised.

    Raises:
        PruneError: a tensor is missing or has another size.
    """
    own = tensors(model)
    found = []
    for cut in plan.cuts:
        if cut.tensor not in own:
            if ".parametrizations." in cut.tensor:
                continue
            raise PruneError(
                f"the plan is for another model: it cuts {cut.tensor!r}, which this model does not have"
            )
        shape = list(own[cut.tensor].shape)
        if len(shape) <= cut.axis or shape[cut.axis] != cut.size:
            hint = (
                "; it has been applied already"
                if len(shape) > cut.axis and shape[cut.axis] == len(cut.kept)
                else ""
            )
            raise PruneError(
                f"the plan is for another model{hint}: it expects {cut.size} channels along axis {cut.axis} of "
                f"{cut.tensor!r}, whose shape is {shape}"
            )
        found.append(cut)
    return tuple(found)


@torch.no_grad()
def apply_plan(model: nn.Module, plan: PrunePlan) -> nn.Module:
    """Cut a model as a plan says, in place; returns the model.

    Parameters stay the same objects with less in them, so make a new optimiser afterwards: its old moments have the old
    shapes. Float originals of quantised weights are cut, and their quantisers compute anew from what is left.

    Raises:
        PruneError: the plan is for another model; nothing has been changed then.
    """
    own = tensors(model)
    todo = checked(model, plan)
    for cut in todo:
        tensor = own[cut.tensor]
        tensor.data = _slice(tensor.data, cut)
        tensor.grad = None
    resize(model, sorted({module_of(cut.tensor).split(".parametrizations")[0] for cut in todo}))
    return model


def _slice(tensor: Tensor, cut: Cut) -> Tensor:
    return tensor.index_select(cut.axis, torch.tensor(cut.kept, device=tensor.device)).contiguous()
