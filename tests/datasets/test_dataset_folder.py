"""A user's own recordings: layouts, the frozen split, sensor sizes, and every mistake in the folder."""

import numpy as np
import pytest

from rheobase.datasets import DataConfig, load_dataset
from rheobase.errors import DataError, RecipeError
from rheobase.events import Recording, write_csv, write_npz


def record(seed, width=12, height=10, count=40):
    rng = np.random.default_rng(seed)
    x, y, p = rng.integers(width, size=count), rng.integers(height, size=count), rng.integers(2, size=count)
    return Recording(x, y, np.sort(rng.integers(9000, size=count)), p, width=width, height=height)


def fill(folder, count, seed=0, **options):
    for i in range(count):
        folder.mkdir(parents=True, exist_ok=True)
        write_npz(record(seed + i, **options), folder / f"take {i}.npz")


@pytest.fixture
def plain(tmp_path):
    fill(tmp_path / "mine" / "wave", 20)
    fill(tmp_path / "mine" / "clap hands", 10, seed=50)
    (tmp_path / "mine" / "README.txt").write_text("taken on a Tuesday")
    return tmp_path / "mine"


def load(folder, **options):
    return load_dataset(DataConfig(name="folder", folder=folder, **options))


def test_class_folders_are_split_by_seed(plain):
    data = load(plain)
    assert data.classes == ("clap hands", "wave")
    assert data.sensor == (10, 12)
    counts = [np.bincount(part.labels).tolist() for part in (data.train, data.validation, data.test)]
    assert counts == [[8, 16], [1, 2], [1, 2]]
    names = {*data.train.names, *data.validation.names, *data.test.names}
    assert len(names) == 30
    assert "clap hands/take 3.npz" in names
    assert data.train.recording(0).label == data.train.labels[0]
    assert load(plain).split_hash == data.split_hash
    assert load(plain, cache=False).split_hash == data.split_hash
    assert load(plain, seed=1).split_hash != data.split_hash
    assert np.bincount(load(plain, train_size=12).train.labels).tolist() == [4, 8]


def test_a_changed_folder_is_not_dealt_anew_in_silence(plain):
    load(plain)
    fill(plain / "wave", 21)
    with pytest.raises(DataError, match=r"1 recordings added, 0 gone.*delete .*\.json"):
        load(plain)
    load(plain, seed=1)


def test_a_given_split(tmp_path):
    for k, part in enumerate(("train", "validation", "test")):
        for name in ("a", "b"):
            fill(tmp_path / "mine" / part / name, 3 - k, seed=10 * k)
    data = load(tmp_path / "mine")
    assert (len(data.train), len(data.validation), len(data.test)) == (6, 4, 2)
    assert all(name.startswith("train/") for name in data.train.names)


def test_any_format_and_a_sensor_as_large_as_needed(tmp_path):
    for name in ("a", "b"):
        (tmp_path / "mine" / name).mkdir(parents=True)
        for i in range(3):
            write_csv(record(i), tmp_path / "mine" / name / f"{i}.csv")
    write_csv(Recording([30], [2], [0], [0], width=31, height=3), tmp_path / "mine" / "a" / "3.csv")
    data = load(tmp_path / "mine")
    assert data.sensor == (10, 31)
    assert data.train.recording(0).width == 31


def test_sensors_must_agree(plain):
    write_npz(record(0, width=11), plain / "wave" / "odd.npz")
    with pytest.raises(DataError, match=r"odd\.npz: a sensor of 11 x 10 .*share one sensor"):
        load(plain)


def test_a_csv_beyond_the_stated_sensor(plain):
    write_csv(record(0, width=40), plain / "wave" / "wide.csv")
    with pytest.raises(DataError, match=r"wide\.csv: a sensor of \d+ x 10"):
        load(plain)


def test_mistakes_in_the_folder(plain, tmp_path):
    with pytest.raises(RecipeError, match=r"needs data\.folder"):
        load(None)
    with pytest.raises(RecipeError, match="unknown split"):
        load(plain, split="low-data-0")
    with pytest.raises(DataError, match="no such folder"):
        load(tmp_path / "none")
    (tmp_path / "bare").mkdir()
    with pytest.raises(DataError, match="no class folders"):
        load(tmp_path / "bare")
    fill(tmp_path / "one" / "wave", 5)
    with pytest.raises(DataError, match="two classes or more"):
        load(tmp_path / "one")
    fill(plain / "few", 2)
    with pytest.raises(DataError, match=r"few.take 0.npz has 2 recordings; a class needs 3"):
        load(plain)


