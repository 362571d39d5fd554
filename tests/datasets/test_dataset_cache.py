"""The cache: found, rebuilt when damaged, safe between processes, and out of the way when not wanted."""

import json
import multiprocessing
import time

import numpy as np
import pytest

from rheobase.datasets.cache import cached, digest_arrays

KEY = {"what": "squares"}


class Build:
    def __init__(self):
        self.calls = 0

    def __call__(self):
        self.calls += 1
        return {"a": np.arange(2000, dtype=np.int64) ** 2, "b": np.array("text")}


def files(cache, pattern):
    return sorted(cache.rglob(pattern))


def test_the_second_time_nothing_is_built(cache):
    build = Build()
    first, second = cached("s", KEY, build), cached("s", KEY, build)
    assert build.calls == 1
    np.testing.assert_array_equal(first["a"], second["a"])
    assert str(second["b"]) == "text"
    assert json.loads(files(cache, "index.json")[0].read_text())["key"]["what"] == "squares"


def test_another_key_is_another_entry():
    build = Build()
    cached("s", KEY, build)
    cached("s", {"what": "cubes"}, build)
    assert build.calls == 2


def cut(path):
    path.write_bytes(path.read_bytes()[:-8])


def flip(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize(
    "damage", [cut, flip, lambda path: path.unlink(), lambda path: path.write_bytes(b"")]
)
@pytest.mark.parametrize("pattern", ["a.npy", "index.json"])
def test_damage_is_found_and_mended(cache, damage, pattern):
    build = Build()
    before = cached("s", KEY, build)["a"].copy()
    damage(files(cache, pattern)[0])
    np.testing.assert_array_equal(cached("s", KEY, build)["a"], before)
    assert build.calls == 2
    cached("s", KEY, build)
    assert build.calls == 2


def test_writing_to_what_was_loaded_does_not_reach_the_file():
    build = Build()
    array = cached("s", KEY, build)["a"]
    array[:] = -1
    assert cached("s", KEY, build)["a"][3] == 9
    assert build.calls == 1


def test_not_kept(cache):
    build = Build()
    cached("s", KEY, build, keep=False)
    cached("s", KEY, build, keep=False)
    assert build.calls == 2
    assert not files(cache, "*.npy")


def slow_build(counter):
    def build():
        time.sleep(0.2)
        with counter.get_lock():
            counter.value += 1
        return {"a": np.ones(1000)}

    assert cached("race", KEY, build)["a"].sum() == 1000


def test_processes_at_the_same_time_build_once():
    pytest.importorskip("fcntl", reason="file locks need POSIX")
    context = multiprocessing.get_context("fork")
    counter = context.Value("i", 0)
    processes = [context.Process(target=slow_build, args=(counter,)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert counter.value == 1


def test_digest_sees_names_types_and_shapes():
    array = np.arange(4, dtype=np.int32)
    digests = {
        digest_arrays({"a": array}),
        digest_arrays({"b": array}),
        digest_arrays({"a": array.reshape(2, 2)}),
        digest_arrays({"a": array.view(np.float32)}),
    }
    assert len(digests) == 4
    assert digest_arrays({"a": array}) == digest_arrays({"a": array.astype(">i4")})
