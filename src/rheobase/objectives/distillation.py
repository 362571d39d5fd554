"""Information-enhancement distillation: one head learns labels, a second one what a teacher says of the same frames.

    hard:   L = (1 - a) * task(o_0, y) + a * CE(O_1, argmax_k teacher_k)
    soft:   L = (1 - a) * task(o_0, y) + a * tau^2 * KL(softmax(teacher/tau) || softmax(O_1/tau)) / (N K)
    none:   L = (1 - a) * task(o_0, y) + a * CE(O_1, y)                        no teacher

with `o_i` the logits [T, N, K] of head i and `O_i` their mean over time. A model with `forward_heads(features)` gives its own
heads; of any other model both terms take the same logits, which is common distillation. The divisor N K of the soft form, all
elements and not samples, is that of the published code.

The teacher is frozen: evaluation mode, no gradient, no parameter of the step. It sees the frames that the model sees.

Source: BESTformer (IJCAI 2025, arXiv 2501.05904) and released code; hard labels with a second head as in DeiT (Touvron et al.,
ICML 2021).
"""

from dataclasses import replace
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from rheobase.config import Config
from rheobase.errors import DataError, RecipeError
from rheobase.objectives.base import Loss, Objective, Outputs, mean_readout, wide
from rheobase.objectives.cross_entropy import CrossEntropyConfig
from rheobase.objectives.stable_spike import StableSpikeConfig
from rheobase.objectives.tet import TETConfig
from rheobase.objectives.wsdr import WSDRConfig

FEATURES = "features"  # the module of a model with several heads, whose output they read


class InformationEnhancementConfig(Config):
    """Options; the defaults are the published ones.

    `weight`: a. `temperature`: tau of the soft form. `teacher`: a run folder, whose trained model teaches (any module can be
    handed to `InformationEnhancement` in its place). `teacher_input`: `frames` [T, N, C, H, W] as they are, or their `mean` over
    time [N, C, H, W], for teachers of images; `teacher_size` resizes that bilinearly.
    """

    name: Literal["information_enhancement"] = "information_enhancement"
    distill: Literal["hard", "soft", "none"] = "hard"
    weight: float = Field(default=0.5, ge=0, le=1)
    temperature: float = Field(default=1.0, gt=0)
    teacher: str | None = None
    teacher_input: Literal["frames", "mean"] = "frames"
    teacher_size: tuple[int, int] | None = None
    task: Annotated[
        CrossEntropyConfig | TETConfig | StableSpikeConfig | WSDRConfig, Field(discriminator="name")
    ] = CrossEntropyConfig()
    """What the first head learns labels by."""


def hard_distillation(logits: Tensor, teacher: Tensor) -> Tensor:
    """Cross-entropy against the teacher's decision.

    Shape: [N, K], [N, K] -> scalar.
    """
    return F.cross_entropy(wide(logits), teacher.argmax(-1))


def soft_distillation(logits: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """`tau^2 / (N K) * sum KL(softmax(teacher/tau) || softmax(logits/tau))`.

    Shape: [N, K], [N, K] -> scalar.
    """
    student, target = (F.log_softmax(wide(each) / temperature, -1) for each in (logits, teacher))
    return F.kl_div(student, target, reduction="sum", log_target=True) * temperature**2 / logits.numel()


class InformationEnhancement:
    """Labels for the first head, a teacher for the second.

    `teacher`: any module from frames (see `teacher_input`) to logits [T, N, K] or [N, K]; it is set to evaluation mode and its
    parameters are frozen, in place. Parts: those of the task, and ``distillation`` (of the second head, unweighted).

    Shape: logits [T, N, K], target [N] class indices.

    Raises: RecipeError without a teacher where one is needed; DataError if the teacher knows other classes, or gives no logits.
    """

    def __init__(
        self,
        config: InformationEnhancementConfig | None = None,
        generator: torch.Generator | None = None,
        *,
        teacher: nn.Module | None = None,
    ) -> None:
        from rheobase.objectives.build import build_objective  # which knows this class

        self.config = config or InformationEnhancementConfig()
        if teacher is None and self.config.distill != "none":
            raise RecipeError(
                f"distill={self.config.distill!r} needs a teacher: in a recipe, objective.teacher names the run folder of a "
                "trained model; in Python, InformationEnhancement(config, teacher=module)"
            )
        self.teacher: nn.Module | None = None
        if teacher is not None and self.config.distill != "none":
            self.teacher = teacher.eval().requires_grad_(False)
        self.task: Objective = build_objective(self.config.task, generator)
        self._task_layers: tuple[str, ...] = ()

    @property
    def needs_features(self) -> bool:
        """Whether the task sends rates through the head."""
        return self.task.needs_features

    def layers(self, model: nn.Module) -> tuple[str, ...]:
        """What the heads read, if there are several, and what the task needs."""
        self._task_layers = self.task.layers(model)
        own = (FEATURES,) if hasattr(model, "forward_heads") else ()
        return (*own, *(name for name in self._task_layers if name not in own))

    def __call__(self, outputs: Outputs, target: Tensor) -> Loss:
        """Loss of a batch."""
        config = self.config
        logits = [outputs.logits, outputs.logits]
        if outputs.heads is not None:
            logits = list(outputs.heads(outputs.spikes[FEATURES]))
        seen = {name: outputs.spikes[name] for name in self._task_layers}
        task = self.task(replace(outputs, logits=logits[0], spikes=seen), target)
        second = mean_readout(logits[-1], target)
        if self.teacher is None:
            distilled = F.cross_entropy(second, target)
        else:
            said = self._ask(self.teacher, outputs.frames, second)
            distilled = (
                hard_distillation(second, said)
                if config.distill == "hard"
                else soft_distillation(second, said, config.temperature)
            )
        total = (1 - config.weight) * task.total + config.weight * distilled
        return Loss(total, {**task.parts, "distillation": distilled.detach()})

    @torch.no_grad()
    def _ask(self, teacher: nn.Module, frames: Tensor | None, like: Tensor) -> Tensor:
        if frames is None:
            raise DataError(
                "a teacher needs the frames: run the model through objectives.collect(model, frames, objective)"
            )
        if self.config.teacher_input == "mean":
            frames = frames.mean(0)
            if self.config.teacher_size is not None:
                frames = F.interpolate(frames, self.config.teacher_size, mode="bilinear", align_corners=False)
        said = teacher.to(frames.device).eval()(frames)
        said = mean_readout(said) if isinstance(said, Tensor) and said.dim() == 3 else said
        if not isinstance(said, Tensor) or said.shape != like.shape:
            got = f"{list(said.shape)}" if isinstance(said, Tensor) else f"a {type(said).__name__}"
            raise DataError(f"the teacher must give logits {list(like.shape)} (or [T, N, K]), and gave {got}")
        return said
