"""Early exit: a program stops at the step where its decision is clear.

The logits of a program are running sums. Their margin after step t is the best minus the second best,

    m_t = z_(1) - z_(2),   z = sum over the first t steps

and the program stops at the first step with `m_t >= margin`, or after its last. A small margin saves steps and costs accuracy;
`calibrate` finds the smallest that costs no more than allowed, on recordings that were not trained on. The margin is an integer,
the sums are integers: a device stops where Python does.

Source: the rule is the margin form of confidence-based exits, as in Li et al., "SEENN" (NeurIPS 2023, arXiv 2304.01230).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rheobase.errors import DataError

NEVER = (1 << 32) - 1
"""A margin that no two int32 logits reach."""


@dataclass(frozen=True)
class Exit:
    """What a margin gives on some recordings: the share decided rightly, and the mean number of steps."""

    margin: int
    accuracy: float
    mean_steps: float


def margins(logits: NDArray[np.integer]) -> NDArray[np.int64]:
    """Best minus second best of the running sums after each step.

    Shape: `[T, N, K]`, each step's contribution, to int64 `[T, N]`.
    Raises:
        DataError: fewer than two classes, or another number of axes.
    """
    if logits.ndim != 3 or logits.shape[0] == 0 or logits.shape[2] < 2:
        raise DataError(f"margins are of logits [T, N, K] with two classes or more, got {list(logits.shape)}")
    running = np.cumsum(logits, axis=0, dtype=np.int64)
    best = np.partition(running, -2, axis=-1)
    return best[..., -1] - best[..., -2]


def exit_steps(logits: NDArray[np.integer], margin: int) -> NDArray[np.int64]:
    """Steps that each sample runs: the first whose margin is reached, or all.

    Shape: `[T, N, K]` to int64 `[N]`, 1..T.
    """
    return _steps(margins(logits), margin)


def curve(logits: NDArray[np.integer], labels: NDArray[np.integer], points: int = 24) -> list[Exit]:
    """Accuracy and mean steps over the range of margins, from the one that stops everything at step 1 to none.

    The margins tried are quantiles of those that occur before the last step; doubles are left out.

    Shape: logits `[T, N, K]`, labels `[N]`.
    Raises:
        DataError: no samples, or labels of another number.
    """
    found = _checked(logits, labels)
    exits = [_exit(logits, labels, found, margin) for margin in _tried(found, points)]
    return [
        one
        for one, before in zip(exits, [None, *exits], strict=False)
        if before is None or _differs(one, before)
    ]


def calibrate(logits: NDArray[np.integer], labels: NDArray[np.integer], lost: float = 0.0) -> Exit:
    """The smallest margin such that it and all larger ones tried lose at most `lost` of the accuracy after all steps.

    Tried are up to 512 quantiles of the margins that occur.

    Shape: logits `[T, N, K]`, labels `[N]`.
    Raises:
        DataError: no samples, labels of another number, or `lost` outside 0..1.
    """
    if not 0 <= lost <= 1:
        raise DataError(f"the accuracy that may be lost is a fraction between 0 and 1, got {lost}")
    found = _checked(logits, labels)
    chosen = _exit(logits, labels, found, NEVER)
    least = chosen.accuracy - lost - 1e-12
    for margin in reversed(_tried(found, 512)):
        tried = _exit(logits, labels, found, margin)
        if tried.accuracy < least:
            break
        chosen = tried
    return chosen


def evaluate(logits: NDArray[np.integer], labels: NDArray[np.integer], margin: int) -> Exit:
    """What a margin gives on these recordings.

    Shape: logits `[T, N, K]`, labels `[N]`.
    Raises:
        DataError: no samples, or labels of another number.
    """
    return _exit(logits, labels, _checked(logits, labels), margin)


def _checked(logits: NDArray[np.integer], labels: NDArray[np.integer]) -> NDArray[np.int64]:
    found = margins(logits)
    if found.shape[1] == 0 or labels.shape != found.shape[1:]:
        raise DataError(
            f"{found.shape[1]} samples need as many labels and at least one, got {list(labels.shape)}"
        )
    return found


def _tried(found: NDArray[np.int64], points: int) -> list[int]:
    """Margins from 0 to never: quantiles of those before the last step, which decide."""
    early = found[:-1].ravel()
    if not early.size:
        return [0]
    ends = np.quantile(early, np.linspace(0, 1, points), method="higher").astype(np.int64)
    return sorted({0, *ends.tolist(), int(early.max()) + 1})


def _steps(found: NDArray[np.int64], margin: int) -> NDArray[np.int64]:
    clear = found >= margin
    clear[-1] = True
    return clear.argmax(axis=0) + 1


def _exit(
    logits: NDArray[np.integer], labels: NDArray[np.integer], found: NDArray[np.int64], margin: int
) -> Exit:
    steps = _steps(found, margin)
    running = np.cumsum(logits, axis=0, dtype=np.int64)
    decided = running[steps - 1, np.arange(len(labels))].argmax(axis=-1)
    return Exit(int(margin), float((decided == labels).mean()), float(steps.mean()))


def _differs(one: Exit, before: Exit) -> bool:
    return (one.accuracy, one.mean_steps) != (before.accuracy, before.mean_steps)
