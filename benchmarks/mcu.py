"""Instructions of spiking kernels on microcontrollers, counted by an emulator: the same numbers on every machine.

    python benchmarks/mcu.py                          # tables
    python benchmarks/mcu.py --check                  # also fail where a goal is missed
    python benchmarks/mcu.py --out results/mcu.csv    # also write them

Needs `apt install gcc-arm-none-eabi qemu-system-arm gcc-riscv64-unknown-elf qemu-system-misc`.

One layer: the convolution 32 -> 32, 8x8, 3x3, padding 1, on a Cortex-M4, in instructions for each multiplication of a dense
network and timestep. The kernels that ship are beside three dense forms (`mcu_layer.c`): plain C on int8, the way of CMSIS-NN,
and AND with population count on 1-bit weights. An int8 network of the same shape runs its form once, a spiking one T times.

One program: a network for 34x34 event frames with random weights, on every target, with the kernels that scatter (the default)
and with those chosen by rate.
"""

import argparse
import csv
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from shutil import copyfile

import numpy as np
from numpy.typing import NDArray

from rheobase.cost import count
from rheobase.program import Conv2d, Flatten, Linear, Neuron, Program, Readout, SumPool, Weight, reference
from rheobase.program.c99.generator import logits_hash, spikes_hash
from rheobase.targets import TARGETS, ToolError, build, missing, profile, run
from rheobase.targets.image import FREESTANDING, lay_out, link
from rheobase.targets.machine import emulate, instructions

CHANNELS, SIZE = 32, 8
DENSE_MACS = CHANNELS * CHANNELS * 9 * SIZE * SIZE
STEPS_OFFSETS = {1: (2, -1), 2: (2, -3), 4: (2, -15), 8: (1, -128)}
EVENT_GOAL, BUSY_GOAL, GOAL_RATE, BUSY_RATE = 0.30, 0.40, 0.10, 0.40
HERE = Path(__file__).parent


@dataclass(frozen=True)
class Row:
    """One figure."""

    what: str
    target: str
    optimise: str
    kernel: str
    weight_bits: int
    rate: float
    value: float
    unit: str


def random_weight(rng: np.random.Generator, shape: tuple[int, ...], bits: int) -> Weight:
    return Weight(rng.integers(0, 1 << bits, shape, dtype=np.uint8), bits, *STEPS_OFFSETS[bits])


def layer(bits: int, rate: float) -> tuple[Program, NDArray[np.uint8]]:
    """A program whose op 2 is the layer, fed with spikes of about `rate` by an identity before it."""
    rng = np.random.default_rng(bits)
    identity = np.eye(CHANNELS, dtype=np.uint8)[:, :, None, None]
    ops = [
        Conv2d(Weight(identity, 1, 1, 0)),
        Neuron(np.ones(CHANNELS, np.int32), np.zeros(CHANNELS, np.int32)),
        Conv2d(random_weight(rng, (CHANNELS, CHANNELS, 3, 3), bits), padding=1),
        Neuron(np.full(CHANNELS, 60 << bits), np.zeros(CHANNELS, np.int32), leak_shift=1),
        Flatten(),
        Linear(random_weight(rng, (10, CHANNELS * SIZE * SIZE), 1)),
        Readout(np.zeros(10, np.int32)),
    ]
    frames = (rng.random((2, 1, CHANNELS, SIZE, SIZE)) < rate).astype(np.uint8)
    return Program("layer", (CHANNELS, SIZE, SIZE), 2, ops), frames


def spiking(optimise: str, bits: int, rate: float, kernel: str) -> float:
    """Instructions per dense MAC and step of the layer. `kernel` is scatter, lanes or planes."""
    program, frames = layer(bits, rate)
    rates = {"scatter": None, "lanes": {2: 0.0}, "planes": {2: 1.0}}[kernel]
    with tempfile.TemporaryDirectory() as folder:
        image = build(program, TARGETS["cortex-m4"], Path(folder), optimise=optimise, rates=rates, rows=False)
        return float(profile(image, frames)[2]) / DENSE_MACS


