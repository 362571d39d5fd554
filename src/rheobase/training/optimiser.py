"""The optimiser that a configuration asks for."""

from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from rheobase.compression.pruning import batch_norm_scales
from rheobase.training.recipe import OptimiserConfig


def build_optimiser(model: nn.Module, config: OptimiserConfig) -> Optimizer:
    """The optimiser of a configuration; the learning rate is set anew at every step (`config.lr_at`).

    With `config.slimming`, `slimming * sign(gamma)` is added to the gradient of every batch-norm scale before each step: the
    subgradient of the penalty of network slimming, which no objective needs to know of.

    Raises:
        PruneError: `slimming` is asked for and the model has no batch-norm with a scale.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimiser: Optimizer
    if config.name == "sgd":
        optimiser = SGD(parameters, config.lr, config.momentum, weight_decay=config.weight_decay)
    else:
        kind = Adam if config.name == "adam" else AdamW
        optimiser = kind(parameters, config.lr, weight_decay=config.weight_decay)
    if config.slimming:
        scales = batch_norm_scales(model)

        def pull(*_: object) -> None:
            for scale in scales:
                if scale.grad is not None:
                    scale.grad.add_(scale.detach().sign(), alpha=config.slimming)

        optimiser.register_step_pre_hook(pull)
    return optimiser
