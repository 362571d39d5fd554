"""Learning on spike times by events: the C kernels against sorted torch, and against a dense network of the same size.

    python benchmarks/event_driven.py [--rounds 5] [--out F.csv] [--check]

A layer 784-400 of ReL-PSP at batch 128 on images whose pixels spike in half the places, forward and backward to its
weights: `events.c`; the same written for speed with sorts and prefix sums in float32, for all outputs at once and for
20 at a time (the goal is against the faster of the two); and the reference, in float64. Memory is the peak of the process
above what it held before; times are the least processor time of all rounds, in which the competitors take turns. Then
training steps of 784-400-10 (Adam, weight-sum cost) beside those of a dense ReLU network, as epochs of 60,000 images; and
the operations of such a step beside those of a network that updates every neuron in each of 16 steps.

`compare` trains all rules on one network and budget (`event_rules.py`).

MPD-ED: the backward pass of three layers of 1,000 neurons (T 4, batch 128, rates near .1) from active neurons alone and
with dense matrix products, in CPU time, and the operations it executes beside those of the time-step surrogate, and of a
surrogate that skips its own zeros.
"""

import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import bench
import event_rules
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rheobase.kernels import EventGradient, sparse_backward
from rheobase.models import create_model
from rheobase.models.spike_time import SpikeTimeClassifier
from rheobase.neurons import NeuronConfig, Triangular, build_neuron
from rheobase.objectives import CrossEntropy, Outputs, WeightSum
from rheobase.spiketime import Geometry, Reference, RelPsp, StdEd, counted
from rheobase.spiketime.event_kernels import RelPspKernels

INPUTS, HIDDEN, CLASSES, BATCH, IMAGES, STEPS, WIDTH = 784, 400, 10, 128, 60_000, 16, 1000
EVENTS, WHOLE, CHUNKED = "events in C", "sorted torch, float32, whole", "sorted torch, float32, chunks"
REFERENCE, CHUNK = "sorted torch, reference", 20
Run = Callable[[], Any]


def images() -> Tensor:
    """Bytes `[1, N, 1, 28, 28]`, half of them 0."""
    g = torch.Generator().manual_seed(0)
    x = torch.randint(1, 256, (1, BATCH, 1, 28, 28), generator=g).float()
    return x * (torch.rand(x.shape, generator=g) < 0.5)


def problem() -> tuple[RelPsp, Tensor, Tensor]:
    """Rule, times `[N, 784]` and weights `[400, 784]`."""
    torch.manual_seed(0)
    rule, x = RelPsp(), images().view(BATCH, -1) / 255
    weight = torch.empty(HIDDEN, INPUTS)
    rule.start(weight)
    return rule, (1 - x).where(x > 0, torch.inf), weight


def layer(engine: Reference | RelPspKernels) -> Run:
    """Forward and backward to the weights of one layer, as layers call it: times in float64, weights in float32."""
    rule, times, weight = problem()
    geometry = Geometry(INPUTS)

    def run() -> tuple[Tensor, Tensor]:
        t = times.double()
        found = engine.forward(rule, t, weight, geometry)
        scale = torch.where(found.last >= 0, 1 / found.slope.clamp(min=rule.slope_min), 0)
        grad = engine.to_weights(rule, t, weight, geometry, scale, found.times, found.last, found.lists)
        return found.times[:, 0].float(), grad.float()

    return run


def sorted_torch(chunk: int) -> Run:
    """The same in float32: weights gathered in order of arrival, prefix sums, the first segment that ends above."""
    rule, times, weight = problem()

    def run() -> tuple[Tensor, Tensor]:
        ts, order = times.sort(dim=1)
        arrived = ts.isfinite()
        tz = torch.where(arrived, ts, 0)
        end = torch.cat([ts[:, 1:], ts.new_full((len(ts), 1), torch.inf)], 1)
        place = torch.arange(INPUTS, dtype=torch.int32)
        fired, grads = [], []
        for w in weight.split(chunk):
            arriving = w[:, order] * arrived  # [m, N, n]
            W, S = arriving.cumsum(-1), (arriving * tz).cumsum(-1)
            some, k = (((W * end - S) >= rule.v_threshold) & arrived).max(-1, keepdim=True)
            slope = W.gather(-1, k)
            t = ((rule.v_threshold + S.gather(-1, k)) / slope).where(some, torch.inf)
            t = t.where(t <= (rule.t_max or torch.inf), torch.inf)
            scale = torch.where(t.isfinite(), 1 / slope.clamp(min=rule.slope_min), 0)
            pairs = (tz - t.where(t.isfinite(), 0)).mul_(scale).mul_(place <= k).mul_(arrived)
            grads.append(torch.zeros_like(w).index_add_(1, order.flatten(), pairs.flatten(1)))
            fired.append(t[..., 0])
        return torch.cat(fired).T, torch.cat(grads)

    return run


