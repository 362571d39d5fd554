"""How fast the neuron scan is: fused, plain torch and peers, against copying memory.

    python benchmarks/neuron_scan.py [--shape 4,32,64,32,32] [--rounds 9] [--reset hard|soft] [--out FILE.csv]
    python benchmarks/neuron_scan.py --check        # the shapes that have goals; exit status 1 if one is missed

Rounds are interleaved (one call of each in turn) and medians reported, in milliseconds and as ratios. The
bound counts the bytes that must move at the rate of a copy into a reused buffer: forward reads x and writes
spikes (one copy); backward reads x and the upstream gradient and writes one (1.5 copies). `copy to new` makes
a fresh tensor. Two forward + backward columns: the reset detached from the graph, and not. `same` is the share
of spikes equal to the plain torch ones. Peers that are not installed are left out with a note; those without a
stop-gradient at the reset are timed as they are. The machine must be idle, or the ratios say little.
"""

import argparse
import csv
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from rheobase.kernels import Sigmoid, neuron_scan, scan_reference

Scan = Callable[[Tensor], Tensor]
MODES = ("forward", "detached", "attached")  # the last two: forward + backward, by what the reset does
COPIES = {"forward": 1.0, "detached": 2.5, "attached": 2.5}
BOUND, OURS, PEER = "copy (bound)", "rheobase fused", "SpikingJelly"
LARGE, SMALL, LONG = (4, 32, 64, 32, 32), (16, 128, 256), (100, 128, 512)


class Goal(NamedTuple):
    """At most `most` times the bound, or at least `least` times as fast as SpikingJelly."""

    shape: tuple[int, ...]
    mode: str
    most: float | None = None
    least: float | None = None


GOALS = (
    Goal(LARGE, "forward", most=1.25),
    Goal(LARGE, "detached", most=1.7),
    Goal(LARGE, "attached", most=2.3),
    Goal(LARGE, "detached", least=9.0),
    Goal(LARGE, "attached", least=9.0),
    Goal(SMALL, "detached", least=14.0),
    Goal(LONG, "detached", least=10.0),
)


def rheobase(scan: Callable[..., Tensor], v_reset: float | None, detach: bool) -> Scan:
    options = {"v_reset": v_reset, "detach_reset": detach, "strict": False, "surrogate": Sigmoid(alpha=4.0)}
    return lambda x: scan(x, 0.5, 1.0, **options)


def spikingjelly(v_reset: float | None, detach: bool) -> Scan:
    from spikingjelly.activation_based import functional, neuron, surrogate

    node = neuron.LIFNode(
        tau=2.0,
        decay_input=False,
        v_threshold=1.0,
        v_reset=v_reset,
        surrogate_function=surrogate.Sigmoid(alpha=4.0),
        detach_reset=detach,
        step_mode="m",
    )

    def run(x: Tensor) -> Tensor:
        functional.reset_net(node)
        return node(x)

    return run


def snntorch(v_reset: float | None, detach: bool) -> Scan:
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


def norse(v_reset: float | None, detach: bool) -> Scan:
    from norse.torch.functional import lif_box

    if v_reset is None:
        raise ImportError("it has no soft reset")
    parameters = lif_box.LIFBoxParameters(tau_mem_inv=torch.tensor(500.0), v_th=torch.tensor(1.0))

    def run(x: Tensor) -> Tensor:
        state, spikes = lif_box.LIFBoxFeedForwardState(v=torch.zeros_like(x[0])), []
        for step in x.unbind(0):  # it halves the input as it halves the membrane
            spike, state = lif_box.lif_box_feed_forward_step(2.0 * step, state, parameters)
            spikes.append(spike)
        return torch.stack(spikes)

    return run


def contenders(v_reset: float | None) -> dict[str, dict[bool, Scan]]:
    """Each contender by name, without and with the reset detached."""
    found = {
        OURS: {detach: rheobase(neuron_scan, v_reset, detach) for detach in (False, True)},
        "plain torch": {detach: rheobase(scan_reference, v_reset, detach) for detach in (False, True)},
    }
    for name, make in ((PEER, spikingjelly), ("snnTorch", snntorch), ("Norse", norse)):
        try:
            found[name] = {detach: make(v_reset, detach) for detach in (False, True)}
        except ImportError as error:
            print(f"{name} left out: {error}")
    return found


def milliseconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return (time.perf_counter() - start) * 1e3


