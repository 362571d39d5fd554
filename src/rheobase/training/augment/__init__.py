"""Changes of training frames: all T frames of a sample change together, by draws that (seed, epoch) decides.

`draw` says what happens to each sample of a step, `augmented` does it: RandAugment of images (`rand_augment`), shift, roll,
turn (rotation and shear), flip, polarity flip, cutout (`geometry`), then what happens to events (`counts`). Two samples are
mixed last (`mix`). Draws are made for the whole step, so that neither threads nor processes change them.
"""

from rheobase.training.augment.config import AugmentConfig
from rheobase.training.augment.draws import Draws, augmented, draw
from rheobase.training.augment.mix import Mix, draw_mix, mixed, mixed_labels

__all__ = ["AugmentConfig", "Draws", "Mix", "augmented", "draw", "draw_mix", "mixed", "mixed_labels"]
