"""What collects the nodes and constants of an ONNX model.

Layers without memory see all steps at once, as `[T * N, ...]`; only neurons are unrolled.

Integers are held in float32 as long as no integer met in an op reaches 2^24, else in float64, exact below 2^53; sums of
weights must stay in float32, as ONNX Runtime convolves nothing else. Floors, comparisons and selections are exact in both.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rheobase.exchange.losses import ExchangeError
from rheobase.program import ranges
from rheobase.program.ir import Program
from rheobase.program.ops.base import Shape


def package(name: str) -> Any:
    """A package that only ONNX files need.

    Raises:
        ExchangeError: it is not installed.
    """
    try:
        return __import__(name)
    except ImportError:
        raise ExchangeError(f"ONNX files need the package {name}: pip install 'rheobase[onnx]'") from None


@dataclass(frozen=True)
class Value:
    """A tensor `[T * N, *shape]` of the model, and the float that holds it."""

    name: str
    shape: Shape
    kind: type[np.floating[Any]]


class Builder:
    """Collects the nodes and constants of one program."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.make_node = package("onnx").helper.make_node
        self.types = {
            np.float32: package("onnx").TensorProto.FLOAT,
            np.float64: package("onnx").TensorProto.DOUBLE,
            np.int32: package("onnx").TensorProto.INT32,
        }
        self.nodes: list[Any] = []
        self.constants: dict[str, NDArray[Any]] = {}
        self.label = ""
        self.found = ranges.Range("", 0, 0, 0, "")

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node of one output and return that."""
        name = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(self.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def constant(self, array: Any, kind: type[Any]) -> str:
        """Add a constant and return its name."""
        name = f"constant_{len(self.constants)}"
        self.constants[name] = np.ascontiguousarray(array, dtype=kind)
        return name

    def by_channel(self, values: Any, shape: Shape, kind: type[Any]) -> str:
        """A constant, one value a channel of a map of `shape`."""
        return self.constant(np.asarray(values).reshape(-1, *[1] * (len(shape) - 1)), kind)

    def cast(self, name: str, kind: type[Any]) -> str:
        """A tensor in another type."""
        return self.node("Cast", name, to=self.types[kind])

    def reshape(self, name: str, shape: Sequence[int]) -> str:
        """A tensor in another shape."""
        return self.node("Reshape", name, self.constant(shape, np.int64))

    def held(self, value: Value, kind: type[Any]) -> str:
        """A value in the float that an op computes in."""
        return value.name if value.kind == kind else self.cast(value.name, kind)

    def enough(self) -> type[np.floating[Any]]:
        """The float that holds every integer of the op at hand."""
        largest = max(self.found.widest, self.found.product)
        return np.float32 if largest < ranges.FLOAT32_EXACT else np.float64

    def in_float32(self, x: Value, largest: int) -> str:
        """The input of a sum that must not pass 2^24.

        Raises:
            ExchangeError: it can.
        """
        if largest >= ranges.FLOAT32_EXACT:
            raise ExchangeError(
                f"{self.label} can reach {largest}, but ONNX Runtime sums weights in float32, which is exact only below "
                f"2^24 = {ranges.FLOAT32_EXACT}; use fewer weight bits or smaller counts"
            )
        return self.held(x, np.float32)

    def largest_sum(self, shift: int = 0) -> int:
        """Largest partial sum of weights, before its shift."""
        return max(-self.found.low, self.found.high) >> shift
