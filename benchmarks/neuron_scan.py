"""How fast the neuron scan is: fused, plain torch, SpikingJelly and snnTorch, against copying memory.

    python benchmarks/neuron_scan.py [--shape 4,32,64,32,32] [--rounds 9] [--reset hard|soft]

Rounds are interleaved (one call of each in turn) and medians reported, in milliseconds and as ratios. The
bound counts the bytes that must move at the rate of a copy into a reused buffer: forward reads x and writes
spikes (one copy); backward reads x and the upstream gradient and writes one (1.5 copies). `copy to new` makes
a fresh tensor, as all results are. `same` is the share of spikes equal to the plain torch ones.
Peers that are not installed are left out with a note.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from rheobase.kernels import Sigmoid, neuron_scan, scan_reference

Scan = Callable[[Tensor], Tensor]


def rheobase(scan: Callable[..., Tensor], v_reset: float | None) -> Scan:
    options = {"v_reset": v_reset, "detach_reset": True, "strict": False, "surrogate": Sigmoid(alpha=4.0)}
    return lambda x: scan(x, 0.5, 1.0, **options)


def spikingjelly(v_reset: float | None) -> Scan:
    from spikingjelly.activation_based import functional, neuron, surrogate

    node = neuron.LIFNode(
        tau=2.0,
        decay_input=False,
        v_threshold=1.0,
        v_reset=v_reset,
        surrogate_function=surrogate.Sigmoid(alpha=4.0),
        detach_reset=True,
        step_mode="m",
    )

    def run(x: Tensor) -> Tensor:
        functional.reset_net(node)
        return node(x)

    return run


def snntorch(v_reset: float | None) -> Scan:
    import snntorch
    from snntorch import surrogate

    reset = "subtract" if v_reset is None else "zero"
    node = snntorch.Leaky(
        beta=0.5,
        threshold=1.0,
        reset_mechanism=reset,
        spike_grad=surrogate.sigmoid(slope=4),
        reset_delay=False,
    )

    def run(x: Tensor) -> Tensor:
        membrane, spikes = node.init_leaky(), []
        for step in x.unbind(0):
            spike, membrane = node(step, membrane)
            spikes.append(spike)
        return torch.stack(spikes)

    return run


def contenders(v_reset: float | None) -> dict[str, Scan]:
    found = {
        "rheobase fused": rheobase(neuron_scan, v_reset),
        "plain torch": rheobase(scan_reference, v_reset),
    }
    for name, make in (("SpikingJelly", spikingjelly), ("snnTorch", snntorch)):
        try:
            found[name] = make(v_reset)
        except ImportError as error:
            print(f"{name} left out: {error}")
    return found


def milliseconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return (time.perf_counter() - start) * 1e3


def measure(scans: dict[str, Scan], shape: tuple[int, ...], rounds: int) -> dict[str, tuple[float, float]]:
    """Median milliseconds of (forward, forward + backward) of each contender, and of the copies."""
    generator = torch.Generator().manual_seed(0)
    x, upstream = (torch.randn(shape, generator=generator) for _ in range(2))
    leaf, buffer = x.clone().requires_grad_(), torch.empty_like(x)

    def forward(scan: Scan) -> Tensor:
        with torch.no_grad():
            return scan(x)

    def both(scan: Scan) -> None:
        leaf.grad = None
        scan(leaf).backward(upstream)

    times: dict[str, tuple[list[float], list[float]]] = {}
    for turn in range(rounds + 1):  # the first round warms up
        row = {
            "copy (bound)": (milliseconds(lambda: buffer.copy_(x)), 0.0),
            "copy to new": (milliseconds(x.clone), 0.0),
        }
        for name, scan in scans.items():
            row[name] = (milliseconds(lambda s=scan: forward(s)), milliseconds(lambda s=scan: both(s)))
        for name, pair in row.items():
            kept = times.setdefault(name, ([], []))
            if turn:
                kept[0].append(pair[0])
                kept[1].append(pair[1])
    medians = {name: (statistics.median(a), statistics.median(b)) for name, (a, b) in times.items()}
    for name in ("copy (bound)", "copy to new"):
        medians[name] = (medians[name][0], 2.5 * medians[name][0])
    return medians


def main() -> None:
    parser = argparse.ArgumentParser(description="Neuron scan against peers and the copy bound.")
    parser.add_argument("--shape", default="4,32,64,32,32", help="T,N,... of x")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--reset", choices=("hard", "soft"), default="hard")
    options = parser.parse_args()
    shape = tuple(int(part) for part in options.shape.split(","))
    v_reset = 0.0 if options.reset == "hard" else None
    scans = contenders(v_reset)
    medians = measure(scans, shape, options.rounds)
    where = f"{torch.get_num_threads()} threads, torch {torch.__version__}"
    print(f"shape {list(shape)}, {options.reset} reset, detached, {where}")
    print(
        f"{'':16}{'forward':>10}{'x bound':>9}{'vs fused':>10}{'fwd+bwd':>10}{'x bound':>9}{'vs fused':>10}"
    )
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        truth = scans["plain torch"](x)
        same = {name: f"{(scan(x) == truth).double().mean():8.4%}" for name, scan in scans.items()}
    bound, fused = medians["copy (bound)"], medians["rheobase fused"]
    for name, (one, two) in medians.items():
        left = f"{one:10.2f}{one / bound[0]:9.2f}{one / fused[0]:10.2f}"
        print(f"{name:16}{left}{two:10.2f}{two / bound[1]:9.2f}{two / fused[1]:10.2f} {same.get(name, '')}")


if __name__ == "__main__":
    main()
