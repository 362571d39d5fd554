"""Mixtures of two samples, whose frames stay counts and whose labels stay classes.

With the weight `w` of the first sample:

    mixup:   out = floor(w a + (1 - w) b + u), u uniform in [0, 1) for each count: every event is kept with the weight of
             its sample, and the mean over u is w a + (1 - w) b
    cutmix:  out = b in a rectangle of all frames, a outside; w is the share of pixels outside
    label:   that of a with probability w, else that of b

Losses are linear in a soft label, so the mean over the draw of the label is the loss of the label `w y_a + (1 - w) y_b`,
for every objective.

Sources: Zhang et al., "mixup", ICLR 2018; Yun et al., "CutMix", ICCV 2019.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rheobase.training.augment.config import AugmentConfig

NOTHING, MIXUP, CUTMIX = 0, 1, 2


@dataclass(frozen=True, eq=False)
class Mix:
    """What chance decided for each of n samples.

    Shape: all [n]: partners (what is mixed in: places in the step), kinds, weights, seeds and lots (uniform, for the
    label); but corners [n, 2], of the rectangle, in parts of the room it has.
    """

    partners: NDArray[np.int64]
    kinds: NDArray[np.int64]
    weights: NDArray[np.float64]
    corners: NDArray[np.float64]
    lots: NDArray[np.float64]
    seeds: NDArray[np.int64]

    def of(self, rows: NDArray[np.int64]) -> "Mix":
        """Those of some of the samples."""
        return Mix(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


def draw_mix(config: AugmentConfig, count: int, rng: np.random.Generator) -> Mix | None:
    """Draws for `count` samples; None, and nothing taken from the stream, where no mixture is asked for."""
    alphas = {MIXUP: config.mixup, CUTMIX: config.cutmix}
    asked = [kind for kind, alpha in alphas.items() if alpha]
    if not asked:
        return None
    kinds = np.array(asked)[rng.integers(len(asked), size=count)]
    drawn = {kind: rng.beta(alphas[kind], alphas[kind], count) for kind in asked}
    return Mix(
        partners=rng.permutation(count),
        kinds=np.where(rng.random(count) < config.mix_share, kinds, NOTHING),
        weights=np.choose([asked.index(kind) for kind in kinds], list(drawn.values())),
        corners=rng.random((count, 2)),
        lots=rng.random(count),
        seeds=rng.integers(1 << 62, size=count),
    )


def mixed(frames: NDArray[np.uint8], other: NDArray[np.uint8], mix: Mix) -> NDArray[np.uint8]:
    """The frames, which may be changed in place, with those of their partners mixed in.

    Shape: both `[n, T, C, H, W]`.
    """
    height, width = frames.shape[-2:]
    for i, kind in enumerate(mix.kinds.tolist()):
        if kind == MIXUP:
            u = np.random.default_rng(mix.seeds[i]).random(frames.shape[1:], dtype=np.float32)
            weight = np.float32(mix.weights[i])
            blend = weight * frames[i] + (1 - weight) * other[i]
            frames[i] = np.minimum(np.floor(blend + u), 255)
        elif kind == CUTMIX:
            top, left, bottom, right = _box(mix, i, height, width)
            frames[i, ..., top:bottom, left:right] = other[i, ..., top:bottom, left:right]
    return frames


def mixed_labels(
    labels: NDArray[np.int64], other: NDArray[np.int64], mix: Mix, size: tuple[int, int]
) -> NDArray[np.int64]:
    """The class of each mixture on frames of `size` = (H, W). Shape: all `[n]`."""
    weights = np.where(mix.kinds == NOTHING, 1.0, mix.weights)
    for i in np.flatnonzero(mix.kinds == CUTMIX).tolist():
        top, left, bottom, right = _box(mix, i, *size)
        weights[i] = 1 - (bottom - top) * (right - left) / (size[0] * size[1])
    return np.where(mix.lots < weights, labels, other)


def _box(mix: Mix, i: int, height: int, width: int) -> tuple[int, int, int, int]:
    """The rectangle of sample `i`: of the sides' parts sqrt(1 - w), within the image."""
    part = float(np.sqrt(1 - mix.weights[i]))
    high, wide = round(part * height), round(part * width)
    y, x = mix.corners[i].tolist()
    top, left = int(y * (height - high + 1)), int(x * (width - wide + 1))
    return top, left, top + high, left + wide
