"""Where saccadic attention looks, in the report: words, table, veils, and pages with and without it."""

import base64
import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest
from test_report_page import Outline

from rheobase.errors import DataError
from rheobase.report import Arm, Gaze, GazeSample, ReportData, collect, render
from rheobase.report.gaze import in_words
from rheobase.report.gaze_pictures import pictures
from rheobase.report.pixels import veil
from rheobase.report.tables import gaze_table
from rheobase.training import parse_recipe, train


def example(T=2, channels=2):
    looks = np.zeros((T, 2, 3))
    looks[0, 0] = 0, 0.5, 1
    return Gaze(
        blocks=["block1", "a & b"],
        passing=np.full((2, T), 0.25),
        lit=np.array([0.4, 0.5]),
        dark=np.array([0.1, 0.2]),
        mismatch=np.array([0.02, 0.04]),
        samples=[GazeSample("cat", np.ones((T, channels, 4, 6), np.uint8), [looks, 1 - looks])],
    )


def page(found):
    return render(ReportData("t", arms=[Arm("a", accuracy=0.4, accuracy_at=[0.3, 0.4])], gaze=found))


def test_words_and_table():
    assert in_words(example()) == (
        "25.0% of the gates open: 45.0% of those at patches with events, 15.0% at empty ones. The decoupled rule for "
        "inference would decide 3.0% of them otherwise."
    )
    table = gaze_table(example())
    assert table.header[1:] == [
        *("open at step 1", "open at step 2", "patch with events", "empty patch", "decoupled differs")
    ]
    assert table.rows[1] == ["a & b", "25.0%", "25.0%", "50.0%", "20.0%", "4.0%"]


def test_images_have_no_events():
    found = example(channels=3)
    assert "events" not in in_words(found) + str(gaze_table(found).header)
    assert "image at step 1" in page(found)


def test_many_steps_are_shown_in_eight():
    found = example(T=20)
    assert gaze_table(found).rows[0][1] == "25.0%" and gaze_table(found).header[1] == "open"
    assert pictures(found)[0].steps[::7] == [1, 20] and len(pictures(found)[0].rows[0].veils) == 8


def test_an_image_stands_under_the_gates_of_every_step():
    found = example()
    still = replace(found.samples[0], frames=found.samples[0].frames[:1])
    assert len(set(pictures(replace(found, samples=[still]))[0].frames)) == 1


def test_the_fewer_heads_look_the_denser_the_veil():
    data = base64.b64decode(veil(np.array([[0, 0.5, 1.0]])).partition(",")[2])
    chunks, at = {}, 8
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        chunks[data[at + 4 : at + 8]] = data[at + 8 : at + 8 + length]
        at += 12 + length
    opacity = [chunks[b"tRNS"][index] for index in zlib.decompress(chunks[b"IDAT"])[1:]]
    assert opacity[0] > opacity[1] > opacity[2] == 0


def test_a_page_shows_it():
    text = page(example())
    assert Outline(text).sections == ["anytime", "gaze", "appendix"]
    assert text.count('class="veil"') == 4 and "a &amp; b" in text


def test_blocks_and_steps_must_be_complete():
    found = example()
    sample = replace(found.samples[0], looks=found.samples[0].looks[:1])
    with pytest.raises(DataError, match=r"needs 2 blocks of 2 steps, got \[\[2, 2, 3\]\]"):
        replace(found, samples=[sample])


def test_a_run_leaves_what_its_report_shows(tmp_path):
    values = {
        "data": {"name": "digits-dvs", "T": 2, "train_size": 40, "binning": "time"},
        "model": {"name": "snn_vit_small", "width": 0.125, "options": {"heads": 2}},
        "train": {"epochs": 1, "batch_size": 20, "threads": 1},
    }
    run = train(parse_recipe(values), tmp_path / "run", quiet=True).folder
    found = collect(run)
    assert found.gaze is not None and found.gaze.blocks == ["block1", "block2"]
    assert len(found.gaze.samples) == 4 and "gaze" in Outline(render(found)).sections
    (run / "gaze.npz").unlink()
    assert "gaze" not in Outline(render(collect(run))).sections
