"""How fast a spiking self-attention layer trains: rheobase in both orders and SpikingJelly, against its GEMMs.

    python benchmarks/attention.py [--shape 4,8,196,384] [--heads 12] [--rounds 9] [--out F.csv] [--check]

Forward and backward of one layer with equal weights and equal spikes in: SpikingJelly's public
`layer.SpikingSelfAttention` (Spikformer's; it takes `[T, N, D, L]`) and rheobase's (on maps, with three projections
where SpikingJelly has one of three times the width). Its neurons halve their
input, ours have twice the threshold, which is the same neuron; `same` is the share of equal output spikes.
The bound is the time of the layer's own products of matrices, forward and backward, into reused buffers.
snnTorch and Norse have no such layer; `plain torch` is ours with the reference scan.
"""

import os
from collections.abc import Callable

import bench
import torch
from torch import Tensor, nn

from rheobase.kernels.scan import VARIABLE
from rheobase.layers import BatchNorm2d, SpikingSelfAttention
from rheobase.neurons import NeuronConfig, Sigmoid

NEURON = NeuronConfig(v_threshold=2.0, v_reset=0.0, detach_reset=True, surrogate=Sigmoid(alpha=2.0))

BOUND = "matrix products (bound)"
LIVELY = 4.0
"""Weights of the batch-norms: a tenth or so of all neurons fire; at 1, the output would be silent."""


def rheobase(width: int, heads: int, tokens: int, order: str = "auto") -> SpikingSelfAttention:
    torch.manual_seed(0)
    layer = SpikingSelfAttention(width, heads, NEURON, tokens=tokens, attention_threshold=1.0, order=order)
    for module in layer.modules():
        if isinstance(module, BatchNorm2d):
            nn.init.constant_(module.weight, LIVELY)
    return layer


def spikingjelly(width: int, heads: int, tokens: int) -> nn.Module:
    """Its layer, with the weights of `rheobase(width, heads, tokens)`."""
    from spikingjelly.activation_based import layer

    theirs, ours = layer.SpikingSelfAttention(width, heads), rheobase(width, heads, tokens)
    with torch.no_grad():
        qkv = torch.cat([part.conv.weight for part in (ours.q, ours.k, ours.v)])
        for container, weight in ((theirs.qkv_conv_bn, qkv), (theirs.proj_conv_bn, ours.out.conv.weight)):
            for module in container.modules():
                if isinstance(module, nn.Conv1d):
                    module.weight.copy_(weight.squeeze(-1))
                elif isinstance(module, nn.BatchNorm1d):
                    module.weight.fill_(LIVELY)
    return theirs


def step(layer: nn.Module, x: Tensor, upstream: Tensor, reference: bool = False) -> Callable[[], Tensor]:
    """Forward and backward of a layer, gradients of input and weights; returns the spikes."""
    leaf = x.clone().requires_grad_()

    def run() -> Tensor:
        leaf.grad = None
        layer.zero_grad()
        if not isinstance(layer, SpikingSelfAttention):
            from spikingjelly.activation_based import functional

            functional.reset_net(layer)
        before = os.environ.get(VARIABLE, "")
        os.environ[VARIABLE] = "reference" if reference else before
        try:
            spikes = layer(leaf)
            spikes.backward(upstream)
        finally:
            os.environ[VARIABLE] = before
        return spikes.detach()

    return run


def products(shape: tuple[int, int, int, int], heads: int) -> Callable[[], None]:
    """The layer's products of matrices: both projections, and attention in linear order."""
    T, N, L, D = shape
    rows, d = T * N * L, D // heads
    pairs = []
    for outputs in (3 * D, D):
        a, w, g = torch.randn(rows, D), torch.randn(outputs, D), torch.randn(rows, outputs)
        pairs += [(a, w.T), (g, w), (g.T, a)]
    q, s = torch.randn(T * N * heads, L, d), torch.randn(T * N * heads, d, d)
    batches = 2 * [(q.mT, q), (q, s), (q, s)]  # K'V and its two gradients, Q(K'V) and its two
    calls = [(torch.mm, a, b, a @ b) for a, b in pairs] + [(torch.bmm, a, b, a @ b) for a, b in batches]
    return lambda: [call(a, b, out=out) for call, a, b, out in calls] and None


def main() -> None:
    parser = bench.parser("A spiking self-attention layer against SpikingJelly and its own GEMMs.", rounds=9)
    parser.add_argument("--shape", default="4,8,196,384", help="T,N,L,D of the input")
    parser.add_argument("--heads", type=int, default=12)
    options = parser.parse_args()
    T, N, L, D = (int(part) for part in options.shape.split(","))
    generator = torch.Generator().manual_seed(0)
    x = (torch.rand(T, N, D, 1, L, generator=generator) < 0.2).float()
    upstream = torch.randn(T, N, D, 1, L, generator=generator)
    theirs = [tensor.squeeze(3) for tensor in (x, upstream)]
    runs = bench.peers(
        {
            "rheobase": lambda: step(rheobase(D, options.heads, L), x, upstream),
            "rheobase, linear": lambda: step(rheobase(D, options.heads, L, "linear"), x, upstream),
            "rheobase, quadratic": lambda: step(rheobase(D, options.heads, L, "quadratic"), x, upstream),
            "plain torch": lambda: step(rheobase(D, options.heads, L), x, upstream, reference=True),
            "SpikingJelly": lambda: step(spikingjelly(D, options.heads, L), *theirs),
        }
    )
    truth = runs["plain torch"]()
    same = {}
    for name, run in runs.items():
        spikes = run()
        same[name] = float((spikes.view_as(truth) == truth).float().mean())
    runs[BOUND] = products((T, N, L, D), options.heads)
    times = bench.interleaved(runs, options.rounds)
    rows = [
        {
            "what": name,
            "ms": times.median(name) * 1e3,
            "x bound": times.ratio(name, BOUND),
            "times rheobase's time": times.ratio(name, "rheobase"),
            "same": same.get(name),
        }
        for name in runs
    ]
    goals = [
        bench.Goal(
            "attention trained, times SpikingJelly's speed",
            times.ratio("SpikingJelly", "rheobase"),
            2.6,
        )
    ]
    roof = times.ratio("SpikingJelly", BOUND)
    if roof is not None:
        print(
            f"roofline: were everything but the matrix products free, rheobase would be {roof:.2f} x SpikingJelly"
        )
    print(f"{float(truth.mean()):.1%} of the output are spikes\n")
    bench.finish("attention", rows, goals, options)


if __name__ == "__main__":
    main()
