"""A synthetic report that looks like a real one; `python report_example.py out.html` writes the page."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from rheobase.report import (
    Arm,
    LayerCost,
    ProgramFacts,
    Raster,
    ReportData,
    Samples,
    State,
    write_report,
)

CLASSES = [
    "left",
    "right",
    "up",
    "down",
    "clockwise",
    "counter-clockwise",
    "zoom in",
    "zoom out",
    "wave",
    "still",
]
LAYERS = [f"features.{block}.neuron" for block in range(8)]
T = 4


def arm(name: str, *, early: float, final: float, rate: float, flicker: float, seed: int) -> Arm:
    rng = np.random.default_rng(seed)
    at = [final - (final - early) * (1 - k / (T - 1)) ** 1.9 for k in range(T)]
    history = []
    for epoch in range(1, 61):
        rise = 1 - np.exp(-epoch / 11)
        wobble = rng.normal() * 0.012 * (1 - epoch / 75)
        history.append(
            {
                "epoch": float(epoch),
                "train_loss": 2.2 * float(np.exp(-epoch / (12 + seed))) + 0.07 * seed,
                "validation_loss": 2.0 * float(np.exp(-epoch / 12))
                + 2.2 * (1 - final)
                + 0.1
                + 1.5 * abs(wobble),
                "train_accuracy": 0.1 + (0.9 - 0.015 * seed) * float(rise),
                "validation_accuracy": min(1.0, 0.1 + (final - 0.1) * float(rise) + float(wobble)),
            }
        )
    rates = {layer: rate * float(0.6 + 0.8 * rng.random()) / (1 + 0.22 * i) for i, layer in enumerate(LAYERS)}
    K, per_class = len(CLASSES), 40
    confusion = np.zeros((K, K), int)
    for row in range(K):
        wrong = rng.binomial(per_class, (1 - final) * 1.3)
        confusion[row, row] = per_class - wrong
        for _ in range(wrong):
            confusion[row, (row ^ 1) if rng.random() < 0.6 else rng.integers(K)] += 1
    robustness = {
        "noise": [
            (level, final - 0.5 * level**1.3 / early * 0.8) for level in (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
        ],
        "drop": [
            (level, final - 0.55 * level**2.4 / early * 0.8) for level in (0.0, 0.15, 0.3, 0.45, 0.6, 0.75)
        ],
    }
    return Arm(name, history, final, at, rates, confusion.tolist(), 2.1e5 * rate / 0.2, flicker, robustness)


def program() -> ProgramFacts:
    widths = [(2, 32, 48), (32, 32, 48), (32, 64, 24), (64, 64, 24), (64, 128, 12), (128, 128, 12)]
    layers = []
    for index, (a, b, side) in enumerate(widths):
        dense = a * b * 9 * side * side * T
        bits = 8 if index == 0 else 2
        layers.append(
            LayerCost(
                f"features.{index}",
                "conv2d",
                bits,
                a * b * 9 * bits // 8 + 4 * b,
                2 * b * side * side,
                dense * (0.05 + 0.02 * index),
                float(dense),
            )
        )
    layers.append(LayerCost("pool", "avg_pool", 0, 0, 0, 0.0, 0.0))
    layers.append(LayerCost("head", "linear", 4, 128 * 36 * 10 // 2, 40, 2.1e4, 128 * 36 * 10 * T))
    return ProgramFacts(
        layers=layers,
        bytes_weights=sum(layer.weight_bytes for layer in layers),
        bytes_state=sum(layer.state_bytes for layer in layers),
        bytes_code=9_312,
        float_bytes=4 * (sum(a * b * 9 for a, b, _ in widths) + 128 * 36 * 10),
        synops_per_sample=sum(layer.synops_per_sample for layer in layers),
        dense_macs_per_sample=sum(layer.dense_macs_per_sample for layer in layers),
        samples=400,
        equal=400,
        digest="9f2c41d07be3a85516f0c7d2e4b98a3156cf07d1be22a9940c318e5f7ad60b42",
        accuracy_at=[0.78, 0.88, 0.91, 0.92],
        exits=[(1.0, 0.78), (1.4, 0.86), (2.1, 0.91), (4.0, 0.92)],
        exit=(2.1, 0.91),
    )


def samples(names: list[str], S: int = 4, side: int = 48) -> Samples:
    """A bar that moves: ON at its leading edge, OFF at its trailing edge, and some noise."""
    rng = np.random.default_rng(5)
    frames = np.zeros((S, T, 2, side, side), np.uint8)
    labels = np.arange(S) % len(CLASSES)
    for s in range(S):
        for t in range(T):
            for edge, channel in ((9, 1), (0, 0)):
                centre = 8 + 7 * t + edge
                at = rng.normal(centre, 1.6, 500).round().astype(int).clip(0, side - 1)
                along = (side / 2 + rng.normal(0, 9, 500)).round().astype(int).clip(0, side - 1)
                at = at if s % 2 else side - 1 - at
                np.add.at(frames[s, t, channel], (along, at) if s < 2 else (at, along), 1)
            noise = rng.random((2, side, side)) < 0.015
            frames[s, t] += noise.astype(np.uint8)
    logits = {}
    for name, sure in zip(names, (0.45, 1.1), strict=False):
        drawn = rng.normal(0, 1, (S, T, len(CLASSES)))
        mean = np.cumsum(drawn, 1) / np.arange(1, T + 1)[:, None]
        mean[np.arange(S), :, labels] += sure * (1.4 + np.arange(T))
        logits[name] = mean
    return Samples(frames, labels, logits)


def raster(seed: int, steady: float) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    layers = {}
    for i, layer in enumerate(LAYERS):
        n = 4096 >> i if i < 6 else 100
        base = rng.random(n) < 0.2
        hold = rng.random(n) < steady
        flicker = rng.random((T, n)) < 0.5
        layers[layer] = (base & (hold | flicker)).astype(np.uint8)
    return layers


def example() -> ReportData:
    base = arm("baseline", early=0.612, final=0.901, rate=0.21, flicker=0.284, seed=1)
    ours = arm("Stable Spike", early=0.795, final=0.918, rate=0.17, flicker=0.121, seed=2)
    return ReportData(
        title="Motion gestures, from event camera to 60 KB of C",
        subtitle="motion-dvs-sim · vgg_small · T = 4 · 2-bit weights",
        facts=[
            ("data", "motion-dvs-sim, 10 classes, 48 × 48, 4 frames by count"),
            ("split", "sha256 1c7e02a95d"),
            ("recordings", "3,200 train, 400 validation, 400 test"),
            ("model", "vgg_small, lif_soft, 333,120 parameters"),
            ("recipe", "60 epochs, batch 64, AdamW 2e-3, cosine"),
            ("seeds", "0, 1, 2 (figures: seed 0)"),
            ("machine", "8-core x86-64 CPU, 16 GB"),
            ("versions", "rheobase 0.1.0, torch 2.11, Python 3.12"),
            ("commit", "4be1f07"),
            ("date", "2026-01-12"),
            ("command", "rheobase train recipes/motion.yaml --seed 0\nrheobase report runs/motion"),
        ],
        arms=[base, ours],
        states=[
            State("float", 0.918, "trained model, float32 weights and membranes"),
            State("quantised", 0.9155, "2-bit weights (8-bit first layer), trained straight through"),
            State("hardened", 0.9125, "batch-norm and scales folded, integer thresholds and membranes"),
            State("program", 0.9125, "the C99 program compiled with -O2, run on the same samples"),
        ],
        program=program(),
        samples=samples([base.name, ours.name]),
        raster=Raster(raster(2, 0.7), "clockwise", raster(1, 0.2)),
        classes=CLASSES,
    )  # fmt: skip


def one_arm() -> ReportData:
    data = example()
    return replace(data, arms=data.arms[:1], samples=None, raster=None)


if __name__ == "__main__":
    write_report(example(), Path(sys.argv[1]))
