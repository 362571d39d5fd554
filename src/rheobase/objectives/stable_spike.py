"""Stable Spike: consistency of spike maps and under amplitude-aware noise, for SNNs at few time steps.

With ``S_t`` the spikes of the last neuron, ``t = 0..T-1``::

    Phi      = (1/T) sum_t S_t                          firing rate
    S~_t     = S_t AND S_{t+1},  t = 0..T-2             stable maps
    Phi~     = (1/(T-1)) sum_t S~_t                     skeleton
    L_spike  = MSE(Phi~, Phi)                           spike-map consistency
    eps      ~ Bernoulli(Phi~)                          amplitude-aware noise, no gradient
    Phi_n    = Phi~ + eps                               noisy rate, in [0, 2]
    L_noise  = alpha^2 KL(softmax(O/alpha) || softmax(head(Phi_n)/alpha))
    L        = CE(O, y) + beta L_spike + gamma L_noise,  O = (1/T) sum_t o_t

A train of n ones in r runs has ``Phi = n/T`` and ``Phi~ = (n-r)/(T-1)``: ``Phi~ <= Phi``, equal only for
constant trains.

Source: Ding, Yang, Li, Zhang, Jing, Zuo, Stable Spike, CVPR 2026, arXiv 2603.11676.
"""

from typing import Literal, get_args

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from rheobase.config import Config
from rheobase.errors import DataError, RecipeError, unknown
from rheobase.objectives.base import Loss, Outputs, mean_readout, wide

BitOp = Literal["and", "or", "xor"]
Noise = Literal["amplitude", "bernoulli", "gaussian"]
Consistency = Literal["mse", "kl", "cosine", "huber"]
Reduction = Literal["mean", "sample_sum"]
KLDirection = Literal["clean_target", "noisy_target"]


class StableSpikeConfig(Config):
    """Every option of the method; the defaults are the published form where one is known."""

    name: Literal["stable_spike"] = "stable_spike"
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    hook_point: str | None = None
    """Module whose spikes are used; None is the model's ``feature_layer``, its last neuron."""

    beta_spike: float = Field(default=1.0, ge=0)
    gamma_noise: float = Field(default=1.0, ge=0)

    bit_op: BitOp = "and"
    integer_and: Literal["auto", "min", "product"] = "auto"
    """``min`` for integer features (sums of spikes); ``auto`` looks at the values, and refuses fractions."""
    skeleton_grad: Literal["product", "boolean"] = "product"
    """``boolean`` makes the skeleton a constant in both terms."""
    detach_skeleton: bool = False
    """The skeleton is a constant in the spike term only: a fixed anchor for the rate."""

    consistency: Consistency = "mse"
    mse_reduction: Reduction = "mean"
    huber_delta: float = Field(default=0.1, gt=0)
    rate_epsilon: float = Field(default=1e-3, gt=0, lt=0.5)
    """Keeps ``kl`` and ``cosine`` and their gradients finite on silent and saturated neurons."""

    noise: Noise = "amplitude"
    bernoulli_p: float = Field(default=0.5, ge=0, le=1)
    gaussian_std: float = Field(default=0.5, ge=0)
    clamp_noise: bool = False
    noise_scale: float = Field(default=1.0, gt=0)
    kl_alpha: float = Field(default=2.0, gt=0)
    kl_direction: KLDirection = "clean_target"
    detach_clean_logits: bool = False


def firing_rate(spikes: Tensor) -> Tensor:
    """Mean over time, ``Phi = (1/T) sum_t S_t``.

    Shape: [T, N, ...] -> [N, ...], float32 or wider.
    """
    return wide(spikes).mean(0)