def peak(run: Run) -> float:
    """MiB that the process needs at most during `run`, above what it held before."""
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    run()
    return max(0, _status("VmHWM") - before) / 1024


def agree(runs: dict[str, Run]) -> None:
    """All compute the same, to what float32 holds."""
    (fired, grad), *others = (run() for run in runs.values())
    for other_fired, other_grad in others:
        close = (fired == other_fired) | ((fired - other_fired).abs() < 1e-3)
        assert close.float().mean() > 0.999  # float32 decides some spikes near t_max otherwise
        assert (grad - other_grad).norm() < 1e-2 * grad.norm()


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(name)))


def spike_times(rule: RelPsp | StdEd) -> SpikeTimeClassifier:
    """784-400-10 on bytes."""
    torch.manual_seed(0)
    net = create_model(
        "spike_time",
        num_classes=CLASSES,
        in_channels=1,
        input_size=(28, 28),
        input_unit=1 / 255,
        options={"layers": str(HIDDEN), "rule": rule.model_dump()},
    )
    assert isinstance(net, SpikeTimeClassifier)
    return net


def spiking_step(rule: RelPsp | StdEd, x: Tensor, y: Tensor) -> Run:
    net = spike_times(rule)
    optimiser = torch.optim.Adam(net.parameters(), 1e-3)
    objective = WeightSum() if isinstance(rule, RelPsp) else CrossEntropy()
    objective.layers(net)

    def step() -> None:
        optimiser.zero_grad()
        objective(Outputs(net(x), {}, net.forward_head), y).total.backward()
        optimiser.step()

    return step


def dense_step(x: Tensor, y: Tensor) -> Run:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(INPUTS, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, CLASSES))
    optimiser = torch.optim.Adam(net.parameters(), 1e-3)

    def step() -> None:
        optimiser.zero_grad()
        F.cross_entropy(net(x[0] / 255), y).backward()
        optimiser.step()

    return step


def work(x: Tensor, y: Tensor) -> list[bench.Row]:
    """Operations per image of one training step."""
    net = spike_times(RelPsp())
    with counted() as done:
        F.cross_entropy(net(x)[0], y).backward()
    dense = net.time_step_work(x, STEPS)
    kinds = ("forward", "errors", "updates", "total")
    return [
        {
            "what": f"operations an image, {kind}",
            "value": getattr(done, kind) / BATCH,
            f"{STEPS} time steps": getattr(dense, kind) / BATCH,
            "ratio": getattr(dense, kind) / getattr(done, kind),
        }
        for kind in kinds
    ]


def membranes(gradient: EventGradient | None) -> nn.Sequential:
    """Three layers of WIDTH neurons that fire in about a tenth of the steps, and ten classes."""
    torch.manual_seed(0)
    neuron = NeuronConfig(v_reset=0.0, detach_reset=True, surrogate=Triangular(), gradient=gradient)
    layers: list[nn.Module] = []
    for std in (0.075, 0.085, 0.085):
        linear = nn.Linear(WIDTH, WIDTH)
        nn.init.normal_(linear.weight, std=std)
        nn.init.zeros_(linear.bias)
        layers += [linear, build_neuron(neuron)]
    return nn.Sequential(*layers, nn.Linear(WIDTH, CLASSES))


