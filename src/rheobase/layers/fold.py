"""Leading axes folded into one batch axis, so that torch's image layers see `[T*N, C, H, W]`."""

from collections.abc import Callable
from math import prod

from torch import Tensor

from rheobase.errors import DataError


def fold(layer: Callable[[Tensor], Tensor], x: Tensor, trailing: int, axes: str) -> Tensor:
    """Apply `layer`, which knows one batch axis, to `x` with any number of leading axes.

    Views only, where the strides allow: a `channels_last` batch stays `channels_last`.

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
    y = layer(x.reshape(prod(leading), *x.shape[x.dim() - trailing :]))
    return y.reshape(*leading, *y.shape[1:])
