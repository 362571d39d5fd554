"""Options of augmentation: which changes, and how large."""

from typing import Literal, Self

from pydantic import Field, model_validator

from rheobase.config import Config
from rheobase.training.augment.rand_augment import RandAugment
from rheobase.training.augment.sequence import SequenceAugment

Policy = Literal["nda", "nda_small", "wide"]

DRAWN: dict[str, frozenset[str]] = {
    "nda": frozenset({"roll", "rotate", "shear"}),
    "nda_small": frozenset({"roll", "rotate", "shear"}),
    "wide": frozenset({"shift", "rotate", "shear", "cutout"}),
}
"""The options that a policy draws itself."""


class AugmentConfig(Config):
    """Changes of the training frames; all frames of a sample change together. See `training.augment`.

    Of the image, in this order: `shift` moves it by up to so many pixels each way, zeros moving in (a random crop after
    padding); `roll` likewise, what leaves coming back on the other side; `rotate` and `shear` turn and slant it by up to
    so many degrees; `flip` swaps left and right in half of the samples; `polarity_flip` swaps ON and OFF in that share
    of them; `cutout` is the side in pixels of a square that becomes zero. `policy` applies one change to each sample,
    drawn from a list, in place of options of the same name.

    Of events: `drop` loses up to that share of them, at random, in a stretch of time or in a rectangle; `time_jitter`
    is the standard deviation, in frames, by which each moves in time.

    Of two samples: `mixup` and `cutmix` are the alpha of Beta(alpha, alpha), from which the weight of the first is
    drawn (0: off; both: half of the samples each), for the share `mix_share` of the samples.
    """

    shift: int = Field(default=0, ge=0)
    roll: int = Field(default=0, ge=0)
    rotate: float = Field(default=0.0, ge=0, le=180)
    shear: float = Field(default=0.0, ge=0, lt=90)
    flip: bool = False
    polarity_flip: float = Field(default=0.0, ge=0, le=1)
    cutout: int = Field(default=0, ge=0)
    policy: Policy | None = None
    drop: float = Field(default=0.0, ge=0, lt=1)
    time_jitter: float = Field(default=0.0, ge=0)
    mixup: float = Field(default=0.0, ge=0)
    cutmix: float = Field(default=0.0, ge=0)
    mix_share: float = Field(default=1.0, ge=0, le=1)
    rand: RandAugment = RandAugment()
    """Of still images, before everything else."""
    sequence: SequenceAugment = SequenceAugment()
    """Of signals, before two samples are mixed."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        both = [name for name in sorted(DRAWN.get(self.policy or "", ())) if getattr(self, name)]
        if both:
            raise ValueError(f"the policy {self.policy!r} draws {', '.join(both)} itself; leave that out")
        return self
