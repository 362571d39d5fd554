"""Where saccadic attention looks on unseen data, for the report, and how far the decoupled rule is from what was trained."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from rheobase.evenly import evenly
from rheobase.models.gaze import gaze
from rheobase.training.loader import Samples, as_input, batches


@torch.no_grad()
def collect_gaze(
    model: nn.Module, data: Samples, *, batch_size: int = 128, samples: int = 4
) -> dict[str, NDArray[Any]]:
    """How often tokens pass each saccadic neuron over the data, and where they do in a few samples.

    Shape:
        `layers` names `[B]`; `passing` `[B, T]`, share of gates that open at each step; `lit` and `dark` `[B]`, the same where a
        patch holds something other than 0 and where it does not (NaN: no such patch); `mismatch` `[B]`, share of gates that the
        decoupled rule decides otherwise; `indices`, `labels` `[S]`, `frames` `[S, T, C, H_in, W_in]`, and of the i-th layer
        `looks_<i>` float32 `[S, T, H, W]`, share of heads that look
    Raises:
        RecipeError: the model has no saccadic neuron.
    """
    device = next(model.parameters()).device
    passing: dict[str, list[Tensor]] = {}
    counts: dict[str, Tensor] = {}  # open and all gates of lit and of dark patches, gates that differ
    for frames, _ in batches(data, batch_size, device=device):
        for name, seen in gaze(model, frames).items():
            passing.setdefault(name, []).append(seen.gates.mean((2, 3, 4)))
            found = torch.cat([_by_light(seen.gates, frames), _differing(seen.mismatch, seen.gates)])
            counts[name] = counts.get(name, 0) + found
    indices = evenly(len(data), samples)
    chosen = np.ascontiguousarray(data.frames[indices])
    few = gaze(model, as_input(chosen, device))
    totals = torch.stack(list(counts.values())).cpu().numpy()
    with np.errstate(invalid="ignore"):  # 0 of 0 patches is NaN
        lit, dark = totals[:, 0] / totals[:, 1], totals[:, 2] / totals[:, 3]
    shown = {
        f"looks_{i}": seen.gates.mean(2).transpose(0, 1).cpu().numpy() for i, seen in enumerate(few.values())
    }
    return {
        "layers": np.array([_block(name) for name in counts], dtype=np.str_),
        "passing": torch.stack([torch.cat(parts, 1).mean(1) for parts in passing.values()]).cpu().numpy(),
        "lit": lit,
        "dark": dark,
        "mismatch": totals[:, 4] / (totals[:, 1] + totals[:, 3]),
        "indices": indices,
        "labels": data.labels[indices],
        "frames": chosen,
        **shown,
    }


def mismatches(found: dict[str, NDArray[Any]]) -> dict[str, float]:
    """Share of gates of each block that the decoupled rule decides otherwise, of what `collect_gaze` found."""
    return dict(zip(found["layers"].tolist(), found["mismatch"].tolist(), strict=True))


def _by_light(gates: Tensor, frames: Tensor) -> Tensor:
    """Open gates and all gates, of patches with something in them and of empty ones.

    Shape: gates `[T, N, heads, H, W]`, frames `[T', N, C, H_in, W_in]` -> float64 `[4]`
    """
    light = frames.abs().amax(2)
    if len(light) != len(gates):  # one image for all steps
        light = light.amax(0, keepdim=True).expand(len(gates), -1, -1, -1)
    lit = (F.adaptive_max_pool2d(light, gates.shape[-2:]) > 0).unsqueeze(2).expand_as(gates)
    open_, all_ = gates.double(), torch.ones_like(gates, dtype=torch.float64)
    return torch.stack([open_[lit].sum(), all_[lit].sum(), open_[~lit].sum(), all_[~lit].sum()])


def _differing(share: float, gates: Tensor) -> Tensor:
    return torch.tensor([share * gates.numel()], dtype=torch.float64, device=gates.device)


def _block(name: str) -> str:
    """The block that a saccadic neuron decides for: `block1` of `features.block1_attention.branch.sum.saccade`."""
    return name.removeprefix("features.").partition("attention")[0].rstrip("._") or name
