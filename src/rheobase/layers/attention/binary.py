"""Spiking self-attention whose attention map is binary too.

    S = LIF(x),    [Q, K, V] = LIF(BN(S W))                    1x1 convolutions
    Y = LIF_a(Q K^T) V     (`qk_first`, [L, L] map)
    Y = Q LIF_a(K^T V)     (`kv_first`, [d, d] map)
    y = BN(LIF_o(scale * lam * Y) W_o)                         a current: no neuron follows

LIF_a has threshold 1 and a soft reset, whatever the others have; LIF_o has threshold 0.5. `lam` is learned, one for each step
and head. Without LIF_a the two orders give the same numbers, with it they are two models.

Source: BESTformer (IJCAI 2025, arXiv 2501.05904) and released code: `qk_first` for CIFAR, `kv_first` for ImageNet; scale 0.125
whatever the width of a head.
"""

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from rheobase.errors import DataError, RecipeError, unknown
from rheobase.layers.tokens import HeadMatMul, Scale
from rheobase.layers.torch_layers import BatchNorm2d, Conv2d
from rheobase.neurons import NeuronConfig, build_neuron

BinaryOrder = Literal["qk_first", "kv_first"]


class HeadScale(nn.Module):
    """Multiplication by learned numbers, one for each time step and head, or one a head for all steps.

        y[t, h*d + i] = factor[t, h] * x[t, h*d + i]

    The factors start at 1. With factors by step, fewer steps than factors take the first of them.

    Shape: `[T, N, heads * d, H, W]` -> same; `factor` `[T, 1, heads, 1, 1]`, or `[1, 1, heads, 1, 1]` where `T` is None.
    Raises:
        DataError: more steps than factors, or the heads do not divide the channels.
    """

    def __init__(self, heads: int, T: int | None = None) -> None:
        super().__init__()
        self.heads, self.T = heads, T
        self.factor = nn.Parameter(torch.ones(T or 1, 1, heads, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Scale every head."""
        factor = self.factor if self.T is None else self.factor[: x.shape[0]]
        if x.dim() != 5 or x.shape[2] % self.heads or len(factor) not in (1, x.shape[0]):
            raise DataError(
                f"factors of {self.T or 'any'} steps and {self.heads} heads for a map {list(x.shape)}: [T, N, C, H, W] must have "
                "no more steps, and channels that the heads divide"
            )
        return (x.unflatten(2, (self.heads, -1)) * factor[..., None]).flatten(2, 3)

    def extra_repr(self) -> str:
        """Heads, and steps with a factor of their own."""
        return f"heads={self.heads}, T={self.T}"


class BinaryAttention(nn.Module):
    """Attention with a binary map; see the module's docstring for the equations.

    `binary` off leaves LIF_a out; `scale` is the fixed factor; `lam` off leaves the learned one out, and it has a factor by step
    where `T` is given.

    Shape: currents `[T, N, C, H, W]` -> currents, same; the pixels are the tokens.
    Raises:
        RecipeError: the heads do not divide the channels, or there is no such order.
    """

    def __init__(
        self,
        channels: int,
        heads: int,
        neuron: NeuronConfig,
        *,
        order: BinaryOrder = "qk_first",
        binary: bool = True,
        scale: float = 0.125,
        lam: bool = True,
        T: int | None = None,
    ) -> None:
        super().__init__()
        if heads < 1 or channels % heads:
            raise RecipeError(
                f"{heads} heads cannot share {channels} channels evenly; choose a number that divides them"
            )
        if order not in get_args(BinaryOrder):
            raise RecipeError(unknown("order of attention", order, get_args(BinaryOrder)))
        self.order = order
        self.neuron = build_neuron(neuron)
        self.q, self.q_norm, self.q_neuron = (
            _projection(channels),
            BatchNorm2d(channels),
            build_neuron(neuron),
        )
        self.k, self.k_norm, self.k_neuron = (
            _projection(channels),
            BatchNorm2d(channels),
            build_neuron(neuron),
        )
        self.v, self.v_norm, self.v_neuron = (
            _projection(channels),
            BatchNorm2d(channels),
            build_neuron(neuron),
        )
        map_neuron = neuron.model_copy(update={"v_threshold": 1.0, "v_reset": None})
        attention_neuron = neuron.model_copy(update={"v_threshold": 0.5})
        self.match = HeadMatMul(heads, "second" if order == "qk_first" else "first")
        self.map_neuron = build_neuron(map_neuron) if binary else nn.Identity()
        self.mix = HeadMatMul(heads)
        self.scale = Scale(scale)
        self.lam = HeadScale(heads, T) if lam else nn.Identity()
        self.attention_neuron = build_neuron(attention_neuron)
        self.out, self.out_norm = _projection(channels), BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Currents of the attention over the tokens of every image and step."""
        spikes = self.neuron(x)
        q = self.q_neuron(self.q_norm(self.q(spikes)))
        k = self.k_neuron(self.k_norm(self.k(spikes)))
        v = self.v_neuron(self.v_norm(self.v(spikes)))
        if self.order == "qk_first":
            y = self.mix(self.map_neuron(self.match(q, k)), v)  # [L, L] maps, [h*L, H, W]
        else:
            y = self.mix(q, self.map_neuron(self.match(k, v)))  # [d, d] maps, [h*d, d, 1]
        return self.out_norm(self.out(self.attention_neuron(self.lam(self.scale(y)))))

    def extra_repr(self) -> str:
        """The order of the products."""
        return f"order={self.order}"


def _projection(channels: int) -> Conv2d:
    return Conv2d(channels, channels, 1, bias=False)
