"""A network as a graph of integer ops."""

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from rheobase.errors import ProgramError
from rheobase.program import ranges
from rheobase.program.ops import Firing, Op, Readout
from rheobase.program.ops.base import MOST_STEPS, Kind, Shape, whole

VERSION = 3
FRAME = -1  # the input that is no op's result
LARGEST_MAP = 1 << 26  # values of one layer; far beyond any target
MOST_OPS = 1 << 14
InputType = Literal["uint8", "int8"]
INPUT_TYPES = ("uint8", "int8")


@dataclass(frozen=True, eq=False)
class Program:
    """A network that counts in integers from event-count frames to class scores.

    A step takes a frame `[C, H, W]` of `input_type` (uint8, or int8 where counts have a sign) through `ops` in order,
    each of which reads the frame or results of ops before it (see `Op.inputs`); the last one is a `Readout`. `T` is
    the number of steps that the program was made for. A score in the training framework's unit is
    `logit_scale * logit`.

    Raises:
        ProgramError: the name is unusable or the ops are not ops; everything else is for `validate`.
    """

    name: str
    input_shape: tuple[int, int, int]
    T: int
    ops: Sequence[Op]
    metadata: Mapping[str, str | int | float] = field(default_factory=dict)
    logit_scale: float = 1.0
    version: int = VERSION
    input_type: InputType = "uint8"

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]{0,63}", self.name):
            raise ProgramError(
                f"program name {self.name!r} must be a letter and up to 63 letters, digits and _.-"
            )
        for op in self.ops:
            if not isinstance(op, Op):
                raise ProgramError(f"ops must be program ops, got {type(op).__name__}")
        object.__setattr__(self, "input_shape", tuple(self.input_shape))
        ops = (op if op.inputs else replace(op, inputs=(i - 1,)) for i, op in enumerate(self.ops))
        object.__setattr__(self, "ops", tuple(ops))
        object.__setattr__(self, "metadata", dict(self.metadata))

    @property
    def neurons(self) -> list[Firing]:
        """The neuron layers, in order."""
        return [op for op in self.ops if isinstance(op, Firing)]

    @property
    def most_steps(self) -> int:
        """Steps that it can run from a reset on, logits apart: an op with numbers by step has an end."""
        return min((op.most_steps for op in self.ops), default=MOST_STEPS)

    @property
    def classes(self) -> int:
        """Number of class scores."""
        return self.shapes()[-1][0]

    def label(self, index: int) -> str:
        """Name of an op for messages and tables, e.g. `op 3 Conv2d 'features.4'`."""
        op = self.ops[index]
        return f"op {index} {type(op).__name__}" + (f" {op.name!r}" if op.name else "")

    def readers(self) -> list[list[int]]:
        """Places of the ops that read each op's result, in order, an op that reads it twice once.

        Raises:
            ProgramError: an op reads what does not come before it.
        """
        found: list[list[int]] = [[] for _ in self.ops]
        for index, op in enumerate(self.ops):
            for source in op.inputs:
                if isinstance(source, bool) or not isinstance(source, int) or not FRAME <= source < index:
                    raise ProgramError(
                        f"{self.label(index)} reads op {source!r}; an op reads ops before it, here {FRAME} "
                        f"(the frame) to {index - 1}"
                    )
                if source != FRAME and index not in found[source]:
                    found[source].append(index)
        return found

    def kinds(self) -> list[Kind]:
        """What each op gives: events, a current or logits.

        Raises:
            ProgramError: an op cannot read what its inputs give, or a result is never read.
        """
        readers = self.readers()
        if not self.ops or not isinstance(self.ops[-1], Readout):
            raise ProgramError("a program ends with a Readout")
        found: dict[int, Kind] = {FRAME: "events" if self.input_type == "uint8" else "signed"}
        for index, op in enumerate(self.ops):
            try:
                found[index] = op.output_kind(*(found[source] for source in op.inputs))
            except ProgramError as error:
                raise ProgramError(f"{self.label(index)}: {error}") from None
            if not readers[index] and index < len(self.ops) - 1:
                raise ProgramError(f"{self.label(index)} gives what no op reads: leave it out")
        return [found[index] for index in range(len(self.ops))]

    def shapes(self) -> list[Shape]:
        """Shape after each op, without time and batch.

        Raises:
            ProgramError: an op cannot read what its inputs give, or a result is never read.
        """
        self.kinds()
        found: dict[int, Shape] = {FRAME: self.input_shape}
        for index, op in enumerate(self.ops):
            try:
                found[index] = op.output_shape(*(found[source] for source in op.inputs))
            except ProgramError as error:
                raise ProgramError(f"{self.label(index)}: {error}") from None
            if math.prod(found[index]) > LARGEST_MAP:
                raise ProgramError(
                    f"{self.label(index)} gives {list(found[index])}, more than {LARGEST_MAP} values"
                )
        return [found[index] for index in range(len(self.ops))]

    def validate(self) -> None:
        """Check all that needs no data: version, fields, kinds and shapes along the graph, and that no integer overflows.

        Raises:
            ProgramError: names the op, the reason and what to do.
        """
        if self.version != VERSION:
            raise ProgramError(f"program version {self.version}; this rheobase reads version {VERSION}")
        if len(self.input_shape) != 3:
            raise ProgramError(f"input_shape must be (C, H, W), got {self.input_shape}")
        if self.input_type not in INPUT_TYPES:
            raise ProgramError(f"input_type must be {' or '.join(INPUT_TYPES)}, got {self.input_type!r}")
        for size in self.input_shape:
            whole(size, "input_shape", 1, 65535)
        if math.prod(self.input_shape) > LARGEST_MAP:
            raise ProgramError(f"input_shape {self.input_shape} has more than {LARGEST_MAP} values")
        whole(self.T, "T", 1, MOST_STEPS)
        if len(self.ops) > MOST_OPS:
            raise ProgramError(f"a program has at most {MOST_OPS} ops, got {len(self.ops)}")
        if not isinstance(self.logit_scale, float) or not 0 < self.logit_scale < math.inf:
            raise ProgramError(f"logit_scale must be a positive finite float, got {self.logit_scale!r}")
        for index, op in enumerate(self.ops):
            if not re.fullmatch(r"[A-Za-z0-9_.\[\]-]{0,200}", op.name):
                raise ProgramError(f"op {index} has the name {op.name!r}; use letters, digits and _.-[]")
        for key, value in self.metadata.items():
            plain = isinstance(value, (str, int, float)) and not isinstance(value, bool)
            finite = not isinstance(value, float) or math.isfinite(value)
            if not isinstance(key, str) or not plain or not finite:
                raise ProgramError(
                    f"metadata maps strings to strings, integers or finite floats, got {key!r}: {value!r}"
                )
        self.shapes()
        ranges.analyse(self)

    def digest(self) -> str:
        """Hexadecimal SHA-256 of the program's content; two programs are equal when their digests are."""
        from rheobase.program import storage

        description, tensors = storage.encode(self)
        sha = hashlib.sha256(json.dumps(description, sort_keys=True, separators=(",", ":")).encode())
        for name in sorted(tensors):
            array = tensors[name]
            sha.update(f"{name}:{array.dtype.str}:{list(array.shape)}:".encode() + array.tobytes())
        return sha.hexdigest()