def measure(
    scans: dict[str, dict[bool, Scan]], shape: tuple[int, ...], rounds: int
) -> dict[str, dict[str, float]]:
    """Median milliseconds of each mode of each contender, and of the copies."""
    generator = torch.Generator().manual_seed(0)
    x, upstream = (torch.randn(shape, generator=generator) for _ in range(2))
    leaf, buffer = x.clone().requires_grad_(), torch.empty_like(x)

    def forward(scan: Scan) -> Tensor:
        with torch.no_grad():
            return scan(x)

    def both(scan: Scan) -> None:
        leaf.grad = None
        scan(leaf).backward(upstream)

    times: dict[str, dict[str, list[float]]] = {}
    for turn in range(rounds + 1):  # the first round warms up
        row = {BOUND: {"forward": milliseconds(lambda: buffer.copy_(x))}}
        row["copy to new"] = {"forward": milliseconds(x.clone)}
        for name, by_detach in scans.items():
            row[name] = {
                "forward": milliseconds(lambda s=by_detach[True]: forward(s)),
                "detached": milliseconds(lambda s=by_detach[True]: both(s)),
                "attached": milliseconds(lambda s=by_detach[False]: both(s)),
            }
        for name, taken in row.items():
            for mode, value in taken.items():
                kept = times.setdefault(name, {}).setdefault(mode, [])
                if turn:
                    kept.append(value)
    medians = {
        name: {mode: statistics.median(values) for mode, values in modes.items()}
        for name, modes in times.items()
    }
    for name in (BOUND, "copy to new"):
        medians[name] = {mode: COPIES[mode] * medians[name]["forward"] for mode in MODES}
    return medians


def equal_spikes(scans: dict[str, dict[bool, Scan]], shape: tuple[int, ...]) -> dict[str, float]:
    """The share of spikes that equal plain torch's."""
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        truth = scans["plain torch"][True](x)
        return {name: float((scan[True](x) == truth).double().mean()) for name, scan in scans.items()}


def table(
    shape: tuple[int, ...], reset: str, medians: dict[str, dict[str, float]], same: dict[str, float]
) -> list[dict[str, object]]:
    """Print one shape's table and return it as rows for the CSV."""
    where = f"{torch.get_num_threads()} threads, torch {torch.__version__}"
    print(f"\nshape {list(shape)}, {reset} reset, {where}")
    print(f"{'':16}" + "".join(f"{mode + ' ms':>12}{'x bound':>9}{'vs fused':>10}" for mode in MODES))
    rows: list[dict[str, object]] = []
    for name, taken in medians.items():
        line, row = f"{name:16}", {"shape": "x".join(map(str, shape)), "reset": reset, "name": name}
        for mode in MODES:
            bound, ours = taken[mode] / medians[BOUND][mode], taken[mode] / medians[OURS][mode]
            line += f"{taken[mode]:12.3f}{bound:9.2f}{ours:10.2f}"
            row |= {f"{mode}_ms": taken[mode], f"{mode}_x_bound": bound, f"{mode}_vs_fused": ours}
        print(line + (f" {same[name]:9.4%}" if name in same else ""))
        rows.append(row | {"same": same.get(name, ""), "threads": torch.get_num_threads()})
    return rows


def missed(found: dict[tuple[int, ...], dict[str, dict[str, float]]]) -> list[str]:
    """One line per goal that the medians of its shape miss."""
    lines = []
    for shape, mode, most, least in GOALS:
        medians = found[shape]
        ours = medians[OURS][mode]
        if most is not None and (ratio := ours / medians[BOUND][mode]) > most:
            lines.append(f"{list(shape)} {mode}: {ratio:.2f}x the bound, goal at most {most:g}x")
        if least is not None:
            if PEER not in medians:
                lines.append(f"{list(shape)} {mode}: {PEER} is not installed, goal {least:g}x not measured")
            elif (ratio := medians[PEER][mode] / ours) < least:
                lines.append(f"{list(shape)} {mode}: {ratio:.2f}x {PEER}, goal at least {least:g}x")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description="Neuron scan against peers and the copy bound.")
    parser.add_argument("--shape", action="append", help="T,N,... of x; may be repeated")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--reset", choices=("hard", "soft"), default="hard")
    parser.add_argument("--out", type=Path, help="write the rows as CSV")
    parser.add_argument("--check", action="store_true", help="hard reset, all shapes with goals")
    options = parser.parse_args()
    shapes = [tuple(int(part) for part in text.split(",")) for text in options.shape or ()]
    if options.check:
        options.reset = "hard"
        shapes += [shape for shape in dict.fromkeys(goal.shape for goal in GOALS) if shape not in shapes]
    scans = contenders(0.0 if options.reset == "hard" else None)
    found, rows = {}, []
    for shape in shapes or [LARGE]:
        found[shape] = measure(scans, shape, options.rounds)
        rows += table(shape, options.reset, found[shape], equal_spikes(scans, shape))
    if options.out:
        with options.out.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0], lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    if options.check:
        lines = missed(found)
        print("\n" + ("\n".join(f"MISSED {line}" for line in lines) or "all goals reached"))
        raise SystemExit(bool(lines))


if __name__ == "__main__":
    main()
