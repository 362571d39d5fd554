"""Neurons to test spike-time rules on, and what a slow simulation says of them."""

import torch

from rheobase.spiketime import Comsa, EventProp, Geometry, Goltz1, Goltz2, Mostafa, RelPsp

INF = float("inf")
CROSSING = [
    RelPsp(),
    Mostafa(),
    Goltz1(tau=0.8, gl=0.7),
    Goltz2(tau_s=0.7, gl=0.5),
    Comsa(tau=1.3),
    EventProp(tau_m=1.1, tau_s=0.6),
]
SUMS = {"rel_psp": 0.5, "mostafa": 2.0, "goltz1": 4.0, "goltz2": 4.0, "comsa": 5.0, "eventprop": 4.0}


def named(rule):
    return rule.name


def random_layer(rule, n=6, m=40, samples=3, seed=0):
    """Times [N, n] in 0..2, a fifth silent, and weights [m, n] of both signs."""
    g = torch.Generator().manual_seed(seed)
    times = 2 * torch.rand(samples, n, generator=g, dtype=torch.float64)
    times[torch.rand(samples, n, generator=g) < 0.2] = INF
    mean = SUMS[rule.name] / n
    weight = mean + (1 + mean) * torch.randn(m, n, generator=g, dtype=torch.float64)
    return times, weight


def potential(rule, t, times, weight):
    """V(t) of one neuron by its kernel; t [...], times and weight [n]."""
    x = t.unsqueeze(-1) - times
    return torch.where(x > 0, weight * rule.kernel(x.clamp(min=0)), 0).sum(-1)


def fire(rule, times, weight, **options):
    """Spike times [N, m] of a linear layer."""
    return rule.fire(times, weight, Geometry(times.shape[1]), **options)[:, 0]
