"""Stable Spike on models of other libraries, through hooks alone."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from rheobase.objectives import StableSpike, StableSpikeConfig, collect

STEPS, BATCH, CLASSES = 4, 3, 3
TARGET = torch.tensor([0, 1, 2])


def frames() -> torch.Tensor:
    return (torch.rand(STEPS, BATCH, 2, 6, 6, generator=torch.Generator().manual_seed(0)) > 0.5).float()


def train_two_steps(model: nn.Module, head, backbone: nn.Parameter, reset=lambda: None) -> None:
    """Both consistency terms must move the first weight of the network."""
    objective = StableSpike(StableSpikeConfig(hook_point="spike"), torch.Generator().manual_seed(0))
    optimiser = torch.optim.SGD(model.parameters(), lr=0.05)
    for _ in range(2):
        reset()
        outputs = collect(model, frames(), objective, head=head)
        spikes = outputs.spikes["spike"]
        assert spikes.shape == (STEPS, BATCH, 4, 6, 6)
        assert 0 < spikes.mean() < 1
        torch.testing.assert_close(head(spikes.mean(0)), outputs.logits.mean(0), atol=1e-5, rtol=0)
        loss = objective(outputs, TARGET)
        assert set(loss.parts) == {"cross_entropy", "spike_consistency", "noise_consistency"}
        for weights in ({"gamma_noise": 0.0}, {"beta_spike": 0.0}):
            alone = StableSpike(StableSpikeConfig(hook_point="spike", **weights))(outputs, TARGET)
            extra = alone.total - F.cross_entropy(outputs.logits.mean(0), TARGET)
            (grad,) = torch.autograd.grad(extra, backbone, retain_graph=True)
            assert grad.abs().max() > 1e-7
        before = backbone.detach().clone()
        optimiser.zero_grad()
        loss.total.backward()
        optimiser.step()
        assert torch.isfinite(loss.total) and not torch.equal(before, backbone)
    assert not model.spike._forward_hooks


@pytest.fixture
def seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.mark.parametrize("mode", ["m", "s"])
def test_spikingjelly(mode, seeded):
    pytest.importorskip("spikingjelly", reason="spikingjelly is not installed (requirements-peers.txt)")
    from spikingjelly.activation_based import functional, layer, neuron, surrogate

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = layer.Conv2d(2, 4, 3, padding=1, step_mode=mode)
            self.bn = layer.BatchNorm2d(4, step_mode=mode)
            self.spike = neuron.LIFNode(
                tau=2.0, decay_input=False, surrogate_function=surrogate.ATan(), step_mode=mode
            )
            self.fc = nn.Linear(4, CLASSES)

        def head(self, rate):
            return self.fc(rate.mean((-2, -1)))

        def forward(self, x):
            run = lambda each: self.head(self.spike(self.bn(self.conv(each))))  # noqa: E731
            return run(x) if mode == "m" else torch.stack([run(each) for each in x])

    model = Net()
    train_two_steps(model, model.head, model.conv.weight, lambda: functional.reset_net(model))


def test_snntorch(seeded):
    pytest.importorskip("snntorch", reason="snntorch is not installed (requirements-peers.txt)")
    import snntorch

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(2, 4, 3, padding=1)
            self.spike = snntorch.Leaky(beta=0.5, threshold=0.4)
            self.fc = nn.Linear(4 * 3 * 3, CLASSES)

        def head(self, rate):
            return self.fc(F.avg_pool2d(rate, 2).flatten(1))

        def forward(self, x):
            membrane, out = self.spike.init_leaky(), []
            for each in x:
                spikes, membrane = self.spike(self.conv(each), membrane)
                out.append(self.head(spikes))
            return torch.stack(out)

    model = Net()
    train_two_steps(model, model.head, model.conv.weight)
