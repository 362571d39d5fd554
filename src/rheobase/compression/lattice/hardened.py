"""A hardened model: its graph and its end."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from rheobase.compression.lattice.base import LatticeFiring, LatticeModule
from rheobase.compression.lattice.neurons import Sum
from rheobase.program.ir import InputType


class LatticeReadout(LatticeModule):
    """Logits of each step, `acc + bias`; the decision after k steps is the argmax of their sum.

    Shape:
        `acc [T, N, K] -> [T, N, K]`
    """

    bias: Tensor

    def __init__(self, bias: Tensor) -> None:
        super().__init__()
        self.register_buffer("bias", bias)

    def forward(self, acc: Tensor) -> Tensor:
        """See the class."""
        return acc + self.bias


Node = tuple[
    str, LatticeModule, tuple[int, ...]
]  # name, module, places of the nodes it reads (-1: the input)


class Hardened(nn.Module):
    """A model on the integer lattice: a graph of lattice modules that equals the integer program spike for spike.

    `ops` are the modules in an order in which they can be computed, `names` those of their layers, and `inputs` the places of
    what each reads, -1 being `x`. `forward` gives integer logits (as float32); times `logit_scale` they approximate the logits of
    the quantised model. `sums` says of each neuron, by name, what its integer inputs stand for.

    Shape:
        `x [T, N, C, H, W]` whole numbers 0..255 (int8: -128..127) `-> [T, N, K]`
    """

    def __init__(
        self,
        nodes: Sequence[Node],
        input_shape: tuple[int, int, int],
        logit_scale: float,
        sums: dict[str, Sum] | None = None,
        input_type: InputType = "uint8",
    ) -> None:
        super().__init__()
        self.names = [name for name, _, _ in nodes]
        self.inputs = [inputs for _, _, inputs in nodes]
        self.ops = nn.ModuleList(module for _, module, _ in nodes)
        self.input_shape, self.logit_scale, self.sums = input_shape, logit_scale, sums or {}
        self.input_type = input_type
        self.eval()

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        last = {place: index for index, inputs in enumerate(self.inputs) for place in inputs}
        values = {-1: x}
        for index, (op, inputs) in enumerate(zip(self.ops, self.inputs, strict=True)):
            values[index] = op(*(values[place] for place in inputs))
            for place in set(inputs):
                if last[place] == index:
                    del values[place]
        return values[len(self.ops) - 1]

    def neurons(self) -> dict[str, nn.Module]:
        """Neuron layers in forward order, by the name of the layer they come from."""
        return {name: m for name, m in zip(self.names, self.ops, strict=True) if isinstance(m, LatticeFiring)}

    @property
    def feature_layer(self) -> str:
        """Module name of the last neuron."""
        return f"ops.{max(i for i, m in enumerate(self.ops) if isinstance(m, LatticeFiring))}"
