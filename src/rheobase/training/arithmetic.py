"""Which arithmetic and memory layout a machine trains fastest with: what `auto` stands for in a recipe.

`precision: auto` is bf16 where it is multiplied in hardware (CUDA from Ampere on; processors with AMX or
AVX512_BF16), 32 elsewhere. `channels_last: auto` is true: time is folded into the batch, and stacks of
convolutions took 0.72 to 0.98 of the time of the contiguous layout on processors, most with small networks.
"""

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from rheobase.errors import RecipeError
from rheobase.training.recipe import Recipe, TrainConfig, load_recipe

REGISTER = 16  # float32 numbers in the widest vector register of x86


def has_bf16(device: str | None = None) -> bool:
    """Whether a device (`cpu`, `cuda`; None: the one that training takes) multiplies bf16 in hardware."""
    kind = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if kind == "cuda":
        return torch.cuda.is_available() and torch.cuda.get_device_capability() >= (8, 0)
    if kind != "cpu" or platform.machine() not in ("x86_64", "AMD64"):
        return False
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, probe, bool)() for probe in probes)


def settle(settings: TrainConfig, before: TrainConfig | None = None) -> TrainConfig:
    """Settings with every `auto` of arithmetic replaced: by the value of `before`, else by this machine's."""
    chosen = {"precision": "bf16" if has_bf16() else "32", "channels_last": True}
    if before is not None:
        chosen = {name: getattr(before, name) for name in chosen}
    return settings.model_copy(
        update={name: value for name, value in chosen.items() if getattr(settings, name) == "auto"}
    )


def settle_recipe(recipe: Recipe, written: Path | None) -> Recipe:
    """The recipe as a run folder keeps it: a run that is resumed goes on with the arithmetic it began with.

    `written` is the recipe in the folder of a run to resume, which need not exist.
    """
    try:
        before = load_recipe(written).train if written is not None and written.is_file() else None
    except RecipeError:
        before = None  # what is wrong with it is said where the folder is checked
    return recipe.model_copy(update={"train": settle(recipe.train, before)})


def breaks_channels_last(model: nn.Module) -> bool:
    """Whether a model has a convolution whose backward pass corrupts memory on processors in the channels-last layout.

    1x1 with a stride and fewer input channels than a vector register holds: oneDNN then writes past its workspace
    (https://github.com/uxlfoundation/oneDNN/issues/6035).
    """
    return any(
        isinstance(m, nn.Conv2d)
        and m.kernel_size == (1, 1)
        and max(m.stride) > 1
        and m.in_channels < REGISTER
        for m in model.modules()
    )


@contextmanager
def layout(model: nn.Module, channels_last: bool) -> Iterator[None]:
    """Within the block, convolution weights lie channels last, and so do the maps computed with them.

    Models that break on it stay contiguous.
    """
    wanted = channels_last and not breaks_channels_last(model)
    weights = [p for p in model.parameters() if p.dim() == 4] if wanted else []
    for weight in weights:
        weight.data = weight.data.contiguous(memory_format=torch.channels_last)
    try:
        yield
    finally:
        for weight in weights:
            weight.data = weight.data.contiguous()
