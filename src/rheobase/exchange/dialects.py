"""How the readers of NIR differ: the same nodes, brought to the form that one of them runs as it is meant.

NIR: tau dv/dt = v_leak - v + r I (LIF), dv/dt = r I (IF); z = 1[v > v_threshold]; v = v_reset after a spike. All forms have
r = 1 and v_leak = 0, so that one Euler step of `DT` is v <- (1 - DT/tau) v + (DT/tau) I, and a membrane in units of the
current is DT/tau times as large: v_threshold = threshold * DT/tau (IF: the current is added whole, v_threshold =
threshold). Where a neuron fires at its threshold, the greatest float32 below is written.

| dialect | pools | IF | thresholds of a layer | reset to | joins |
| --- | --- | --- | --- | --- | --- |
| `rheobase` | sums | IF | any | any | yes |
| `norse` | sums | IF | any | 0 | no: its reader runs a join before all that it joins is there |
| `snntorch` | averages | LIF, tau 10^12 s (it reads an IF as a leak of 0.1) | one: weights are divided by theirs | 0 | yes |

Sources: the importers of norse 1.1.0 and snnTorch 1.0.0 (which fixes the step at 10^-4 s).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from rheobase.errors import RecipeError, unknown
from rheobase.exchange.losses import ExchangeError, Loss
from rheobase.exchange.sketch import Fire, Flat, Node, Pool, Sketch, Sum, Weighted, scaled

DT = 1e-4
FOREVER = 1e12  # seconds; 1 - DT/FOREVER is 1 in float32


@dataclass(frozen=True)
class Dialect:
    """What a reader of NIR takes. `name` is also the module that reads it; `rheobase` reads back its own metadata."""

    name: str
    average_pools: bool = False
    if_as_lif: bool = False
    one_threshold: bool = False
    reset_to_zero: bool = True
    joins: bool = True
    complete: bool = False  # its reader loses nothing


DIALECTS: dict[str, Dialect] = {
    each.name: each
    for each in (
        Dialect("rheobase", reset_to_zero=False, complete=True),
        Dialect("norse", joins=False),
        Dialect("snntorch", average_pools=True, if_as_lif=True, one_threshold=True),
    )
}


def dialect_of(name: str) -> Dialect:
    """The dialect of that name.

    Raises:
        RecipeError: there is none; the message lists them.
    """
    if name not in DIALECTS:
        raise RecipeError(unknown("NIR dialect", name, DIALECTS))
    return DIALECTS[name]


def spoken(sketch: Sketch, dialect: Dialect) -> Sketch:
    """The nodes as the dialect takes them, and all that it loses.

    Raises:
        ExchangeError: the graph cannot be brought to that form.
    """
    nodes = replace(sketch, nodes=list(sketch.nodes), losses=list(sketch.losses))
    if dialect.one_threshold:
        _divide_by_thresholds(nodes)
    _turn_pools(nodes, dialect)
    nodes.losses.extend(_losses(nodes, dialect))
    return nodes


def _losses(sketch: Sketch, dialect: Dialect) -> Iterator[Loss]:
    for node in sketch.nodes:
        if isinstance(node, Sum) and not dialect.joins:
            yield Loss(node.name, f"{dialect.name} adds what comes late one step later, where branches join")
        if not isinstance(node, Fire):
            continue
        if node.v_reset is None:
            yield Loss(
                node.name, "a spike resets the membrane to 0 and does not take the threshold off (soft reset)"
            )
        elif dialect.reset_to_zero and bool((node.v_reset != 0).any()):
            yield Loss(
                node.name, f"a spike resets the membrane to 0, not to {np.unique(node.v_reset)[:4].tolist()}"
            )


def _divide_by_thresholds(sketch: Sketch) -> None:
    """Layers of several thresholds get the threshold 1, and their weights are divided."""
    for index, node in enumerate(sketch.nodes):
        if not isinstance(node, Fire) or len(np.unique(node.threshold)) == 1:
            continue
        (source,) = node.inputs  # weights of its own
        sketch.nodes[source] = scaled(sketch.nodes[source], 1 / node.threshold)
        reset = None if node.v_reset is None else node.v_reset / node.threshold
        sketch.nodes[index] = replace(node, threshold=np.ones_like(node.threshold), v_reset=reset)
        if sketch.rounds and not _powers_of_two(node.threshold):
            sketch.losses.append(
                Loss(
                    node.name,
                    "weights divided by the thresholds of their channels are rounded to float32, which could change a spike",
                )
            )


def _turn_pools(sketch: Sketch, dialect: Dialect) -> None:
    """Sums to averages or the other way round; the window's area goes into the next weights."""
    units: dict[int, float] = {-1: 1.0}
    for index, node in enumerate(sketch.nodes):
        given = {units[source] for source in node.inputs}
        if len(given) != 1 or (isinstance(node, Fire) and given != {1.0}):
            raise ExchangeError(
                f"{node.name!r} reads a pool without weights between: {dialect.name} has no place for the window's area"
            )
        unit = given.pop()
        if isinstance(node, Pool) and node.average != dialect.average_pools:
            area = float(prod(node.kernel))
            if sketch.rounds and not _powers_of_two(np.array([area])):
                sketch.losses.append(
                    Loss(
                        node.name,
                        f"averages of {area:.0f} values are rounded to float32, which could change a spike",
                    )
                )
            unit *= area if dialect.average_pools else 1 / area
            sketch.nodes[index] = replace(node, average=dialect.average_pools)
        elif isinstance(node, Weighted):
            sketch.nodes[index] = replace(node, weight=node.weight * unit)
            unit = 1.0
        units[index] = unit


def _powers_of_two(values: np.ndarray) -> bool:
    return bool((np.frexp(values)[0] == 0.5).all())


def edges(sketch: Sketch) -> list[tuple[int, int]]:
    """Pairs of node and reader; -1 is the frame, the number of nodes the output.

    Sums have no node in NIR: whoever reads several values adds them.

    Raises:
        ExchangeError: a node reads one value twice.
    """

    def sources(index: int) -> list[int]:
        if index < 0 or not isinstance(sketch.nodes[index], Sum):
            return [index]
        return [each for source in sketch.nodes[index].inputs for each in sources(source)]

    output = len(sketch.nodes)
    readers = [(i, node.inputs) for i, node in enumerate(sketch.nodes) if not isinstance(node, Sum)]
    readers.append((output, (output - 1,)))
    found = [(each, i) for i, inputs in readers for source in inputs for each in sources(source)]
    if len(set(found)) < len(found):
        pair = next(pair for pair in found if found.count(pair) > 1)
        raise ExchangeError(
            f"{names(sketch)[pair[0]] if pair[0] >= 0 else 'the frame'} is added to itself, which NIR cannot say"
        )
    return found


def names(sketch: Sketch) -> list[str]:
    """A name for each node: an identifier that says kind, place and layer."""
    kinds: dict[type[Node], str] = {
        Weighted: "weights",
        Pool: "pool",
        Flat: "flatten",
        Fire: "neurons",
        Sum: "sum",
    }
    plain = ["".join(c if c.isalnum() else "_" for c in node.name) for node in sketch.nodes]
    return [
        f"{kinds[type(node)]}_{index}_{name}"
        for index, (node, name) in enumerate(zip(sketch.nodes, plain, strict=True))
    ]
