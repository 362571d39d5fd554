"""The commands that only look: doctor, models, data."""

import json
import shutil

import pytest

from rheobase import list_datasets, native
from rheobase.cli import doctor
from rheobase.events import Recording, write_nmnist


def test_doctor(rheobase):
    done = rheobase("doctor", "--json", "-")
    assert done.code == 0, done.err
    found = {finding["name"]: finding for finding in done.json}
    names = {"python", "torch", "compiler", "threads", "gpu", "data root", "cache", "targets", *doctor.EXTRAS}
    assert set(found) == names
    assert all(set(finding) == {"name", "ok", "found", "advice"} for finding in done.json)
    assert found["compiler"]["ok"] == (shutil.which("cc") is not None)
    assert found["cache"]["ok"]
    assert all(name in done.err for name in names)


def test_doctor_advises(rheobase, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RHEOBASE_DATA", str(tmp_path / "nowhere"))
    monkeypatch.setenv("RHEOBASE_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.setattr(native, "compiler", lambda: None)
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: None)
    done = rheobase("doctor", "--json", "-")
    assert done.code == 0, done.err
    found = {finding["name"]: finding for finding in done.json}
    for name in ("compiler", "data root", "cache"):
        assert not found[name]["ok"]
        assert found[name]["advice"] in done.err
    assert "pip install 'rheobase[tensorboard]'" in done.err


def test_doctor_without_a_cache(rheobase, monkeypatch, tmp_path):
    """A compiler is there, yet nothing can be kept: both are told, nothing breaks."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RHEOBASE_CACHE", str(tmp_path / "file" / "cache"))
    done = rheobase("doctor", "--json", "-")
    assert done.code == 0, done.err
    found = {finding["name"]: finding for finding in done.json}
    assert not found["cache"]["ok"]
    assert not found["compiler"]["ok"]


def test_models(rheobase):
    done = rheobase("models", "--size", "34", "--classes", "3", "--json", "-")
    assert done.code == 0, done.err
    rows = {row["name"]: row for row in done.json}
    assert "vgg_small" in rows
    assert all(row["parameters"] > 1000 for row in rows.values())
    # the neurons of Spike-driven Transformer V3 fire integers and keep no membrane, those of spike times fire once
    assert {name for name, row in rows.items() if row["neurons"] < 2} == {
        name for name in rows if name.startswith(("sdt_v3", "spike_time"))
    }
    assert f"{rows['vgg_small']['parameters']:,}" in done.err


def test_data_list(rheobase):
    done = rheobase("data", "list")
    assert [line.split()[0] for line in done.out.splitlines()] == list_datasets()
    assert rheobase("data", "list", "--json", "-").json == list_datasets()


def test_data_show(rheobase, tmp_path):
    done = rheobase("data", "show", "digits-dvs", "--T", "2", "--json", tmp_path / "digits.json")
    assert done.code == 0, done.err
    found = json.loads((tmp_path / "digits.json").read_text())
    assert {part: facts["recordings"] for part, facts in found["parts"].items()} == {
        "train": 1197,
        "validation": 200,
        "test": 400,
    }
    assert (found["T"], found["sensor"], len(found["classes"])) == (2, [16, 16], 10)
    assert all(facts["events_per_recording"] > 100 for facts in found["parts"].values())
    assert found["split_hash"] in done.out


@pytest.fixture
def recording():
    return Recording([1, 2, 3, 3], [0, 1, 2, 33], [0, 10, 20, 100_000], [1, 1, 1, 0], width=34, height=34)


def test_data_show_folder(rheobase, recording, tmp_path):
    for name in ("[red]", "[b]"):  # brackets mean colour to the terminal library, and nothing to us
        (tmp_path / name).mkdir()
        for i in range(3):
            write_nmnist(recording, tmp_path / name / f"{i}.bin")
    done = rheobase("data", "show", "folder", "--folder", tmp_path, "--json", "-")
    assert done.code == 0, done.err
    assert done.json["classes"] == ["[b]", "[red]"]
    assert "2 classes: [b], [red]" in done.err
    assert done.json["parts"]["train"] == {"recordings": 2, "events_per_recording": 4.0}


def test_data_info(rheobase, recording, tmp_path):
    path = tmp_path / "a [b].bin"
    write_nmnist(recording, path)
    done = rheobase("data", "info", path, "--json", tmp_path / "info.json")
    assert done.code == 0, done.err
    assert done.out == (
        "a [b].bin (nmnist): 4 events on 34x34 pixels in 0.100 s, 40 events/s, 75 % of them ON\n"
    )
    assert json.loads((tmp_path / "info.json").read_text()) == {
        "file": str(path),
        "format": "nmnist",
        "sensor": [34, 34],
        "sensor_stated": True,
        "events": 4,
        "seconds": pytest.approx(0.1),
        "events_per_second": pytest.approx(40),
        "on_share": 0.75,
        "label": None,
        "disorder": 0,
        "outside": 0,
        "gaps": 0,
        "hot_pixels": [],
        "damage": "",
        "warnings": [],
    }


def test_data_info_warns(rheobase, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("x,y,t,p\n1,1,5,1\n1,7,4,0\n1,1,oops,1\n")
    done = rheobase("data", "info", path, "--width", "2", "--height", "2", "--salvage", "--json", "-")
    assert done.code == 0, done.err
    assert (done.json["disorder"], done.json["outside"], len(done.json["warnings"])) == (1, 1, 3)
    assert done.json["damage"].startswith("line 4: ")
    assert done.err.count("warning: ") == 3


def test_data_convert(rheobase, recording, tmp_path):
    write_nmnist(recording, tmp_path / "a.bin")
    for source, target in (("a.bin", "b.raw"), ("b.raw", "c.npz"), ("c.npz", "d.bin")):
        done = rheobase("data", "convert", tmp_path / source, tmp_path / target, "--json", "-")
        assert done.code == 0, done.err
        assert done.json == {"file": str(tmp_path / target), "events": 4}
    assert (tmp_path / "d.bin").read_bytes() == (tmp_path / "a.bin").read_bytes()
    done = rheobase("data", "convert", tmp_path / "a.bin", tmp_path / "e", "--to", "evt2")
    assert done.code == 0 and (tmp_path / "e").read_bytes().startswith(b"% evt 2.0")


def test_data_convert_salvages_and_sorts(rheobase, tmp_path):
    source, target = tmp_path / "a.csv", tmp_path / "b.csv"
    source.write_text("x,y,t,p\n1,1,5,1\n1,2,4,0\n1,1,oops,1\n")
    assert rheobase("data", "convert", source, target).code == 1
    assert not target.exists()
    assert rheobase("data", "convert", source, target, "--salvage").code == 0
    assert target.read_text() == "x,y,t,p\n1,1,5,1\n"
    assert rheobase("data", "convert", source, target, "--salvage", "--sort").code == 0
    assert target.read_text() == "x,y,t,p\n1,2,4,0\n1,1,5,1\n"
    assert "OUT is IN" in rheobase("data", "convert", source, source).err


def test_data_fetch_checks_what_is_there(rheobase, monkeypatch, tmp_path):
    monkeypatch.delenv("RHEOBASE_DATA", raising=False)
    nowhere = rheobase("data", "fetch", "nmnist")
    assert nowhere.code == 1 and "--root" in nowhere.err
    (tmp_path / "Train.zip").write_bytes(b"not the official file")
    other = rheobase("data", "fetch", "nmnist", "--root", tmp_path)
    assert other.code == 1 and "the one published is 2095" in other.err and "remove it" in other.err
