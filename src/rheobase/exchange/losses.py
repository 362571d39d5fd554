"""What an exchange format or a framework that reads it cannot say."""

from collections.abc import Sequence
from dataclasses import dataclass

from rheobase.errors import RheobaseError


class ExchangeError(RheobaseError):
    """A network cannot be written in a format, or a file cannot be read as one."""


@dataclass(frozen=True)
class Loss:
    """One thing that the reader of a file does otherwise than the network that was written."""

    layer: str
    what: str


def told(losses: Sequence[Loss]) -> list[str]:
    """One line for each kind of loss, with the layers that it concerns.

    >>> told([Loss("a", "no leak"), Loss("b", "no reset"), Loss("c", "no leak")])
    ['a, c: no leak', 'b: no reset']
    """
    layers: dict[str, list[str]] = {}
    for loss in losses:
        layers.setdefault(loss.what, []).append(loss.layer)
    return [f"{', '.join(names)}: {what}" for what, names in layers.items()]


def require_none(losses: Sequence[Loss], target: str) -> None:
    """Refuse an export that loses something.

    Raises:
        ExchangeError: names every loss.
    """
    if losses:
        raise ExchangeError(
            f"{target} cannot say all of this network: {'; '.join(told(losses))}. "
            "Export with allow_loss=True to write it all the same"
        )
