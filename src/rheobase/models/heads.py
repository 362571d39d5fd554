"""Linear heads: from the spike map of the last neuron to logits."""

from torch import nn

from rheobase.layers import AvgPool2d, Flatten, GlobalAvgPool2d, Linear
from rheobase.models.model import ModelConfig


def build_head(
    config: ModelConfig, channels: int, size: tuple[int, int], last_pool: bool = False
) -> nn.Sequential:
    """The head that `config.head` names, on a map `[C, H, W]` of `channels` and `size`.

    `flatten`: (average pooling by 2 with `last_pool`,) flatten, linear. `gap`: global average pooling,
    flatten, linear.

    Shape: the head maps `[..., C, H, W]` -> `[..., K]`.
    """
    pool: dict[str, nn.Module]
    if config.head == "gap":
        pool, inputs = {"pool": GlobalAvgPool2d()}, channels
    elif last_pool:
        pool, inputs = {"pool": AvgPool2d(2)}, channels * (size[0] // 2) * (size[1] // 2)
    else:
        pool, inputs = {}, channels * size[0] * size[1]
    layers = {**pool, "flatten": Flatten(), "linear": Linear(inputs, config.num_classes)}
    head = nn.Sequential()
    for name, layer in layers.items():
        head.add_module(name, layer)
    return head


def start_linear(head: nn.Module, std: float | None = None) -> None:
    """Draw the weights of a head's linear layer from N(0, std^2), std = 1/inputs by default; zero its biases."""
    for layer in head.children():
        if isinstance(layer, Linear):
            nn.init.normal_(layer.weight, std=1 / layer.in_features if std is None else std)
            nn.init.zeros_(layer.bias)