def mpd_ed(rounds: int) -> tuple[list[bench.Row], list[bench.Goal]]:
    """CPU time and operations of the backward pass at events."""
    g = torch.Generator().manual_seed(0)
    x = (torch.rand(4, BATCH, WIDTH, generator=g) < 0.1).float()
    y = torch.randint(0, CLASSES, (BATCH,), generator=g)
    nets = {"events": membranes(EventGradient()), "surrogate": membranes(None)}

    def backward(name: str, sparse: bool) -> float:
        with sparse_backward() if sparse else nullcontext():
            nets[name].zero_grad()
            loss = F.cross_entropy(nets[name](x).mean(0), y)
            before = time.thread_time()
            loss.backward()
        return time.thread_time() - before

    arms = {(name, sparse): [] for name in nets for sparse in (True, False)}
    for _ in range(rounds):
        for (name, sparse), found in arms.items():
            found.append(backward(name, sparse))
    least = {arm: min(found) for arm, found in arms.items()}
    rows: list[bench.Row] = [
        {
            "what": f"backward, {name}, {'active neurons' if sparse else 'dense'}",
            "value": 1e3 * value,
            "unit": "ms",
            "ratio": value / least["events", True],
        }
        for (name, sparse), value in least.items()
    ]
    work = {}
    for name in nets:
        with counted() as work[name]:
            backward(name, True)
        done = work[name]
        rows += [
            {
                "what": f"{name}, operations, {kind}",
                "value": getattr(done, kind),
                "time steps": dense,
                "ratio": dense / getattr(done, kind),
            }
            for kind, dense in zip(("forward", "errors", "updates"), done.dense, strict=True)
        ]
        rows.append({"what": f"{name}, energy of arithmetic", "value": done.picojoules() / 1e6, "unit": "uJ"})
    done = work["events"]
    both = sum(done.dense[1:]) / (done.errors + done.updates)
    return rows, [
        bench.Goal("MPD-ED: updates, time steps / executed", done.dense[2] / done.updates, 10),
        bench.Goal("MPD-ED: backward, time steps / executed", both, 5),
        bench.Goal("MPD-ED: backward, dense / active", least["events", False] / least["events", True], 3),
    ]


def cpu_time(runs: dict[str, Run], rounds: int) -> dict[str, float]:
    """Least seconds of processor time of each run; they take turns, and the first round warms up."""
    found: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(rounds + 1):
        for name, run in runs.items():
            before = time.thread_time()
            run()
            if turn:
                found[name].append(time.thread_time() - before)
    return {name: min(times) for name, times in found.items()}


def main() -> None:
    options = bench.parser("Event-driven learning on spike times.", rounds=5).parse_args()
    x, y = images(), torch.randint(0, CLASSES, (BATCH,), generator=torch.Generator().manual_seed(1))
    runs = {
        EVENTS: layer(RelPspKernels()),
        WHOLE: sorted_torch(HIDDEN),
        CHUNKED: sorted_torch(CHUNK),
        REFERENCE: layer(Reference()),
    }
    memory = {name: peak(run) for name, run in runs.items()}  # the first run of each: no memory is warm yet
    agree(runs)
    times = cpu_time(runs, options.rounds)
    steps = {
        "ReL-PSP": spiking_step(RelPsp(), x, y),
        "STD-ED": spiking_step(StdEd(), x, y),
        "dense ReLU": dense_step(x, y),
    }
    epochs = cpu_time(steps, 8 * options.rounds)
    per_epoch = IMAGES / BATCH
    rows: list[bench.Row] = [
        {
            "what": f"layer, {name}",
            "value": 1e3 * times[name],
            "unit": "ms",
            "MiB": memory[name],
            "ratio": times[name] / times[EVENTS],
        }
        for name in runs
    ]
    rows += [
        {
            "what": f"epoch, {name}",
            "value": per_epoch * epochs[name],
            "unit": "s",
            "ratio": epochs[name] / epochs["dense ReLU"],
        }
        for name in steps
    ]
    rows += work(x, y)
    more, wanted = mpd_ed(options.rounds)
    rows += more
    goals = [
        bench.Goal(
            "layer: sorted torch / events in C, time", min(times[CHUNKED], times[WHOLE]) / times[EVENTS], 60
        ),
        bench.Goal("layer: events in C / sorted torch, memory", memory[EVENTS] / memory[CHUNKED], 0.1, True),
        bench.Goal("epoch: ReL-PSP / dense ReLU", epochs["ReL-PSP"] / epochs["dense ReLU"], 3, most=True),
        *wanted,
    ]
    bench.finish("event_driven", rows, goals, options)


if __name__ == "__main__":
    if sys.argv[1:2] == ["compare"]:
        event_rules.main(sys.argv[2:])
    else:
        main()