def stable_maps(spikes: Tensor, bit_op: BitOp = "and", *, integer: bool = False) -> Tensor:
    """Neighbouring steps combined bit by bit, ``S~_t = S_t AND S_{t+1}``.

    Differentiable on {0, 1}: ``and = ab``, ``or = a + b - ab``, ``xor = a + b - 2ab``. With ``integer``
    (sums of spikes): ``and = min(a, b)``, ``or = max(a, b)``, ``xor = |a - b|``, equal to the bit operations
    on {0, 1}.

    Shape: [T, N, ...] -> [T-1, N, ...]; bool and integer dtypes come back as float32.

    Raises: DataError if T < 2; RecipeError for an unknown operation.
    """
    if spikes.ndim < 2 or spikes.shape[0] < 2:
        raise DataError(
            "Stable Spike compares neighbouring time steps and needs T >= 2; it got spikes [T, N, ...] of "
            f"shape {list(spikes.shape)}. Train with at least two steps, or set beta_spike and gamma_noise "
            "to 0."
        )
    if not spikes.is_floating_point():
        spikes = spikes.float()
    a, b = spikes[:-1], spikes[1:]
    if bit_op == "and":
        return torch.minimum(a, b) if integer else a * b
    if bit_op == "or":
        return torch.maximum(a, b) if integer else a + b - a * b
    if bit_op == "xor":
        return (a - b).abs() if integer else a + b - 2 * a * b
    raise RecipeError(unknown("bit_op", bit_op, get_args(BitOp)))


def skeleton(spikes: Tensor, bit_op: BitOp = "and", *, integer: bool = False) -> Tensor:
    """Rate of the stable maps, ``Phi~ = (1/(T-1)) sum_t S~_t``.

    Shape: [T, N, ...] -> [N, ...], float32 or wider.

    Raises: DataError if T < 2.
    """
    return wide(stable_maps(spikes, bit_op, integer=integer)).mean(0)


def spike_consistency(
    skeleton: Tensor,
    rate: Tensor,
    *,
    function: Consistency = "mse",
    reduction: Reduction = "mean",
    huber_delta: float = 0.1,
    epsilon: float = 1e-3,
) -> Tensor:
    """Distance of the firing rate from its skeleton, ``L_spike = MSE(Phi~, Phi)``.

    ``mse`` is the published form. ``huber`` is linear beyond ``huber_delta``. ``kl`` is the KL divergence
    ``KL(B(Phi~) || B(Phi))`` of Bernoulli variables with rates squeezed to ``eps + (1 - 2 eps) Phi``, so
    that a neuron that is silent in the skeleton still has a gradient. ``cosine`` is ``1 - cos`` of each
    sample's flattened map with one more coordinate ``sqrt(eps)``, so that two silent maps agree; it ignores
    the overall scale, so it is also 0 where the skeleton is a multiple of the rate. ``reduction``: ``mean``
    over all elements, or ``sample_sum``, the sum over a sample's elements averaged over the batch
    (``cosine`` has one value a sample either way).

    Shape: [N, ...], [N, ...] -> scalar.

    Raises: RecipeError for an unknown function or reduction.
    """
    if function == "cosine":
        x, y = skeleton.flatten(1), rate.flatten(1)
        norm = (x.square().sum(1) + epsilon) * (y.square().sum(1) + epsilon)
        return (1 - ((x * y).sum(1) + epsilon) / norm.sqrt()).mean()
    if function == "mse":
        distance = (skeleton - rate).square()
    elif function == "huber":
        distance = F.huber_loss(rate, skeleton, reduction="none", delta=huber_delta)
    elif function == "kl":
        p, q = (epsilon + (1 - 2 * epsilon) * x for x in (skeleton, rate))
        distance = p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()
    else:
        raise RecipeError(unknown("consistency", function, get_args(Consistency)))
    if reduction == "mean":
        return distance.mean()
    if reduction == "sample_sum":
        return distance.flatten(1).sum(1).mean()
    raise RecipeError(unknown("mse_reduction", reduction, get_args(Reduction)))


