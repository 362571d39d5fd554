"""Sections and objects of a relocatable ELF file: enough to weigh compiled code without binutils."""

import struct
from dataclasses import dataclass

from rheobase.errors import ProgramError

SYMBOL_TABLE, NO_BITS, OBJECT = 2, 8, 1
ALLOCATED, WRITABLE, EXECUTABLE = 2, 1, 4


@dataclass(frozen=True)
class Section:
    """A section that is loaded into memory."""

    name: str
    size: int
    code: bool  # executable
    constant: bool  # neither executable nor writable: it can stay in flash


@dataclass(frozen=True)
class Elf:
    """Loaded sections, and the sizes of named data objects."""

    sections: list[Section]
    objects: dict[str, int]


def read(data: bytes) -> Elf:
    """Read a little-endian ELF file of 32 or 64 bits.

    Raises:
        ProgramError: not such a file, or cut short.
    """
    if data[:4] != b"\x7fELF" or data[4:6] not in (b"\x01\x01", b"\x02\x01"):
        raise ProgramError("not a little-endian ELF object file; code size is read from ELF objects only")
    wide = data[4] == 2
    try:
        table = struct.unpack_from("<Q" if wide else "<I", data, 40 if wide else 32)[0]
        entry, count, names = struct.unpack_from("<HHH", data, 58 if wide else 46)
        # name, type, flags, address, offset, size, link, info, align, entry size
        headers = [
            struct.unpack_from("<IIQQQQIIQQ" if wide else "<10I", data, table + i * entry)
            for i in range(count)
        ]
        strings = headers[names][4]
        sections = [
            Section(
                _name(data, strings + name),
                size,
                code=bool(flags & EXECUTABLE),
                constant=not flags & (EXECUTABLE | WRITABLE) and kind != NO_BITS,
            )
            for name, kind, flags, _, _, size, *_ in headers
            if flags & ALLOCATED
        ]
        objects = {}
        for _, kind, _, _, offset, size, link, _, _, each in headers:
            if kind == SYMBOL_TABLE and each:
                for at in range(offset, offset + size, each):
                    if wide:
                        name, info, _, _, _, length = struct.unpack_from("<IBBHQQ", data, at)
                    else:
                        name, _, length, info, _, _ = struct.unpack_from("<IIIBBH", data, at)
                    if info & 15 == OBJECT:
                        objects[_name(data, headers[link][4] + name)] = length
    except (struct.error, IndexError):
        raise ProgramError("the ELF object file is cut short") from None
    return Elf(sections, objects)


def _name(data: bytes, at: int) -> str:
    return data[at : data.index(b"\0", at)].decode(errors="replace")
