"""Learning on the device: the last layer of a STD-ED program, by a delta rule on spike times, in whole numbers.

Weights of the readout start as those of the program, w = q 2^F, and are kept in 16 bits. Membranes are, over inputs that fired,

    o_k = sum_i w_ki x_i      x_i = 2R - t_i (window_end), R - t_i (proxy): the earlier a spike, the more it counts

After a sample of class y, with r the greatest other class (ties to the lowest), if o_y - o_r < margin:

    w_yi += d_i      w_ri -= d_i      d_i = floor(x_i 2^F / R) >> shift      clipped to +-127 2^F

that is e_k (x_i/R) 2^-shift steps of 8 bits, with the errors e_y = 1, e_r = -1: work is two rows of the inputs that fired, and
none once the margin is kept. F is the largest, at most 8, with which no membrane passes 2^30: 127 2^F * 2R n < 2^30.

Source: the delta rule of Widrow and Hoff (1960) with the errors of the multi-class perceptron of Crammer and Singer (2003).
"""

import numpy as np
from numpy.typing import NDArray

from rheobase.errors import LatticeError
from rheobase.spiketime.program import reference
from rheobase.spiketime.program.ir import SILENT, Program

BITS, LIMIT = 8, 1 << 30


class Learner:
    """What `learn.c` computes, in NumPy. `margin` is in units of membranes, `2^-shift` the rate.

    Raises:
        LatticeError: the program has no readout, or membranes could pass 2^30 without any fraction; a margin or shift that is not
            in 0..2^30 and 0..15.
    """

    def __init__(self, program: Program, *, margin: int, shift: int = 0) -> None:
        if not 0 <= margin <= LIMIT or not 0 <= shift <= 15:
            raise LatticeError(f"margin is in 0..2^30 and shift in 0..15, got {margin} and {shift}")
        self.program, self.margin, self.shift = program, margin, shift
        self.fraction = fraction(program)
        assert program.readout is not None
        self.bound = 127 << self.fraction
        self.reach = reach(program)
        self.weight = program.readout.weight.astype(np.int64) << self.fraction

    def run(self, frames: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Class of each sample, nothing learned.

        Shape: uint8 `[T, N, C, H, W]` -> `[N]`
        """
        return (self._inputs(frames) @ self.weight.T).argmax(1)

    def learn(self, frames: NDArray[np.uint8], labels: NDArray[np.int64]) -> NDArray[np.int64]:
        """Learn sample by sample; classes as they were decided before each sample was learned.

        Shape: uint8 `[T, N, C, H, W]`, `[N]` -> `[N]`
        """
        return np.array([self._step(x, int(y)) for x, y in zip(self._inputs(frames), labels, strict=True)])

    def _step(self, x: NDArray[np.int64], y: int) -> int:
        o = self.weight @ x
        rival = int(np.where(np.arange(len(o)) == y, -LIMIT, o).argmax())
        if o[y] - o[rival] < self.margin:
            step = ((x << self.fraction) // self.program.ticks) >> self.shift
            self.weight[y] = np.minimum(self.weight[y] + step, self.bound)
            self.weight[rival] = np.maximum(self.weight[rival] - step, -self.bound)
        return int(o.argmax())

    def _inputs(self, frames: NDArray[np.uint8]) -> NDArray[np.int64]:
        """The readout's inputs x, 0 where silent; `[N, n]`."""
        t = reference.run(self.program, frames).times[-1].reshape(frames.shape[1], -1).astype(np.int64)
        return np.where(t == SILENT, 0, self.reach - t)


def reach(program: Program) -> int:
    """What an input counts that spikes at tick 0."""
    whole = program.readout is not None and program.readout.form == "window_end"
    return (2 if whole else 1) * program.ticks


def fraction(program: Program) -> int:
    """F, the bits of fraction that learned weights have.

    Raises:
        LatticeError: the program has no readout, or membranes could pass 2^30 with none.
    """
    if program.readout is None or program.classes < 2:
        raise LatticeError(
            "only a STD-ED program of two and more classes learns on the device: it compares membranes"
        )
    whole = 127 * 2 * program.ticks * program.readout.weight.shape[1]
    if whole >= LIMIT:
        raise LatticeError(
            f"membranes of {program.readout.weight.shape[1]:,} inputs could pass 2^30: take fewer ticks"
        )
    return max(F for F in range(BITS + 1) if whole << F < LIMIT)
