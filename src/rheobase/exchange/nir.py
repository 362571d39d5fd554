"""NIR files: programs and float models for other frameworks, and programs back again, equal to the bit.

A file holds the nodes in the form of one dialect (`dialects`) and, of a program, all that nodes cannot say in the metadata:
`rheobase_program` (the description that program files have, as JSON), `rheobase_digest`, `rheobase_dialect`, and each integer
array as `rheobase_<op>.<field>`, weights packed. `import_nir` reads the metadata and checks the nodes against it.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from rheobase.errors import ProgramError
from rheobase.exchange.dialects import DT, FOREVER, Dialect, dialect_of, edges, names, spoken
from rheobase.exchange.losses import ExchangeError, Loss, require_none
from rheobase.exchange.sketch import Array, Fire, Flat, Node, Pool, Sketch, Sum, Weighted, from_program
from rheobase.program.ir import Program
from rheobase.program.storage import decode, encode

if TYPE_CHECKING:
    from rheobase.models import SpikingModel

PREFIX = "rheobase_"


@dataclass(frozen=True)
class NirExport:
    """A NIR graph, the names of its neuron nodes in forward order, and what its reader does otherwise."""

    graph: Any
    neurons: list[str]
    losses: list[Loss]


def export_nir(
    network: "Program | SpikingModel", path: Path, *, dialect: str = "rheobase", allow_loss: bool = False
) -> NirExport:
    """Write a network as a NIR file.

    Raises:
        ExchangeError: something cannot be written, or is lost and `allow_loss` is not given; the message lists it.
        RecipeError: an unknown dialect.
        OSError: the file cannot be written.
    """
    found = to_nir(network, dialect=dialect, allow_loss=allow_loss)
    path.parent.mkdir(parents=True, exist_ok=True)
    _nir().write(path, found.graph)
    return found


def to_nir(
    network: "Program | SpikingModel", *, dialect: str = "rheobase", allow_loss: bool = False
) -> NirExport:
    """A network as a NIR graph; see `export_nir`.

    The dialect `rheobase` refuses no program, as `import_nir` gives it back whole; what other readers of such a file would lose
    is listed in `losses`.
    """
    spoke = dialect_of(dialect)
    if isinstance(network, Program):
        sketch, metadata = from_program(network), _metadata(network, spoke)
    else:
        from rheobase.exchange.from_model import from_model

        sketch, metadata = from_model(network), {f"{PREFIX}dialect": spoke.name}
    sketch = spoken(sketch, spoke)
    if not allow_loss and not (spoke.complete and isinstance(network, Program)):
        require_none(sketch.losses, f"NIR for {spoke.name}")
    called = names(sketch)
    neurons = [
        name
        for name, node in zip(called, sketch.nodes, strict=True)
        if isinstance(node, Fire) and node.counted
    ]
    return NirExport(_graph(sketch, called, spoke, metadata), neurons, sketch.losses)


def import_nir(path: Path) -> Program:
    """The program in a NIR file that `export_nir` wrote, in any dialect; its digest is that of the program exported.

    Raises:
        ExchangeError: not such a file, or its nodes or metadata were changed since.
        OSError: the file cannot be read.
    """
    if not path.is_file():
        raise FileNotFoundError(2, "No such file or directory", str(path))
    try:
        graph = _nir().read(path)
        metadata = dict(graph.metadata)
        description = json.loads(metadata[f"{PREFIX}program"])
        digest, dialect = metadata[f"{PREFIX}digest"], metadata[f"{PREFIX}dialect"]
    except (KeyError, ValueError, TypeError, AttributeError, AssertionError, OSError) as error:
        raise ExchangeError(
            f"{path} is not a NIR file with a rheobase program in its metadata: {error!r}"
        ) from None
    tensors = {
        key.removeprefix(PREFIX): value for key, value in metadata.items() if isinstance(value, np.ndarray)
    }
    try:
        program = decode(description, tensors)
        program.validate()
    except ProgramError as error:
        raise ExchangeError(f"{path}: {error}") from None
    if program.digest() != digest:
        raise ExchangeError(f"{path}: the program in the metadata does not have the digest {digest}")
    again = to_nir(program, dialect=dialect, allow_loss=True).graph
    if difference := _difference(graph, again):
        raise ExchangeError(
            f"{path}: {difference} is not that of the program in the metadata. The nodes were changed after the "
            "export; such a network is not the program any more"
        )
    return program


def _nir() -> Any:
    try:
        import nir
    except ImportError:
        raise ExchangeError("NIR files need the package nir: pip install 'rheobase[nir]'") from None
    return nir


def _metadata(program: Program, dialect: Dialect) -> dict[str, Any]:
    description, tensors = encode(program)
    return {
        f"{PREFIX}program": json.dumps(description, sort_keys=True, allow_nan=False),
        f"{PREFIX}digest": program.digest(),
        f"{PREFIX}dialect": dialect.name,
        "dt": DT,
        "steps": program.T,
        "readout": "sum of the output over all steps",
        **{f"{PREFIX}{name}": array for name, array in tensors.items()},
    }


def _graph(sketch: Sketch, called: list[str], dialect: Dialect, metadata: dict[str, Any]) -> Any:
    nir = _nir()
    shapes = {-1: sketch.input_shape, **{i: node.shape for i, node in enumerate(sketch.nodes)}}
    nodes = {"input": nir.Input(input_type=np.array(sketch.input_shape))}
    for index, (name, node) in enumerate(zip(called, sketch.nodes, strict=True)):
        if not isinstance(node, Sum):
            nodes[name] = WRITERS[type(node)](node, shapes[node.inputs[0]], dialect)
            nodes[name].metadata["layer"] = sketch.nodes[index].name
    nodes["output"] = nir.Output(output_type=np.array(sketch.nodes[-1].shape))
    places = {-1: "input", **dict(enumerate([*called, "output"]))}
    wires = [(places[a], places[b]) for a, b in edges(sketch)]
    return nir.NIRGraph(nodes=nodes, edges=wires, metadata=metadata)


def _write_weights(node: Node, shape: tuple[int, ...], dialect: Dialect) -> Any:
    layer = cast(Weighted, node)
    weight, bias = layer.weight.astype(np.float32), layer.bias.astype(np.float32)
    if weight.ndim == 2:
        return _nir().Affine(weight=weight, bias=bias)
    if weight.shape[2] != weight.shape[3]:
        raise ExchangeError(
            f"{layer.name!r} has windows of {weight.shape[2]}x{weight.shape[3]}; nir 1.0.8 takes shapes of square ones only"
        )
    return _nir().Conv2d(
        input_shape=shape[1:],
        weight=without_groups(weight, layer.groups),
        stride=(layer.stride, layer.stride),
        padding=(layer.padding, layer.padding),
        dilation=(layer.dilation, layer.dilation),
        groups=1,
        bias=bias,
    )


def _write_pool(node: Node, shape: tuple[int, ...], dialect: Dialect) -> Any:
    pool = cast(Pool, node)
    kind = _nir().AvgPool2d if pool.average else _nir().SumPool2d
    kernel = np.array(pool.kernel)
    return kind(kernel_size=kernel, stride=kernel, padding=np.zeros(2, int))


def _write_flatten(node: Node, shape: tuple[int, ...], dialect: Dialect) -> Any:
    """NIR's shapes have no batch axis, so that all axes are flattened; readers that batch must start at 1."""
    return _nir().Flatten(input_type={"input": np.array(shape)}, start_dim=0, end_dim=-1)


