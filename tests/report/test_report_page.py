"""The page as a whole: complete, self-contained, safe, the same every time."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import matplotlib
import pytest
from report_example import CLASSES, T, example, one_arm

from rheobase.report import Arm, ReportData, render, write_report

SECTIONS = ["anytime", "states", "program", "training", "activity", "confusion", "robustness", "raster"]
VOID = {"meta", "img", "br", "link", "hr", "input"}


class Outline(HTMLParser):
    """Section ids in order; fails where tags do not nest."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sections: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.ids += [given["id"]] if given.get("id") else []
        self.addresses += [value for key, value in attrs if key in ("src", "href") and value]
        if tag == "section":
            self.sections.append(given["id"] or "")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, (tag, self.getpos())


@pytest.fixture(scope="module")
def page() -> str:
    return render(example())


def test_the_full_page_has_every_section_in_order(page: str) -> None:
    assert Outline(page).sections == [*SECTIONS, "recordings", "appendix"]
    assert "Not in this report" not in page


def test_nothing_is_loaded_from_elsewhere(page: str) -> None:
    outline = Outline(page)
    assert all(address.startswith(("#", "data:image/png;base64,")) for address in outline.addresses)
    assert not re.search(r"https?://|@import|<script|<link|<iframe|url\((?!#)", page)
    assert len(page.encode()) < 1_500_000


def test_ids_are_unique_and_references_resolve(page: str) -> None:
    outline = Outline(page)
    assert len(set(outline.ids)) == len(outline.ids)
    used = {a[1:] for a in outline.addresses if a[0] == "#"} | set(re.findall(r"url\(#([^)]+)\)", page))
    assert used <= set(outline.ids)


@pytest.mark.parametrize(
    "text",
    [
        "91.8% → 91.2%",  # float to program
        "104 KiB",  # weights and code
        "13.7×",  # against float32
        "400 / 400",
        "+18.3 points",
        "61.2%",
        "79.5%",
        "−0.25",  # quantised against float
        "345 M",  # dense multiply-accumulates
        "37.7 M",
        "5.95 M of 84.9 M",
        "0.284",
        "363 of 400 samples decided right (90.8%)",
        "label</span> left",
        "rheobase train recipes/motion.yaml --seed 0",
        "9f2c41d07be3a855",
    ],
)
def test_the_numbers_are_there(page: str, text: str) -> None:
    assert text in page


def test_gains_are_written_at_every_step_in_both_drawings(page: str) -> None:
    for gain in ("+18.3", "+9.4", "+3.8", "+1.7"):
        assert len(re.findall(rf"<text[^>]*>{re.escape(gain)}</text>", page)) == 2


def test_same_data_same_bytes(page: str) -> None:
    assert render(example()) == page


def test_drawing_leaves_matplotlib_as_it_was(page: str) -> None:
    before = dict(matplotlib.rcParams)
    render(one_arm())
    assert dict(matplotlib.rcParams) == before


def test_text_is_escaped_everywhere() -> None:
    data = example()
    evil = '<img src=x onerror="alert(1)">&$x^2$'
    page = render(
        replace(
            data,
            title=evil,
            classes=[evil, "手势", *CLASSES[2:]],
            facts=[(evil, evil), ("command", evil)],
            arms=[data.arms[0], replace(data.arms[1], rates={evil: 0.1})],
        )
    )
    assert "<img src=x" not in page
    assert "&lt;img src=x onerror=&#34;alert(1)&#34;&gt;&amp;$x^2$" in page
    assert "手势" in page
    Outline(page)


@pytest.mark.parametrize(
    ("part", "section"),
    [
        ({"states": []}, "states"),
        ({"program": None}, "program"),
        ({"samples": None}, "recordings"),
        ({"raster": None}, "raster"),
    ],
)
def test_an_absent_part_leaves_its_section_out(part: dict, section: str) -> None:
    page = render(replace(example(), **part))
    assert section not in Outline(page).sections
    assert "Not in this report" in page


@pytest.mark.parametrize(
    ("field", "empty", "section"),
    [
        ("history", [], "training"),
        ("accuracy_at", [], "anytime"),
        ("confusion", [], "confusion"),
        ("robustness", {}, "robustness"),
    ],
)
def test_an_absent_measurement_leaves_its_section_out(field: str, empty: object, section: str) -> None:
    data = example()
    page = render(replace(data, arms=[replace(arm, **{field: empty}) for arm in data.arms]))
    assert section not in Outline(page).sections


def test_one_arm_speaks_of_no_gain() -> None:
    page = render(one_arm())
    assert "Accuracy after one step" in page
    assert ">gain, points<" not in page and "Early-decision" not in page
    assert "Stable Spike" not in page


def test_a_bare_report_is_a_page() -> None:
    page = render(ReportData("nothing yet", arms=[Arm("baseline")]))
    assert Outline(page).sections == ["appendix"]
    assert page.count("<svg") == 0


def test_one_step_has_no_early_decision() -> None:
    arms = [Arm("a", accuracy=0.8, accuracy_at=[0.8]), Arm("b", accuracy=0.9, accuracy_at=[0.9])]
    page = render(ReportData("t", arms=arms))
    assert "After one step b reads 90.0% and a 80.0% (+10.0 points)." in page
    assert "Early" not in page
    assert re.search(r"<text[^>]*>1</text>", page) and not re.search(r"<text[^>]*>0\.6</text>", page)


def test_three_arms_each_have_a_colour() -> None:
    data = example()
    third = replace(data.arms[1], name="ablation")
    page = render(replace(data, arms=[*data.arms, third]))
    assert page.count('style="--c:var(--arm-2)"></i>ablation') == 4
    assert f"{T} steps" in page


def test_unequal_program_is_called_out() -> None:
    data = example()
    assert data.program is not None
    page = render(replace(data, program=replace(data.program, equal=399)))
    assert 'class="value wrong">399 / 400' in page
    assert "1 not equal: do not ship" in page


def test_write_report_replaces_the_file_whole(tmp_path: Path, page: str) -> None:
    path = tmp_path / "run" / "report.html"
    write_report(example(), path)
    assert path.read_text(encoding="utf-8") == page
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]


def test_several_seeds_show_mean_spread_and_paired_gain():
    base = Arm("baseline", accuracy=0.8, accuracy_at=[0.5, 0.8], repeats=[[0.6, 0.8], [0.7, 0.8]])
    ours = Arm("ours", accuracy=0.8, accuracy_at=[0.6, 0.8], repeats=[[0.8, 0.8], [0.7, 0.8]])
    page = render(ReportData("seeds", arms=[base, ours], seed=4))
    for text in ("60.0% ± 10.0", "70.0% ± 10.0", "+10.0 ± 10.0", "mean of 3 pairs of seeds", "of seed 4"):
        assert text in page, text
