"""The fast host engine: integer programs by event-driven and bit-level kernels, equal to their reference."""

from rheobase.engine.engine import Engine, LayerTime, Stream

__all__ = ["Engine", "LayerTime", "Stream"]