def perturb(
    skeleton: Tensor,
    *,
    noise: Noise = "amplitude",
    bernoulli_p: float = 0.5,
    gaussian_std: float = 0.5,
    clamp: bool = False,
    scale: float = 1.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Noisy rate ``Phi_n = scale * (Phi~ + eps)``; the gradient passes through ``Phi~`` alone.

    ``eps``: ``amplitude`` Bernoulli(Phi~) per element, ``bernoulli`` Bernoulli(p), ``gaussian`` N(0, std^2),
    drawn in float32. ``clamp`` limits ``Phi~ + eps`` to [0, 1] before scaling. ``E[Phi_n] = 2 scale Phi~``
    for amplitude noise; at T = 2 the skeleton is binary, so ``Phi_n = 2 scale S_0 S_1`` without randomness.
    The draw is made on the generator's device, so a CPU generator gives the same noise on every device.

    Shape: [N, ...] -> [N, ...].

    Raises: RecipeError for an unknown noise.
    """
    amplitude = skeleton.detach().float()
    if generator is not None:
        amplitude = amplitude.to(generator.device)
    if noise == "amplitude":
        eps = torch.bernoulli(amplitude.clamp(0, 1), generator=generator)
    elif noise == "bernoulli":
        eps = torch.bernoulli(torch.full_like(amplitude, bernoulli_p), generator=generator)
    elif noise == "gaussian":
        eps = torch.empty_like(amplitude).normal_(0, gaussian_std, generator=generator)
    else:
        raise RecipeError(unknown("noise", noise, get_args(Noise)))
    noisy = skeleton + eps.to(skeleton)
    return scale * (noisy.clamp(0, 1) if clamp else noisy)


def noise_consistency(
    logits: Tensor,
    noisy_logits: Tensor,
    *,
    alpha: float = 2.0,
    direction: KLDirection = "clean_target",
    detach_clean: bool = False,
) -> Tensor:
    """Divergence of the noisy prediction from the clean one, averaged over the batch.

    ``L_noise = alpha^2 KL(softmax(O/alpha) || softmax(O_n/alpha))``; ``noisy_target`` swaps the two.

    Shape: [N, K], [N, K] -> scalar.

    Raises: DataError if the shapes differ; RecipeError for an unknown direction.
    """
    if logits.shape != noisy_logits.shape:
        raise DataError(
            f"the head gave {list(noisy_logits.shape)} for a rate and the model {list(logits.shape)} for "
            "its mean logits; the head must take the captured layer's rate [N, ...] to logits [N, K], with "
            "its pooling and flattening."
        )
    if direction not in get_args(KLDirection):
        raise RecipeError(unknown("kl_direction", direction, get_args(KLDirection)))
    clean = F.log_softmax((logits.detach() if detach_clean else logits) / alpha, dim=-1)
    noisy = F.log_softmax(noisy_logits / alpha, dim=-1)
    target, prediction = (clean, noisy) if direction == "clean_target" else (noisy, clean)
    return alpha**2 * F.kl_div(prediction, target, reduction="batchmean", log_target=True)


@torch.no_grad()
def temporal_inconsistency(spikes: Tensor) -> Tensor:
    """How much neighbouring steps disagree, ``MSE(Phi~, Phi)`` with AND; 0 iff every neuron is constant.

    Shape: [T, N, ...] -> scalar.

    Raises: DataError if T < 2 or the map is not made of spike counts.
    """
    integer = _counts(spikes) > 1
    return spike_consistency(skeleton(spikes, integer=integer), firing_rate(spikes))


class StableSpike:
    """Cross-entropy plus the two consistency terms; nothing remains of it at inference.

    ``L = CE(O, y) + beta_spike * L_spike + gamma_noise * L_noise``

    Shape: logits [T, N, K]; the captured spikes [T, N, ...]; target [N]; ``outputs.head`` takes [N, ...] in
    float32 (or wider) to [N, K] and must be linear, with every pooling after the captured layer. A term
    whose weight is 0 is neither computed (no random numbers are drawn) nor listed in the parts.

    Raises: DataError if T < 2, if no spikes were captured, or if they are not spikes
    (``integer_and="auto"``).

    Source: Ding et al., Stable Spike, CVPR 2026, arXiv 2603.11676.
    """

    def __init__(
        self, config: StableSpikeConfig | None = None, generator: torch.Generator | None = None
    ) -> None:
        self.config = config or StableSpikeConfig()
        self.generator = generator

    @property
    def needs_features(self) -> bool:
        """Whether any of the two terms is on."""
        return self.config.beta_spike > 0 or self.config.gamma_noise > 0

    def layers(self, model: nn.Module) -> tuple[str, ...]:
        """The hook point, else the model's last neuron."""
        if not self.needs_features:
            return ()
        name = self.config.hook_point or getattr(model, "feature_layer", None)
        if not isinstance(name, str):
            raise RecipeError(
                f"{type(model).__name__} does not name its last neuron (no feature_layer); set hook_point "
                "to the module that puts out the last spikes before pooling and classifier, as in "
                "dict(model.named_modules())."
            )
        return (name,)

    def __call__(self, outputs: Outputs, target: Tensor) -> Loss:
        """Loss of a batch."""
        config = self.config
        clean = mean_readout(outputs.logits, target)
        total = F.cross_entropy(clean, target, label_smoothing=config.label_smoothing)
        parts = {"cross_entropy": total.detach()}
        if not self.needs_features:
            return Loss(total, parts)

        spikes = self._spikes(outputs)
        stable = skeleton(spikes, config.bit_op, integer=self._integer(spikes))
        if config.skeleton_grad == "boolean":
            stable = stable.detach()

        if config.beta_spike > 0:
            loss = spike_consistency(
                stable.detach() if config.detach_skeleton else stable,
                firing_rate(spikes),
                function=config.consistency,
                reduction=config.mse_reduction,
                huber_delta=config.huber_delta,
                epsilon=config.rate_epsilon,
            )
            parts["spike_consistency"] = loss.detach()
            total = total + config.beta_spike * loss

        if config.gamma_noise > 0:
            noisy = perturb(
                stable,
                noise=config.noise,
                bernoulli_p=config.bernoulli_p,
                gaussian_std=config.gaussian_std,
                clamp=config.clamp_noise,
                scale=config.noise_scale,
                generator=self.generator,
            )
            loss = noise_consistency(
                clean,
                wide(outputs.head(noisy)),
                alpha=config.kl_alpha,
                direction=config.kl_direction,
                detach_clean=config.detach_clean_logits,
            )
            parts["noise_consistency"] = loss.detach()
            total = total + config.gamma_noise * loss
        return Loss(total, parts)

    def _spikes(self, outputs: Outputs) -> Tensor:
        name = self.config.hook_point or next(reversed(outputs.spikes), None)
        if name is None or name not in outputs.spikes:
            raise DataError(
                f"Stable Spike needs the spikes of {name or 'the last neuron'!r} and was given "
                f"{list(outputs.spikes) or 'none'}. Run the model through objectives.collect(model, "
                "frames, objective), or inside capture(model, objective.layers(model))."
            )
        spikes = outputs.spikes[name]
        if spikes.shape[:2] != outputs.logits.shape[:2]:
            raise DataError(
                f"spikes of {name!r} are {list(spikes.shape)} and logits {list(outputs.logits.shape)}; "
                "both start with [T, N]. Is a time axis missing, merged with N, or behind it?"
            )
        return spikes

    def _integer(self, spikes: Tensor) -> bool:
        option = self.config.integer_and
        integer = _counts(spikes) > 1 if option == "auto" else option == "min"
        if integer and self.config.consistency == "kl" and self.config.beta_spike > 0:
            raise RecipeError(
                "consistency 'kl' compares Bernoulli rates in [0, 1], and this layer's features are sums "
                "of spikes; use 'mse', 'huber' or 'cosine', or hook a module that puts out single spikes."
            )
        return integer


def _counts(spikes: Tensor) -> float:
    """The largest value of a map of spike counts; refuses anything that is not 0, 1, 2, ..."""
    if spikes.dtype == torch.bool:
        return 1.0
    values = spikes.detach()
    whole = (values == values.round()) & (values >= 0)
    top, fine = torch.stack((values.amax().float(), whole.all().float())).tolist()
    if not fine:
        raise DataError(
            "the captured map holds values other than 0, 1, 2, ..., so it is not made of spikes: the hook "
            "is probably after a pooling, normalisation or membrane. Hook the neuron itself and let the "
            "head do the pooling."
        )
    return float(top)