def dense(optimise: str, kind: int, signs: bool = False) -> tuple[float, int]:
    """Instructions per MAC of a form of `mcu_layer.c`, and the sum over its results."""
    rng = np.random.default_rng(0)
    weights = rng.integers(-127, 128, (CHANNELS, 3, 3, CHANNELS)).astype(np.int8)
    if signs:
        weights = np.where(weights > 0, 1, -1).astype(np.int8)
    spikes = (rng.random((SIZE, SIZE, CHANNELS)) < GOAL_RATE).astype(np.uint8)
    target = TARGETS["cortex-m4"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lay_out(target, folder)
        copyfile(HERE / "mcu_layer.c", folder / "mcu_layer.c")
        (folder / "data.bin").write_bytes(weights.tobytes() + spikes.tobytes())
        flags = [*target.flags, optimise, "-std=gnu99", *FREESTANDING[2:], "-Iinclude", f"-DKIND={kind}"]
        said = emulate(
            target, link(target, folder, "layer", ["mcu_layer.c"], flags=flags), folder / "data.bin"
        )
    ticks = np.array(int(said["ticks"][0]))
    return float(instructions(target, ticks)) / DENSE_MACS, int(said["check"][0])


def kernels() -> Iterator[Row]:
    """The layer in every form."""
    unit = "instructions per dense MAC and step"
    for optimise in ("-O2", "-O3"):
        for kind, name in enumerate(("plain int8", "CMSIS-style int8", "AND + popcount")):
            bits = 1 if kind == 2 else 8
            yield Row(
                "layer", "cortex-m4", optimise, name, bits, 1.0, dense(optimise, kind, bits == 1)[0], unit
            )
        for rate in (0.02, 0.05, 0.10, 0.20, 0.40, 1.0):
            for bits in (1, 2, 4, 8):
                for kernel in ("scatter", "planes" if bits == 1 else "lanes", *(("planes",) * (bits == 2))):
                    yield Row(
                        "layer",
                        "cortex-m4",
                        optimise,
                        kernel,
                        bits,
                        rate,
                        spiking(optimise, bits, rate, kernel),
                        unit,
                    )


def network() -> tuple[Program, NDArray[np.uint8]]:
    """16C3-AP2-32C3-AP2-64C3-AP2-64C3 with 4-bit weights (first and last layer 8) on two samples of 34x34 frames."""
    rng = np.random.default_rng(0)
    ops: list[object] = []
    channels = 2
    for index, out in enumerate((16, 32, 64, 64)):
        bits = 4 if index else 8
        ops.append(Conv2d(random_weight(rng, (out, channels, 3, 3), bits), padding=1))
        ops.append(Neuron(np.full(out, 160 if bits == 4 else 100), rng.integers(-20, 20, out), leak_shift=1))
        if index < 3:
            ops.append(SumPool(2))
        channels = out
    ops += [Flatten(), Linear(random_weight(rng, (10, 64 * 4 * 4), 8)), Readout(np.zeros(10, np.int32))]
    frames = (rng.random((4, 2, 2, 34, 34)) < 0.05).astype(np.uint8)
    return Program("network", (2, 34, 34), 4, ops), frames  # type: ignore[arg-type]


def programs() -> Iterator[Row]:
    """A whole program on every target."""
    program, frames = network()
    trace = reference.run(program, frames)
    table = count(program, frames, trace)
    macs = sum(row.macs for row in table.rows) * program.T
    rates = {index: 0.1 for index in range(len(program.ops))}
    for name, target in TARGETS.items():
        for kernel, chosen in (("scatter", None), ("chosen", rates)):
            with tempfile.TemporaryDirectory() as folder:
                image = build(program, target, Path(folder), rates=chosen)
                done = run(image, frames)
            if (done.logits_hash, done.spikes_hash) != (logits_hash(trace), spikes_hash(trace)):
                raise ToolError(f"{name} differs from the reference")
            rate = float(np.mean([spikes.mean() for spikes in trace.spikes]))
            for value, unit in (
                (done.per_inference, "instructions per inference"),
                (done.per_inference / macs, "instructions per dense MAC and step"),
                (image.bytes_flash, "bytes of flash"),
                (image.bytes_state, "bytes of RAM"),
                (done.stack_bytes, "bytes of stack"),
            ):
                yield Row("program", name, "-O2", kernel, 4, rate, value, unit)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="fail where a goal is missed")
    parser.add_argument("--out", type=Path, help="write the rows as CSV")
    parsed = parser.parse_args()
    if reasons := {reason for target in TARGETS.values() if (reason := missing(target))}:
        print("\n".join(sorted(reasons)), file=sys.stderr)
        return 1
    rows = []
    for row in chain(kernels(), programs()):
        rows.append(row)
        print(
            f"{row.what:8} {row.target:14} {row.optimise} {row.kernel:17} {row.weight_bits} bit  rate {row.rate:4.2f}  "
            f"{row.value:14,.3f} {row.unit}",
            flush=True,
        )
    if parsed.out:
        with parsed.out.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(asdict(rows[0])))
            writer.writeheader()
            writer.writerows(asdict(row) for row in rows)
    missed = []
    for row in rows:
        if row.what == "layer" and row.kernel in ("lanes", "planes"):
            if row.rate == GOAL_RATE and row.value > EVENT_GOAL:
                missed.append(f"{row} misses {EVENT_GOAL} at {GOAL_RATE:.0%}")
            if row.weight_bits == 1 and row.rate <= BUSY_RATE and row.value > BUSY_GOAL:
                missed.append(f"{row} misses {BUSY_GOAL} up to {BUSY_RATE:.0%}")
    print(
        f"goals: <= {EVENT_GOAL} at a rate of {GOAL_RATE:.0%}, "
        f"<= {BUSY_GOAL} with 1 bit up to a rate of {BUSY_RATE:.0%}: "
        + (f"{len(missed)} missed" if missed else "met")
    )
    print("\n".join(missed))
    return 1 if parsed.check and missed else 0


if __name__ == "__main__":
    sys.exit(main())
