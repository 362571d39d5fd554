"""What pruning raises when a model cannot be cut."""

from rheobase.errors import RheobaseError


class PruneError(RheobaseError):
    """A model or plan cannot be pruned or applied; the message names module, operation and reason."""
