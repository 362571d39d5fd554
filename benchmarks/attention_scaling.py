"""How the cost of attention grows with the number of tokens: saccadic (SSSA) against spiking self-attention (SSA).

    python benchmarks/attention_scaling.py [--width 256] [--heads 8] [--steps 4] [--batch 16] [--rounds 3] [--out F.csv] [--check]

What is measured is the attention core, from spikes Q, K, V `[T, N, D, H, W]` to spikes, forward and backward, on square
maps of L = H W tokens; projections, linear in L in every kind, are left out. Times are those of one processor (`process_time`,
one thread), medians over rounds in which all kinds take turns: other programs on the machine hardly count. Freed memory is
kept: at 4,096 tokens the allocator's new pages would otherwise take longer than the attention itself.

    SSSA           HeadSum(Q), HeadSum(K), their product, saccadic neuron, gate on V
    SSA linear     Q (K^T V), scale, LIF
    SSA quadratic  (Q K^T) V, scale, LIF

`slope` is d log(time) / d log(L) by least squares over the sizes from 1,024 tokens on, where fixed costs no longer count; 1 is
linear. `peak MiB` is the most that the forward pass has alive at once beside its inputs, counted over all tensors that torch
operations give (exact, and the same on every machine); `kept MiB` what is kept for the backward pass.
"""

import math
import time
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import bench
import torch
from memory import kept
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from rheobase.layers.tokens import Gate, HeadMatMul, HeadSum, MapSum, Scale
from rheobase.neurons import build_neuron, preset
from rheobase.neurons.saccadic import SaccadicNeuron

SIDES = (8, 14, 16, 32, 45, 64)
LARGE = 1024
TIMED_FROM = 196
QUADRATIC_TO = 256
"""Beyond, matrices [L, L] of all heads and steps and their gradients take seconds and gigabytes."""


class Saccadic(nn.Module):
    """Core of saccadic attention (v2a)."""

    def __init__(self, tokens: int, width: int, heads: int, steps: int) -> None:
        super().__init__()
        d = width // heads
        self.query_sum, self.key_sum, self.all_keys = HeadSum(heads), HeadSum(heads), MapSum()
        self.weigh, self.scale, self.look = Gate(), Scale(1 / (d * tokens * d)), Gate()
        self.saccade = SaccadicNeuron(steps, heads)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Spikes from spikes."""
        salience = self.weigh(self.all_keys(self.key_sum(k)), self.query_sum(q))
        return self.look(self.saccade(self.scale(salience)), v)


class Spiking(nn.Module):
    """Core of spiking self-attention, in either order."""

    def __init__(self, heads: int, linear: bool) -> None:
        super().__init__()
        self.linear = linear
        self.first, self.second = HeadMatMul(heads, "first" if linear else "second"), HeadMatMul(heads)
        self.scale = Scale(0.125)
        self.neuron = build_neuron(preset("lif_sj").model_copy(update={"v_threshold": 0.5}))

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Spikes from spikes."""
        mixed = self.second(q, self.first(k, v)) if self.linear else self.second(self.first(q, k), v)
        return self.neuron(self.scale(mixed))


class Alive(TorchDispatchMode):
    """Bytes of the storages that operations have given and that are still referred to, and the most they ever were."""

    def __init__(self) -> None:
        super().__init__()
        self.holders: dict[int, tuple[int, int]] = {}  # address: bytes, tensors that share it
        self.now = self.most = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for each in tree_leaves(out):
            if isinstance(each, Tensor):
                storage = each.untyped_storage()
                address, size = storage.data_ptr(), storage.nbytes()
                if address not in self.holders:
                    self.now += size
                    self.most = max(self.most, self.now)
                self.holders[address] = (size, self.holders.get(address, (size, 0))[1] + 1)
                weakref.finalize(each, self._gone, address)
        return out

    def _gone(self, address: int) -> None:
        size, count = self.holders.pop(address)
        if count > 1:
            self.holders[address] = (size, count - 1)
        else:
            self.now -= size


def peak(core: nn.Module, inputs: tuple[Tensor, ...]) -> int:
    """Most bytes alive at once in a forward pass in evaluation mode, without the inputs."""
    core.eval()
    given = {x.untyped_storage().data_ptr() for x in inputs}
    with torch.no_grad(), Alive() as alive:
        for x in inputs:
            alive.holders[x.untyped_storage().data_ptr()] = (0, len(given) + 1)  # never counted
        core(*inputs)
    core.train()
    return alive.most


