"""The layers of a model and how they are joined, read by tracing it."""

from torch import fx, nn

from rheobase.compression.protocols import MixesTime
from rheobase.neurons import Neuron


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, Neuron | MixesTime) or not list(m.children()) or hasattr(m, "parametrizations")


def trace(model: nn.Module) -> fx.Graph:
    """The graph of a model's forward pass, whose `call_module` nodes are neurons and layers without children.

    What the result does not depend on is left out.
    """
    graph = _Tracer().trace(model)
    for node in reversed(graph.nodes):
        if not node.users and node.op not in ("placeholder", "output"):
            graph.erase_node(node)
    return graph


def layer_names(model: nn.Module) -> list[str]:
    """Names of the layers of a model, in forward order."""
    return [str(node.target) for node in trace(model).nodes if node.op == "call_module"]


def name_of(node: fx.Node) -> str:
    """A node's name for people: a layer's own, or that of an operation within the module that computes it."""
    if node.op == "call_module":
        return str(node.target)
    path = [name for name in node.meta.get("nn_module_stack", {}) if name]
    operation = str(getattr(node.target, "__name__", node.target))
    return ".".join([*path[-1:], operation])
