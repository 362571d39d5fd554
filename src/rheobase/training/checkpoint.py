"""Checkpoints: safetensors and JSON, never pickle; a kill at any moment leaves the newest whole one loadable.

`checkpoint-<epoch>.safetensors` is written first, then `checkpoint.json` is replaced to point at it with its
SHA-256, then older ones are removed. Random states need no place in it: training draws everything from
streams named by (seed, epoch).
"""

import contextlib
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from rheobase.errors import CheckpointError
from rheobase.files import atomic_write, atomic_write_json
from rheobase.training.shard import shard_like

FORMAT = 1
POINTER = "checkpoint.json"


@dataclass(frozen=True)
class Checkpoint:
    """State after `epoch` finished epochs; `optimiser` as torch's `state_dict`, `notes` for JSON."""

    epoch: int
    model: dict[str, Tensor]
    optimiser: dict[str, Any] | None = None
    notes: dict[str, Any] = field(default_factory=dict)


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> Path:
    """Write a checkpoint into `folder` and remove the older ones; returns the path of its tensors.

    Raises:
        CheckpointError: a tensor holds NaN or infinity (nothing is written), or the folder cannot be written;
            in both cases the previous checkpoint is still there and loadable.
    """
    tensors = {f"model.{name}": tensor for name, tensor in checkpoint.model.items()}
    values: dict[str, Any] | None = None
    if checkpoint.optimiser is not None:
        values, moments = _split_optimiser(checkpoint.optimiser)
        tensors |= moments
    _refuse_broken(tensors, "was not saved; the checkpoint before it remains")
    data = safetensors.torch.save({name: _plain(tensor) for name, tensor in tensors.items()})
    path = folder / f"checkpoint-{checkpoint.epoch}.safetensors"
    pointer = {
        "format": FORMAT,
        "epoch": checkpoint.epoch,
        "file": path.name,
        "sha256": hashlib.sha256(data).hexdigest(),
        "optimiser": values,
        "notes": checkpoint.notes,
    }
    try:
        atomic_write(path, data)
        atomic_write_json(folder / POINTER, pointer)
    except OSError as error:
        raise CheckpointError(f"checkpoint {path} cannot be written: {error.strerror}") from error
    _remove_others(folder, path)
    return path


def load_checkpoint(folder: Path) -> Checkpoint:
    """The checkpoint of a folder, whole and checked.

    Raises:
        CheckpointError: there is none, its digest is wrong (truncated, changed), it is of another format
            version, or a tensor holds NaN or infinity; the message names file or tensor.
    """
    pointer = _read_pointer(folder)
    path = folder / pointer["file"]
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"checkpoint {path} cannot be read: {error.strerror}") from error
    if hashlib.sha256(data).hexdigest() != pointer["sha256"]:
        raise CheckpointError(
            f"checkpoint {path} ({len(data)} bytes) does not match the SHA-256 in {POINTER}: it is truncated "
            "or was changed. "
            "Restore it from a copy, or train again in another folder"
        )
    try:
        tensors = safetensors.torch.load(data)
    except SafetensorError as error:
        raise CheckpointError(f"checkpoint {path} is no safetensors file: {error}") from error
    _refuse_broken(tensors, f"of {path} cannot be trusted")
    model = {name.removeprefix("model."): t for name, t in tensors.items() if name.startswith("model.")}
    values = pointer.get("optimiser")
    optimiser = None if values is None else _join_optimiser(values, tensors)
    return Checkpoint(pointer["epoch"], model, optimiser, pointer.get("notes", {}))


def has_checkpoint(folder: Path) -> bool:
    """Whether `folder` points at a checkpoint."""
    return (folder / POINTER).is_file()


def load_model_tensors(model: nn.Module, tensors: dict[str, Tensor], origin: str = "the checkpoint") -> None:
    """Copy tensors into a model's parameters and buffers, which may be shards.

    Raises:
        CheckpointError: names are missing or unexpected, or a shape differs; the message lists them.
    """
    own = model.state_dict()
    missing, unexpected = sorted(own.keys() - tensors.keys()), sorted(tensors.keys() - own.keys())
    if missing or unexpected:
        raise CheckpointError(
            f"{origin} is of another model than {type(model).__name__}: missing {_few(missing)}, unexpected "
            f"{_few(unexpected)}"
        )
    for name, tensor in tensors.items():
        if tensor.shape != own[name].shape:
            raise CheckpointError(
                f"{origin}: tensor {name!r} is {list(tensor.shape)} and the model's {list(own[name].shape)}; "
                "was it trained with another width, input size or number of classes?"
            )
    model.load_state_dict({name: shard_like(tensor, own[name]) for name, tensor in tensors.items()})


def _read_pointer(folder: Path) -> dict[str, Any]:
    path = folder / POINTER
    try:
        pointer = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(
            f"there is no checkpoint in {folder}: {POINTER} is missing; train the run (again) with `rheobase train`"
        ) from error
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    if not isinstance(pointer, dict) or not {"format", "epoch", "file", "sha256"} <= pointer.keys():
        raise CheckpointError(f"{path} is not a checkpoint pointer of rheobase")
    if pointer["format"] != FORMAT:
        raise CheckpointError(f"{path} has format {pointer['format']!r}; this rheobase reads format {FORMAT}")
    if Path(str(pointer["file"])).name != pointer["file"]:
        raise CheckpointError(f"{path} points outside its folder, at {pointer['file']!r}")
    return pointer


def _split_optimiser(state: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """JSON part and tensors of an optimiser's `state_dict`."""
    tensors: dict[str, Tensor] = {}
    numbers: dict[str, dict[str, Any]] = {}
    for index, entries in state["state"].items():
        for key, value in entries.items():
            if isinstance(value, Tensor):
                tensors[f"optimiser.{index}.{key}"] = value
            else:
                numbers.setdefault(str(index), {})[key] = value
    return {"param_groups": state["param_groups"], "state": numbers}, tensors


def _join_optimiser(values: dict[str, Any], tensors: dict[str, Tensor]) -> dict[str, Any]:
    state: dict[int, dict[str, Any]] = {
        int(index): dict(entries) for index, entries in values["state"].items()
    }
    for name, tensor in tensors.items():
        if name.startswith("optimiser."):
            _, index, key = name.split(".", 2)
            state.setdefault(int(index), {})[key] = tensor
    return {"param_groups": values["param_groups"], "state": state}


def _refuse_broken(tensors: dict[str, Tensor], consequence: str) -> None:
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise CheckpointError(
                f"tensor {name!r} {consequence}: it holds NaN or infinity. Training diverged: try a lower "
                "learning rate, "
                'warm-up epochs, or precision "32"'
            )


def _plain(tensor: Tensor) -> Tensor:
    """A copy on the CPU that shares memory with nothing (tied weights are stored twice)."""
    return tensor.detach().to("cpu", copy=True).contiguous()


def _remove_others(folder: Path, keep: Path) -> None:
    for pattern in ("checkpoint-*.safetensors", ".checkpoint*.part"):
        for path in folder.glob(pattern):
            if path != keep:
                with contextlib.suppress(OSError):
                    path.unlink()


def _few(names: list[str], count: int = 4) -> str:
    shown = ", ".join(repr(name) for name in names[:count]) or "nothing"
    return f"{shown} and {len(names) - count} more" if len(names) > count else shown
