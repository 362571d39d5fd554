"""What a training step computes of one micro-batch: the model, the objective, and any second use of the head.

All of it is the forward pass of one module, so that whatever wraps it (DDP, FSDP) sees every use of every
parameter before the one backward pass.
"""

from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import Tensor, nn

from rheobase.objectives import Objective, Outputs, capture
from rheobase.training.draws import WholeDraws
from rheobase.training.rehearse import no_head


class Step(nn.Module):
    """Loss of this process' part of a micro-batch; without a target, the model alone.

    `mine` are the rows of the micro-batch that this process holds, `size` its rows over all processes: random
    draws of the objective are those of the whole.

    Shape: frames `[T, n, C, H, W]`, target `[n]` -> loss, its parts (both means over the n samples; 0 and
    nothing where n = 0), logits `[T, n, K]`
    """

    def __init__(
        self, model: nn.Module, objective: Objective, head: Callable[[Tensor], Tensor] | None = None
    ) -> None:
        super().__init__()
        self.model, self.objective, self.head = model, objective, head or no_head
        self.layers = objective.layers(model)

    def forward(
        self, frames: Tensor, target: Tensor | None = None, mine: slice = slice(None), size: int | None = None
    ) -> tuple[Tensor, dict[str, Tensor], Tensor] | Tensor:
        """Loss, parts and logits; logits where there is no target."""
        if target is None:
            return self.model(frames)
        with capture(self.model, self.layers) as captured:
            logits: Tensor = self.model(frames)
        if not len(target):
            return logits.sum() * 0.0, {}, logits
        spikes = captured.spikes(steps=len(logits))
        outputs = Outputs(logits, spikes, self.head, frames, getattr(self.model, "forward_heads", None))
        whole = nullcontext() if size in (None, len(target)) else WholeDraws(mine, size or 0)
        with whole:
            loss = self.objective(outputs, target)
        return loss.total, loss.parts, logits.detach() if torch.is_grad_enabled() else logits
