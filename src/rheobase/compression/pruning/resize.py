"""The sizes that modules keep as plain numbers, brought in line with their tensors after a cut."""

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from rheobase.compression.pruning.tensors import tensors


def resize(model: nn.Module, names: list[str]) -> None:
    """Read the sizes of the named modules off their tensors."""
    for name in names:
        module = model.get_submodule(name)
        own = tensors(module)
        if isinstance(module, _ConvNd):
            _resize_conv(module, tuple(own["weight"].shape))
        elif isinstance(module, nn.Linear):
            module.out_features, module.in_features = own["weight"].shape
        elif isinstance(module, _BatchNorm):
            module.num_features = len(own["running_mean" if "running_mean" in own else "weight"])


def _resize_conv(module: _ConvNd, shape: tuple[int, ...]) -> None:
    depthwise = module.groups > 1 and module.in_channels == module.groups
    if depthwise:  # each input channel has `multiplier` outputs
        multiplier = module.out_channels // module.groups
        module.groups = shape[0] // multiplier
    module.out_channels, module.in_channels = shape[0], shape[1] * module.groups
