"""Leading axes folded into one batch axis, so that torch's image layers see `[T*N, C, H, W]`.

An input that is the same at every step (`repeat`) goes through a stateless layer once.
"""

from collections.abc import Callable
from math import prod

from torch import Tensor

from rheobase.errors import DataError


def repeat(x: Tensor, T: int) -> Tensor:
    """The same input at every time step, without copying it: direct coding of a still image.

    Convolutions and pools up to the first neuron then run once and not T times.

    Shape: `[N, ...]` -> `[T, N, ...]`.
    Raises:
        DataError: T < 1.
    """
    if T < 1:
        raise DataError(f"an input can be repeated for T >= 1 time steps, got T = {T}")
    return x.expand(T, *x.shape)


def fold(
    layer: Callable[[Tensor], Tensor], x: Tensor, trailing: int, axes: str, *, once: bool = True
) -> Tensor:
    """Apply `layer`, which knows one batch axis, to `x` with any number of leading axes.

    Views only, where the strides allow: a `channels_last` batch stays `channels_last`. Where `x` only repeats
    along its first axis (see `repeat`), the layer runs `once` and its result repeats too.

    Shape: x `[..., *item]` with `trailing` item axes -> `[..., *out]`; the layer sees `[prod(...), *item]`.
    Raises:
        DataError: `x` has fewer than `trailing` axes.
    """
    if x.dim() < trailing:
        raise DataError(
            f"expected [..., {axes}], got a tensor of shape {list(x.shape)}; add the missing axes"
        )
    leading = x.shape[: x.dim() - trailing]
    if len(leading) == 1:
        return layer(x)
    if once and len(leading) > 1 and leading[0] > 1 and x.stride(0) == 0:
        y = fold(layer, x[0], trailing, axes)
        return y.expand(leading[0], *y.shape)
    y = layer(x.reshape(prod(leading), *x.shape[x.dim() - trailing :]))
    return y.reshape(*leading, *y.shape[1:])
