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

    def __str__(self) -> str:
        return f"{self.layer}: {self.what}"


def require_none(losses: Sequence[Loss], target: str) -> None:
    """Refuse an export that loses something.

    Raises:
        ExchangeError: names every loss.
    """
    if losses:
        raise ExchangeError(
            f"{target} cannot say all of this network: {'; '.join(map(str, losses))}. "
            "Export with allow_loss=True to write it all the same"
        )
