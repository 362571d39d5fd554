"""`mask_`: silence the channels that a plan would remove, and leave them where they are."""

import torch
from torch import nn

from rheobase.compression.pruning.errors import PruneError
from rheobase.compression.pruning.plan import PrunePlan, checked
from rheobase.compression.pruning.tensors import tensors


@torch.no_grad()
def mask_(model: nn.Module, plan: PrunePlan) -> nn.Module:
    """Set weights, biases and batch-norm values of a plan's channels to 0, in place; returns the model.

    The masked model computes what `apply_plan` leaves, at the old size. Thresholds and running variances stay as they
    are: a channel without weight, scale and shift has no current and never fires.

    Raises:
        PruneError: the plan is for another model, or the model is quantised: a quantiser turns 0 into its nearest level.
    """
    own = tensors(model)
    if any(".parametrizations." in name for name, _ in model.named_parameters()):
        raise PruneError(
            "a quantised weight cannot be masked by zeros, most quantisers have no level 0; mask before quantise_"
        )
    for cut in checked(model, plan):
        name = cut.tensor.rpartition(".")[2]
        if name in ("running_var", "v_threshold"):
            continue
        gone = [i for i in range(cut.size) if i not in set(cut.kept)]
        own[cut.tensor].data.index_fill_(cut.axis, torch.tensor(gone, device=own[cut.tensor].device), 0)
    return model
