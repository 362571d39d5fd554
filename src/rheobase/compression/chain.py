"""The layers of a model as the chain they form, read from its traced graph."""

from collections.abc import Iterator

from torch import fx, nn

from rheobase.errors import LatticeError
from rheobase.neurons import Neuron


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, Neuron) or not list(m.children()) or hasattr(m, "parametrizations")


def forward_chain(model: nn.Module) -> Iterator[str]:
    """Names of the leaf modules of a model that is a plain chain, in forward order."""
    graph = _Tracer().trace(model)
    previous: fx.Node | None = None
    for node in graph.nodes:
        if node.op == "placeholder":
            previous = node
        elif node.op == "output":
            return
        elif node.op == "call_module" and list(node.args) == [previous] and not node.kwargs:
            yield str(node.target)
            previous = node
        elif node.op == "call_module":
            raise LatticeError(
                f"layer {node.target!r} does not follow {previous}: only plain chains can be hardened so far, "
                "a residual or branching model cannot"
            )
        else:
            raise LatticeError(
                f"operation {getattr(node.target, '__name__', node.target)!r} after {previous} joins branches or "
                "computes outside a layer: only plain chains can be hardened so far"
            )