def _write_neurons(node: Node, shape: tuple[int, ...], dialect: Dialect) -> Any:
    nir, fire = _nir(), cast(Fire, node)
    reset = np.zeros_like(fire.threshold) if fire.v_reset is None else fire.v_reset
    threshold = fire.threshold if fire.strict else just_below(fire.threshold)
    ones = np.ones(node.shape)
    said = {"reset": "subtract" if fire.v_reset is None else "value", "strict": int(fire.strict)}
    if fire.keep == 1.0 and not dialect.if_as_lif:
        return nir.IF(
            r=ones, v_threshold=spread(threshold, shape), v_reset=spread(reset, shape), metadata=said
        )
    tau = FOREVER if fire.keep == 1.0 else DT / (1 - fire.keep)
    return nir.LIF(
        tau=tau * ones,
        r=ones,
        v_leak=0 * ones,
        v_threshold=spread(threshold * (DT / tau), shape),
        v_reset=spread(reset * (DT / tau), shape),
        metadata=said,
    )


WRITERS: dict[type[Node], Callable[[Node, tuple[int, ...], Dialect], Any]] = {
    Weighted: _write_weights,
    Pool: _write_pool,
    Flat: _write_flatten,
    Fire: _write_neurons,
}


def without_groups(weight: NDArray[Any], groups: int) -> NDArray[Any]:
    """The same convolution in one group, with zeros between: nir 1.0.8 and its readers take the second axis for all inputs.

    Shape: `[Cout, Cin / groups, kh, kw]` to `[Cout, Cin, kh, kw]`.
    """
    if groups == 1:
        return weight
    out, part = len(weight) // groups, weight.shape[1]
    dense = np.zeros((len(weight), part * groups, *weight.shape[2:]), weight.dtype)
    for group in range(groups):
        rows = slice(group * out, (group + 1) * out)
        dense[rows, group * part : (group + 1) * part] = weight[rows]
    return dense


def just_below(threshold: Array) -> Array:
    """The greatest float32 below each threshold (itself rounded to float32): v > it is v >= threshold."""
    return np.nextafter(threshold.astype(np.float32), np.float32(-np.inf)).astype(float)


def spread(values: Array, shape: tuple[int, ...]) -> Array:
    """One value a channel to one a place."""
    return np.ascontiguousarray(np.broadcast_to(values.reshape(-1, *[1] * (len(shape) - 1)), shape))


def _difference(a: Any, b: Any) -> str | None:
    """The first node, field or edge in which two graphs differ."""
    if sorted(map(tuple, a.edges)) != sorted(map(tuple, b.edges)):
        return "its wiring"
    for name in sorted({*a.nodes, *b.nodes}):
        first, second = (graph.nodes.get(name) for graph in (a, b))
        if type(first) is not type(second):
            return f"node {name!r}"
        for key, value in second.to_dict().items():
            if key != "metadata" and not np.array_equal(first.to_dict()[key], value):
                return f"{key} of node {name!r}"
    return None
