"""Checks that the neuron functions share."""

from torch import Tensor

from rheobase.errors import DataError, RecipeError


def check_input(x: Tensor) -> None:
    """Refuse a tensor that cannot be `[T, N, ...]` with T >= 1.

    Raises:
        DataError: fewer than two axes, no time step, or not floating point.
    """
    if x.dim() < 2:
        raise DataError(
            f"a neuron needs [T, N, ...] (time first), got a tensor of shape {list(x.shape)}; "
            "add the time axis with x.unsqueeze(0)"
        )
    if x.shape[0] == 0:
        raise DataError(f"a neuron needs at least one time step, got a tensor of shape {list(x.shape)}")
    if not x.is_floating_point():
        raise DataError(f"a neuron needs a floating point current, got {x.dtype}; convert it with x.float()")


def check_tau(tau: float) -> None:
    """Refuse a time constant below one step.

    Raises:
        RecipeError: tau < 1, so that the leak 1 - 1/tau would be negative.
    """
    if not tau >= 1:
        raise RecipeError(
            f"tau must be >= 1 (the membrane keeps 1 - 1/tau each step), got {tau:g}; tau=2.0 is usual"
        )


def check_threshold(v_threshold: float | Tensor) -> None:
    """Refuse a threshold that is not positive; tensors are looked at where modules are built, not here.

    Raises:
        RecipeError: a number <= 0.
    """
    if not isinstance(v_threshold, Tensor) and not v_threshold > 0:
        raise RecipeError(f"v_threshold must be > 0, got {v_threshold:g}; 1.0 is usual")