def kept_bytes(core: nn.Module, inputs: tuple[Tensor, ...]) -> float:
    """Bytes saved for the backward pass, those of the inputs among them."""
    _, k, v = inputs
    k, v = k.clone().requires_grad_(), v.clone().requires_grad_()
    return kept(lambda q: core(q, k, v), inputs[0]) * inputs[0].numel()


def step(core: nn.Module, inputs: tuple[Tensor, ...], upstream: Tensor) -> Callable[[], None]:
    """Forward and backward of the core, gradients of Q, K, V."""
    leaves = [x.clone().requires_grad_() for x in inputs]

    def run() -> None:
        for leaf in leaves:
            leaf.grad = None
        core(*leaves).backward(upstream)

    return run


def in_turns(runs: Mapping[str, Callable[[], None]], rounds: int) -> bench.Times:
    """Processor seconds of every run in every round, each right after an untimed one: the run before used the caches up."""
    spent: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            run()
            began = time.process_time()
            run()
            spent[name].append(time.process_time() - began)
    return bench.Times(spent)


def slope(points: dict[int, float]) -> float | None:
    """Least-squares slope of log(value) over log(L); None of fewer than two points."""
    if len(points) < 2:
        return None
    x = torch.tensor([math.log(n) for n in points], dtype=torch.float64)
    y = torch.tensor([math.log(value) for value in points.values()], dtype=torch.float64)
    return float(((x - x.mean()) * (y - y.mean())).sum() / (x - x.mean()).square().sum())


def main() -> None:
    parser = bench.parser("Cost of attention against the number of tokens, saccadic and spiking.", rounds=3)
    parser.add_argument("--width", type=int, default=256, help="D, channels of Q, K and V (256)")
    parser.add_argument("--heads", type=int, default=8)
    parser.add_argument("--steps", type=int, default=4, help="T, time steps (4)")
    parser.add_argument(
        "--batch", type=int, default=16, help="N (16); small batches show the fixed cost of calls"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    bench.keep_freed_memory()
    rows: list[bench.Row] = []
    times: dict[str, dict[int, float]] = {}
    peaks: dict[int, float] = {}
    faster: list[float] = []
    for side in SIDES:
        tokens = side * side
        generator = torch.Generator().manual_seed(side)
        shape = (options.steps, options.batch, options.width, side, side)
        inputs = tuple((torch.rand(shape, generator=generator) < 0.2).float() for _ in range(3))
        upstream = torch.randn(shape, generator=generator)
        cores: dict[str, nn.Module] = {
            "SSSA": Saccadic(tokens, options.width, options.heads, options.steps),
            "SSA linear": Spiking(options.heads, linear=True),
        }
        if tokens <= QUADRATIC_TO:
            cores["SSA quadratic"] = Spiking(options.heads, linear=False)
        runs = {name: step(core, inputs, upstream) for name, core in cores.items()}
        found = in_turns(runs, options.rounds)
        for name, core in cores.items():
            times.setdefault(name, {})[tokens] = found.median(name)
            most = peak(core, inputs)
            if name == "SSSA":
                peaks[tokens] = most
            ratio = found.ratio(name, "SSSA")
            if name != "SSSA" and tokens >= TIMED_FROM and ratio is not None:
                faster.append(ratio)
            rows.append(
                {
                    "what": name,
                    "L": tokens,
                    "ms": found.median(name) * 1e3,
                    "times SSSA's time": ratio,
                    "peak MiB": most / 2**20,
                    "kept MiB": kept_bytes(core, inputs) / 2**20,
                }
            )
    large = {name: {n: t for n, t in of.items() if n >= LARGE} for name, of in times.items()}
    for name, of in large.items():
        if of:
            rows.append({"what": f"{name}, slope from L = {LARGE}", "slope": slope(of)})
    growth = slope(large["SSSA"])
    goals = [
        bench.Goal(f"slope of SSSA's time from L = {LARGE}", growth, 1.1, most=True),
        bench.Goal(f"slope of SSSA's time from L = {LARGE}", growth, 0.9),
        bench.Goal(f"slope of SSSA's peak memory from L = {SIDES[0] ** 2}", slope(peaks), 1.02, most=True),
        bench.Goal(f"SSA's time over SSSA's from L = {TIMED_FROM}, either order, least", min(faster), 1.0),
    ]
    bench.finish("attention_scaling", rows, goals, options)


if __name__ == "__main__":
    main()
