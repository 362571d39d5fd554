"""What `rheobase data info` counts: order, sensor, gaps, hot pixels, damage."""

import numpy as np
import pytest
from fuzz_readers import files, sample

from rheobase.errors import DataError
from rheobase.events import Recording, survey, write_csv, write_npz, write_recording


def test_facts_of_every_format(tmp_path):
    for name, data in files().items():
        path = tmp_path / "file"
        path.write_bytes(data)
        found, whole = survey(path, format=name), sample()
        assert (found.format, found.events, found.on) == (name, 60, int(whole.p.sum()))
        assert (found.first, found.last) == (int(whole.t[0]), int(whole.t[-1]))
        assert found.seconds == pytest.approx(whole.duration) and found.rate == pytest.approx(whole.rate)
        assert found.warnings() == []
        assert found.size_stated == (name not in ("csv", "npy"))


def test_disorder_and_events_outside_are_counted_not_refused(tmp_path):
    (tmp_path / "a.csv").write_text("x,y,t,p\n1,1,5,1\n9,1,4,0\n1,-1,6,1\n1,1,2,3\n")
    found = survey(tmp_path / "a.csv", width=5, height=5)
    assert (found.events, found.disorder, found.outside, found.first, found.last) == (4, 2, 3, 2, 6)
    assert any("2 events are earlier" in line for line in found.warnings())
    assert any("3 events lie outside 5x5 pixels" in line for line in found.warnings())


def test_gaps_across_blocks(tmp_path):
    t = np.concatenate([np.arange(40_000), 3_000_000 + np.arange(40_000), 3_050_000 + np.arange(10)])
    zero = np.zeros_like(t)
    write_npz(Recording(zero, zero, t, zero, width=2, height=2), tmp_path / "a.npz")
    found = survey(tmp_path / "a.npz")
    assert (found.gaps, found.longest_gap) == (1, 3_000_000 - 39_999)
    assert any("1 gaps, the longest of 2.960 s" in line for line in found.warnings())


def test_hot_pixels(tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.integers(30, size=(2, 3000))
    x[::3], y[::3] = 7, 8
    recording = Recording(x, y, np.arange(3000), x * 0, width=30, height=30)
    write_recording(recording, tmp_path / "a.dat")
    found = survey(tmp_path / "a.dat")
    assert [pixel[:2] for pixel in found.hot] == [(7, 8)]
    assert found.hot[0][2] == int(((x == 7) & (y == 8)).sum())
    write_csv(recording, tmp_path / "a.csv")  # the sensor grows as larger coordinates come
    again = survey(tmp_path / "a.csv")
    assert (again.hot, again.width, again.height, again.size_stated) == (found.hot, 30, 30, False)


def test_damage_is_told_with_what_comes_before_it(tmp_path):
    (tmp_path / "a.dat").write_bytes(files()["dat"][:-3])
    with pytest.raises(DataError, match=r"byte \d+: the file ends inside a record"):
        survey(tmp_path / "a.dat")
    found = survey(tmp_path / "a.dat", salvage=True)
    assert found.events == 59 and "the file ends inside a record: 5 of its 8 bytes" in found.damage
    assert any("59 events come before it" in line for line in found.warnings())
    (tmp_path / "a.dat").write_bytes(b"")
    with pytest.raises(DataError, match="empty"):
        survey(tmp_path / "a.dat")
