"""From a trace to groups of channels: what is ranked together, and what each channel takes with it when it goes."""

from dataclasses import dataclass, field

import numpy as np

from rheobase.compression.pruning.errors import PruneError
from rheobase.compression.pruning.plan import Cut, PrunePlan
from rheobase.compression.pruning.tensors import module_of
from rheobase.compression.pruning.tracing import Trace


@dataclass(frozen=True, eq=False)
class Group:
    """The output channels of one layer, or of several that residual additions tie together.

    `channels`: the sets of the trace, in the order of the first layer's outputs; `free`: which of them may go; `units`:
    what goes at once, as indices into `channels`, ranked within `rows` by the caller.
    """

    name: str
    layers: tuple[str, ...]
    channels: tuple[int, ...]
    free: tuple[bool, ...]
    rows: tuple[tuple[int, ...], ...] = ()
    reasons: dict[int, str] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Number of channels, those that must stay included."""
        return len(self.channels)


def find_groups(trace: Trace) -> list[Group]:
    """The groups with a channel that may go, in forward order.

    Layers share a group when they share a channel. A channel may go unless the trace froze it. Rows (attention heads)
    must keep equal numbers: where one of their channels must stay, or where two splits contradict each other, all stay.
    """
    layers = {name: trace.roots(name, 0).tolist() for name in trace.producers if (name, 0) in trace.axes}
    frozen: dict[int, str] = {}
    for channel, reason in trace.frozen.items():
        frozen.setdefault(trace.channels.find(channel), reason)
    rows = [
        [frozenset(trace.channels.find(channel) for channel in row) for row in rows] for rows in trace.rows
    ]
    groups = []
    for names in _together(layers):
        channels = list(dict.fromkeys(channel for name in names for channel in layers[name]))
        inside = {row for split in rows for row in split if row & set(channels)}
        stuck = _stuck(inside, frozen)
        reasons = {
            i: frozen.get(c, stuck.get(c, "")) for i, c in enumerate(channels) if c in frozen or c in stuck
        }
        if len(reasons) == len(channels):
            continue
        index = {channel: i for i, channel in enumerate(channels)}
        groups.append(
            Group(
                name=module_of(names[0]),
                layers=tuple(module_of(name) for name in names),
                channels=tuple(channels),
                free=tuple(i not in reasons for i in range(len(channels))),
                rows=tuple(
                    sorted(
                        tuple(sorted(index[c] for c in row))
                        for row in inside
                        if not any(index[c] in reasons for c in row)
                    )
                ),
                reasons=reasons,
            )
        )
    return groups


def _together(layers: dict[str, list[int]]) -> list[list[str]]:
    """Layer names that share a channel, directly or through others."""
    found: list[tuple[list[str], set[int]]] = []
    for name, channels in layers.items():
        touching = [each for each in found if each[1] & set(channels)]
        merged = (
            [n for each in touching for n in each[0]] + [name],
            set(channels).union(*(e[1] for e in touching)),
        )
        position = found.index(touching[0]) if touching else len(found)
        found = [each for each in found if each not in touching]
        found.insert(position, merged)
    return [names for names, _ in found]


def _stuck(rows: set[frozenset[int]], frozen: dict[int, str]) -> dict[int, str]:
    """Channels of rows that cannot shrink evenly."""
    everything = frozenset[int]().union(*rows) if rows else frozenset[int]()
    if any(row & frozen.keys() for row in rows):
        return dict.fromkeys(everything, "they must keep equal numbers with channels that stay")
    if (
        any(one & other for one in rows for other in rows if one != other)
        or len({len(row) for row in rows}) > 1
    ):
        return dict.fromkeys(everything, "two splits into equal blocks contradict each other")
    return {}


def cuts(trace: Trace, removed: set[int]) -> tuple[Cut, ...]:
    """Every parameter and buffer axis that shrinks when these channels go.

    Raises:
        PruneError: nothing would be left of a tensor.
    """
    found = []
    for (tensor, axis), (_, size) in trace.axes.items():
        stays = [i for i, root in enumerate(trace.roots(tensor, axis).tolist()) if root not in removed]
        if not stays:
            raise PruneError(
                f"all {size} channels of {tensor!r} would go, because the others of their group must stay: give these layers a "
                "smaller ratio (overrides), or 0"
            )
        if len(stays) < size:
            found.append(Cut(tensor=tensor, axis=axis, size=size, kept=tuple(stays)))
    return tuple(found)


def compare(before: Trace, after: Trace, plan: PrunePlan) -> None:
    """Check that channels which meet in the slimmed model met before: that the cut kept every wire where it was.

    Raises:
        PruneError: two channels meet that did not; the message names the tensors.
    """
    kept = {(cut.tensor, cut.axis): cut.kept for cut in plan.cuts}
    first: dict[int, tuple[int, str]] = {}
    for (tensor, axis), (_, size) in before.axes.items():
        if (tensor, axis) not in after.axes:
            continue  # one channel is left, which has nothing to be mistaken for
        roots = before.roots(tensor, axis)[list(kept.get((tensor, axis), range(size)))]
        for old, new in zip(roots.tolist(), after.roots(tensor, axis).tolist(), strict=True):
            known, where = first.setdefault(new, (old, tensor))
            if known != old:
                raise PruneError(f"channels of {where!r} and {tensor!r} meet that did not meet before")


def why_none(trace: Trace) -> list[str]:
    """Why no channel that a layer makes may go."""
    reasons = {trace.channels.find(channel): reason for channel, reason in trace.frozen.items()}
    made = {
        root for name in trace.producers if (name, 0) in trace.axes for root in trace.roots(name, 0).tolist()
    }
    return sorted(
        {reasons.get(root, "they must keep equal numbers with channels that stay") for root in made}
    )


def positions(trace: Trace, tensor: str, axis: int, group: Group) -> np.ndarray:
    """For each position along a tensor's axis, the index of its channel in the group, -1 where it is none of it.

    Shape: `[size]`.
    """
    index = {channel: i for i, channel in enumerate(group.channels)}
    return np.array([index.get(int(root), -1) for root in trace.roots(tensor, axis)], dtype=np.int64)
