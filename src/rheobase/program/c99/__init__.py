"""Programs as C99: what an op emits, and the generator that writes the folder."""

from rheobase.program.c99.generator import Source, generate, write_c

__all__ = ["Source", "generate", "write_c"]
