"""The dependency analysis: which channels of a model go together."""

from rheobase.compression.pruning.tracing.found import Site, Trace
from rheobase.compression.pruning.tracing.recorder import Run, call, trace

__all__ = ["Run", "Site", "Trace", "call", "trace"]
