"""FSDP: every process keeps a shard of each parameter, of its gradient and of the optimiser's state.

The layers of `model.features` that have weights are gathered one at a time, while they compute; the rest of
the model (the head among it, which objectives may use twice) stays gathered from its first use to the end of
the step.
"""

from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from torch.distributed.device_mesh import DeviceMesh

    from rheobase.training.step import Step


def fsdp_strategy(world_size: int, **options: Any) -> Any:
    """Fabric's strategy that shards over all processes; on gloo its collectives fail now and then."""
    from lightning_fabric.strategies import ModelParallelStrategy

    shard: Any = _shard
    return ModelParallelStrategy(shard, data_parallel_size=world_size, tensor_parallel_size=1, **options)


def is_sharded(fabric: "Fabric") -> bool:
    """Whether what this Fabric sets up is sharded."""
    from lightning_fabric.strategies import ModelParallelStrategy

    return isinstance(fabric.strategy, ModelParallelStrategy)


def whole(state: Any) -> Any:
    """A state dict, of a model or an optimiser, with every shard gathered; called by all processes."""
    if isinstance(state, DTensor):
        return state.full_tensor()
    if isinstance(state, dict):
        return {key: whole(value) for key, value in state.items()}
    return state


def shard_like(tensor: Tensor, own: Tensor) -> Tensor:
    """The shard of a whole tensor that stands where `own` stands; the tensor itself where `own` is whole.

    Every process has the whole tensor, so nothing is sent.
    """
    if not isinstance(own, DTensor):
        return tensor
    return distribute_tensor(tensor.to(own.device), own.device_mesh, own.placements, src_data_rank=None)


def load_optimiser(optimiser: Optimizer, state: dict[str, Any]) -> None:
    """Restore an optimiser from a whole state dict."""
    optimiser.load_state_dict(state)
    for parameter, entries in optimiser.state.items():
        for name, value in entries.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                entries[name] = shard_like(value, parameter)


def _shard(step: "Step", mesh: "DeviceMesh") -> nn.Module:
    from torch.distributed.fsdp import fully_shard

    data = mesh["data_parallel"]
    features = getattr(step.model, "features", None)
    for layer in features.children() if isinstance(features, nn.Module) else ():
        if any(parameter.dim() > 1 for parameter in layer.parameters()):
            fully_shard(layer, mesh=data)
    fully_shard(step, mesh=data)
    return step
