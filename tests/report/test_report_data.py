"""Wrong data fails where it is built; what was not measured is n/a."""

import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from report_example import CLASSES, T, example, program

from rheobase.errors import DataError
from rheobase.numbers import percent, plain, points, quantity, shorten, size, times, whole
from rheobase.report import Arm, LayerCost, Raster, ReportData, Samples, State, render

NAN = float("nan")
FRAMES = np.zeros((2, T, 2, 4, 4), np.uint8)


def test_importing_the_room_does_not_import_torch() -> None:
    code = (
        "import sys, rheobase.report; sys.exit('torch' in sys.modules or 'matplotlib.pyplot' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: ReportData("t"), "at least one arm"),
        (lambda: ReportData("t", arms=[Arm("a"), Arm("a")]), "must differ"),
        (lambda: Arm("a", accuracy=91.8), "divide percentages by 100"),
        (lambda: Arm("a", accuracy_at=[0.5, -0.1]), "between 0 and 1"),
        (lambda: Arm("a", rates={"l": 2.0}), "rates"),
        (lambda: Arm("a", history=[{"train_loss": 1.0}]), "needs 'epoch'"),
        (lambda: Arm("a", confusion=[[1, 2]]), "square"),
        (lambda: Arm("a", robustness={"noise": [(0.0, 50.0)]}), "robustness 'noise'"),
        (lambda: State("float", 91.0), "state 'float'"),
        (lambda: replace(program(), equal=401), "401 of 400"),
        (lambda: ReportData("t", arms=[Arm("a", confusion=[[1]])], classes=["x", "y"]), "1 classes, not 2"),
        (lambda: Samples(FRAMES[:, :, [0, 1, 0, 1]], np.zeros(2, int)), "1, 2 or 3, H, W"),
        (lambda: Samples(FRAMES, np.zeros(3, int)), "2 labels"),
        (lambda: Samples(FRAMES, np.zeros(2, int), {"a": np.zeros((2, 1, 3))}), "logits of 'a'"),
        (lambda: Raster({"l": np.zeros(4)}), r"\[T, n\]"),
    ],
)
def test_wrong_shapes_and_ranges_are_refused(build: Callable[[], object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        build()


@pytest.mark.parametrize(
    ("labels", "logits", "message"),
    [
        ([0, 2], {}, "between 0 and 1"),
        ([0, 1], {"stranger": np.zeros((2, T, 2))}, "stranger"),
        ([0, 1], {"a": np.zeros((2, T, 3))}, "3 classes, not 2"),
    ],
)
def test_samples_must_fit_the_report(labels: list[int], logits: dict, message: str) -> None:
    samples = Samples(FRAMES, np.array(labels), logits)
    with pytest.raises(DataError, match=message):
        ReportData("t", arms=[Arm("a")], classes=["x", "y"], samples=samples)


def test_what_was_not_measured_is_shown_as_na() -> None:
    """Half-measured arms: every number that is missing is n/a, and NaN reaches no drawing."""
    data = example()
    base, ours = data.arms
    holes = [
        {"epoch": 1.0, "train_loss": NAN},
        {"epoch": 2.0, "train_loss": float("inf")},
        {"epoch": 3.0, "train_loss": 1.0},
    ]
    ours = replace(
        ours,
        accuracy=NAN,
        accuracy_at=[NAN, *ours.accuracy_at[1:]],
        history=holes,
        rates={"l": NAN},
        spikes_per_sample=NAN,
        robustness={"noise": [(0.0, 0.9), (0.5, NAN)]},
    )
    samples = data.samples
    assert samples is not None
    samples.logits_at["Stable Spike"][0, 0, 0] = NAN
    page = render(replace(data, arms=[base, ours], states=[State("float", 0.9), State("program", NAN)]))
    assert page.count("n/a") >= 6
    assert not re.search(r"\b(nan|inf)\b", re.sub(r"base64,[^\"]*", "", page).lower())


def test_all_not_measured() -> None:
    arms = [
        Arm(
            "a",
            [{"epoch": 1.0, "train_loss": NAN}],
            NAN,
            [NAN] * T,
            {"l": NAN},
            robustness={"drop": [(0.5, NAN)]},
        )
    ]
    page = render(
        ReportData("t", arms=arms, program=replace(program(), samples=0, equal=0, synops_per_sample=NAN))
    )
    assert 'id="anytime"' not in page
    assert "n/a" in page


def test_layers_without_anything_are_not_drawn() -> None:
    data = example()
    nothing = replace(program(), layers=[LayerCost("flatten", "flatten", 0, 0, 0, 0.0, 0.0)])
    page = render(replace(data, program=nothing))
    assert "Bytes by layer" not in page
    assert "flatten" in page  # still in the table


@pytest.mark.parametrize("K", [1, 2, 24, 25, 100])
def test_confusion_of_any_number_of_classes(K: int) -> None:
    rng = np.random.default_rng(K)
    counts = rng.integers(0, 3, (K, K)) + 30 * np.eye(K, dtype=int)
    counts[0] = 0  # a label without samples
    counts[-1, -1] = 1234
    arm = Arm("a", confusion=counts.tolist())
    page = render(ReportData("t", arms=[arm], classes=[f"class {i}" for i in range(K)]))
    assert ">1234</text>" in page if K <= 24 else "data:image/png" in page
    assert len(page) < 900_000


def test_a_perfect_matrix_has_no_mistakes() -> None:
    page = render(ReportData("t", arms=[Arm("a", confusion=[[3, 0], [0, 4]])], classes=CLASSES[:2]))
    assert "7 of 7 samples decided right (100.0%)" in page
    assert ">None.<" in page


def test_numbers_read_well() -> None:
    assert [percent(0.9237), percent(NAN), percent(1.0, 0)] == ["92.4%", "n/a", "100%"]
    assert [points(0.093), points(-0.004), points(0.0), points(0.0004), points(NAN)] == [
        "+9.3",
        "−0.4",
        "±0.0",
        "±0.0",
        "n/a",
    ]
    assert [size(12), size(49357), size(1 << 20), size(3 << 30)] == [
        "12 B",
        "48.2 KiB",
        "1.00 MiB",
        "3.00 GiB",
    ]
    assert [quantity(n) for n in (0, 0.25, 950, 999.9, 1_240_000, 2e9)] == [
        "0",
        "0.25",
        "950",
        "1.00 k",
        "1.24 M",
        "2.00 G",
    ]
    assert [whole(12345), times(10, 4), times(1, 0), plain(0.12345)] == ["12,345", "2.50×", "n/a", "0.123"]
    assert [shorten("short", 8), shorten("features.0.neuron", 9)] == ["short", "feat…uron"]


def test_repeats_are_averaged_and_must_be_read_after_as_many_steps():
    arm = Arm("a", accuracy_at=[0.4, 0.8], repeats=[[0.6, 0.6], [0.8, 1.0]])
    assert arm.mean_at == pytest.approx([0.6, 0.8])
    with pytest.raises(DataError, match="read after 1 steps"):
        Arm("a", accuracy_at=[0.4, 0.8], repeats=[[0.6]])
