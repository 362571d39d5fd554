"""Several processes that train one model: how they are started, agree, and hear of each other's failures."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import torch
import torch.distributed as dist

from rheobase.errors import RecipeError, RheobaseError
from rheobase.training.recipe import TrainConfig
from rheobase.training.shard import fsdp_strategy

if TYPE_CHECKING:
    from lightning_fabric import Fabric

T = TypeVar("T")
PATIENCE = timedelta(days=1)  # one process evaluates, or makes a data set, while the others wait


class PeerError(RheobaseError):
    """Another process of this training failed."""


def make_fabric(settings: TrainConfig) -> "Fabric":
    """Lightning Fabric on whatever accelerator there is; under `torchrun` on all processes it started.

    Raises:
        RecipeError: the batch is smaller than processes times micro-batches, or FSDP is asked for without CUDA.
    """
    from lightning_fabric import Fabric  # takes two seconds to import: only those who train wait
    from lightning_fabric.strategies import DDPStrategy

    local = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    world = int(os.environ.get("WORLD_SIZE", 1))
    check_shares(settings, world)
    precision: Any = "bf16-mixed" if settings.precision == "bf16" else "32-true"
    strategy: Any = "auto"
    if settings.strategy == "fsdp" and world > 1:
        if not torch.cuda.is_available():
            raise RecipeError(
                "train.strategy=fsdp needs CUDA: on processors (gloo) its exchanges and those of batch-norm are "
                "now and then mixed up; use train.strategy=ddp"
            )
        strategy = fsdp_strategy(world, timeout=PATIENCE)
    elif world > 1:
        strategy = DDPStrategy(timeout=PATIENCE)
    return Fabric(
        accelerator="auto",
        strategy=strategy,
        devices=local,
        num_nodes=max(world // local, 1),
        precision=precision,
    )


def check_shares(settings: TrainConfig, world_size: int) -> None:
    """Make sure that every process has a sample of every micro-batch of a full batch.

    Raises:
        RecipeError: it has not.
    """
    if settings.batch_size < world_size * settings.accumulate:
        raise RecipeError(
            f"train.batch_size={settings.batch_size} is shared by {world_size} processes and "
            f"{settings.accumulate} micro-batches (train.accumulate), which leaves some without a sample: "
            f"raise it to {world_size * settings.accumulate} or more, or use fewer"
        )


def first(fabric: "Fabric", work: Callable[[], T]) -> T | None:
    """Let process 0 do `work` while the others wait; its result there, None elsewhere.

    Raises:
        PeerError: in the other processes, if it failed in process 0, where the error itself is raised.
    """
    if fabric.world_size == 1:
        return work()
    result, error = None, None
    if fabric.is_global_zero:
        try:
            result = work()
        except Exception as caught:
            error = caught
    told = fabric.broadcast(str(error) or type(error).__name__ if error else None)
    if error:
        raise error
    if told is not None:
        raise PeerError(f"process 0 stopped: {told}")
    return result


def total(fabric: "Fabric", values: dict[str, float]) -> dict[str, float]:
    """Sums over all processes, by name; a name may be missing in some."""
    if fabric.world_size == 1:
        return values
    found: list[Any] = [None] * fabric.world_size
    dist.all_gather_object(found, values)
    names = dict.fromkeys(name for each in found for name in each)
    return {name: sum(each.get(name, 0.0) for each in found) for name in names}


def mean(fabric: "Fabric", value: float, samples: int, size: int) -> float:
    """Mean over the `size` samples of all processes, of which this one has `samples` with mean `value`."""
    if fabric.world_size == 1:
        return value
    found = torch.tensor([value * samples if samples else 0.0], dtype=torch.float32, device=fabric.device)
    dist.all_reduce(found)
    return found.item() / size


@contextmanager
def peers_explained(fabric: "Fabric") -> Iterator[None]:
    """Turn the broken connection that another process' end leaves behind into one line.

    Raises:
        PeerError: in place of the error of `torch.distributed`.
    """
    try:
        yield
    except RuntimeError as error:
        text = str(error).lower()
        broken = isinstance(error, dist.DistError) or any(word in text for word in ("gloo", "nccl"))
        if fabric.world_size == 1 or not broken:
            raise
        raise PeerError(
            f"process {fabric.global_rank} of {fabric.world_size} lost another process, whose own message says "
            "why it stopped; start all of them again with --resume"
        ) from error
