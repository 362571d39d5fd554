"""An integer coding as C99: `encoder.h`, `encoder.c`, and `pipeline.c`, which joins it to a network's `model.c`."""

import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from numpy.typing import NDArray

from rheobase.files import atomic_write
from rheobase.signals.program.bands import IntegerBands
from rheobase.signals.program.chain import IntegerCoding
from rheobase.signals.program.log_mel import IntegerLogMel
from rheobase.signals.program.tae import Integers


@dataclass(frozen=True)
class Part:
    """What a front end adds to the encoder: tables, functions, members of its state, and statements of its reset."""

    constants: list[str]
    code: str
    state: list[str]
    reset: list[str]


@dataclass(frozen=True)
class Source:
    """Generated C, by file name."""

    prefix: str
    files: dict[str, str]


def generate(coding: IntegerCoding, name: str) -> Source:
    """The C of a coding for a network whose C begins its names with `name` (letters, digits and _).

    Files: `encoder.h`, `encoder.c`, `pipeline.c`, and `host.c`, which is for this machine alone.
    """
    prefix = re.sub(r"[^A-Za-z0-9_]", "_", name)
    part, encoder = _front(coding, prefix), coding.encoder
    common = {
        "title": f"Signal encoder of rheobase program {name}",
        "prefix": prefix,
        "PREFIX": prefix.upper(),
        "channels": coding.channels,
        "pool": coding.pool,
        "sampling": f"{coding.sampling:.10g}",
    }
    vectors = {name: getattr(encoder, name) for name in ("scale", "start", "least", "most")}
    constants = [table("int32_t", name, values) for name, values in vectors.items()]
    constants += [f"#define GROWTH {encoder.growth}u\n#define SHRINKAGE {encoder.shrinkage}u"]
    texts = {
        "encoder.h": fill("encoder.h", **common, state="\n".join(f"    {line}" for line in part.state)),
        "encoder.c": fill(
            "encoder.c",
            **common,
            constants="\n\n".join([*constants, *part.constants]),
            front=part.code,
            step="s != 0 ? moved : 0" if encoder.jump else "s * (int32_t)threshold",
            reset="\n".join(f"    encoder->{line};" for line in part.reset),
        ),
        "pipeline.c": fill("pipeline.c", **common),
        "host.c": fill("host.c", **common),
    }
    return Source(prefix, texts)


def write_encoder(coding: IntegerCoding, name: str, folder: Path) -> list[Path]:
    """Write `encoder.h`, `encoder.c` and `pipeline.c` beside a network's C; return their paths.

    Raises:
        OSError: a file cannot be written.
    """
    texts = generate(coding, name).files
    paths = [Path(folder) / file for file in ("encoder.h", "encoder.c", "pipeline.c")]
    for path in paths:
        atomic_write(path, texts[path.name])
    return paths


def _front(coding: IntegerCoding, prefix: str) -> Part:
    front = coding.front
    if isinstance(front, IntegerLogMel):
        return _log_mel(front, prefix)
    if isinstance(front, IntegerBands):
        return _bands(front, prefix)
    return Part([], fill("samples.c", prefix=prefix), [], [])


def _log_mel(front: IntegerLogMel, prefix: str) -> Part:
    half = front.points // 2
    constants = [
        table("uint16_t", "hann", front.hann),
        table("int32_t", "cosine", front.cosine),
        table("uint16_t", "band", front.band),
        table("uint16_t", "weight", front.weights),
        table("uint16_t", "logarithm", front.logarithm),
        f"#define FLOOR UINT64_C({front.floor})",
    ]
    code = fill(
        "log_mel.c",
        prefix=prefix,
        half=half,
        length=front.length,
        hop=front.hop,
        down=15 - front.fraction,
        power_shift=2 * front.fraction + 2,
    )
    state = [
        f"int16_t window[{front.length}]; /* the last samples, the oldest at `at` */",
        "int32_t at, wait;",
        f"int32_t re[{half}], im[{half}]; /* dead between frames */",
    ]
    return Part(constants, code, state, [f"wait = {front.length}"])


def _bands(front: IntegerBands, prefix: str) -> Part:
    bands, sections, _ = front.sections.shape
    code = fill(
        "bands.c",
        prefix=prefix,
        bands=bands,
        sections=sections,
        fraction=front.fraction,
        limit=front.limit,
        raw="    values[0] = x;" if front.raw else "",
        first=int(front.raw),
    )
    state = [
        f"int32_t past[{bands}][{sections + 1}][2]; /* before and after each section */",
        f"int32_t rest[{bands}][{sections}];",
    ]
    flat = front.sections.reshape(-1, 5)
    return Part([table("int32_t", "section", flat)], code, state, [])


def table(ctype: str, name: str, values: Integers) -> str:
    """A constant array of one or two axes."""
    sizes = "".join(f"[{size}]" for size in values.shape)
    return f"static const {ctype} {name}{sizes} = {{\n    {rows(values)}\n}};"


def rows(values: NDArray[Any]) -> str:
    """The elements of an array of one or two axes, in lines of twelve."""
    each = [", ".join(map(str, row)) for row in values.reshape(len(values), -1).tolist()]
    if values.ndim > 1:
        each = [f"{{{row}}}" for row in each]
    return ",\n    ".join(", ".join(each[i : i + 12]) for i in range(0, len(each), 12))


def fill(name: str, /, **parameters: object) -> str:
    """A template of this package with its `${parameters}` filled in."""
    return Template(files(__package__).joinpath("templates", name).read_text()).substitute(parameters)