def test_an_empty_class_folder(plain):
    (plain / "jump").mkdir()
    with pytest.raises(DataError, match="jump: the class folder is empty"):
        load(plain)


def test_a_file_of_another_kind(plain):
    (plain / "wave" / "notes.txt").write_text("hm")
    with pytest.raises(DataError, match=r"notes\.txt: not a recording that can be read"):
        load(plain)


def test_an_empty_recording_and_a_broken_one(plain):
    (plain / "wave" / "zero.csv").write_text("x,y,t,p\n")
    with pytest.raises(DataError, match=r"zero\.csv: the recording has no events"):
        load(plain)
    (plain / "wave" / "zero.csv").write_text("x,y,t,p\n1,1,1,9\n")
    with pytest.raises(DataError, match=r"zero\.csv: .*p = 9"):
        load(plain)


def test_a_part_or_a_class_is_missing(tmp_path):
    fill(tmp_path / "mine" / "train" / "a", 2)
    fill(tmp_path / "mine" / "train" / "b", 2)
    fill(tmp_path / "mine" / "test" / "a", 2)
    with pytest.raises(DataError, match="no validation/; add it"):
        load(tmp_path / "mine")
    fill(tmp_path / "mine" / "validation" / "a", 2)
    fill(tmp_path / "mine" / "validation" / "b", 2)
    with pytest.raises(DataError, match="test: no folder for the class 'b'"):
        load(tmp_path / "mine")


def write_table(folder, rows, header="path,label"):
    path = folder / "takes.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_a_table_is_dealt_as_folders_are(plain):
    """The same recordings, classes and names give the same split, and later files beside them change nothing."""
    files = sorted(path.relative_to(plain).as_posix() for path in plain.rglob("*.npz"))
    table = write_table(plain, [f"x,{name.split('/')[0]}, ./{name}" for name in files], "who,label,path")
    folder, found = load(plain), load(table)
    assert found.split_hash == folder.split_hash and found.classes == folder.classes
    assert np.array_equal(found.train.frames, folder.train.frames)
    fill(plain / "wave", 21)
    assert load(table).split_hash == folder.split_hash


def test_a_table_may_name_the_parts(tmp_path):
    fill(tmp_path / "takes", 6)
    rows = [f"takes/take {i}.npz,{'ab'[i % 2]},{('train', 'validation', 'test')[i // 2]}" for i in range(6)]
    data = load(write_table(tmp_path, rows, "path,label,part"))
    assert [part.names for part in (data.validation, data.test)] == [
        ("takes/take 2.npz", "takes/take 3.npz"),
        ("takes/take 4.npz", "takes/take 5.npz"),
    ]
    assert sorted(data.train.labels) == [0, 1]


@pytest.mark.parametrize(
    ("header", "rows", "what"),
    [
        ("file,label", ["a,b"], "no column path; its header names file, label"),
        ("path,label", ["take 0.npz,a", "take 9.npz,b"], "line 3: take 9.npz: no such file"),
        ("path,label", ["take 0.npz,"], "line 2 has no label"),
        ("path,label", ["take 0.npz,a", "./take 0.npz,b"], "take 0.npz is named twice"),
        ("path,label", ["takes.csv.txt,a"], "not a recording"),
        ("path,label", ["../outside.npz,a"], "outside"),
        ("path,label,part", ["take 0.npz,a,train"], "part 'test': no recording"),
        ("path,label,part", ["take 0.npz,a,trian"], "part 'test'|part 'trian'"),
        ("path,label", ["take 0.npz,a", "take 1.npz,a"], "two classes"),
    ],
)
def test_mistakes_in_a_table(tmp_path, header, rows, what):
    fill(tmp_path / "mine", 2)
    (tmp_path / "mine" / "takes.csv.txt").write_text("")
    write_npz(record(0), tmp_path / "outside.npz")
    with pytest.raises(DataError, match=what):
        load(write_table(tmp_path / "mine", rows, header))
