"""Bad input ends with exit code 1 and one line on standard error that names the cause and what to do."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import safetensors.numpy
import safetensors.torch
import torch

from rheobase.events import Recording, write_nmnist


@pytest.fixture
def refused(rheobase):
    """Run a command that must be refused; returns its one line."""

    def refused(*arguments, names: list[str | Path]):
        done = rheobase(*arguments)
        assert done.code == 1, done.out + done.err
        line = done.err.removesuffix("\n")
        assert line.startswith("rheobase: ")
        assert "\n" not in line
        missing = [str(name) for name in names if str(name) not in line]
        assert not missing, f"{line!r} does not name {missing}"
        assert done.out == ""
        return line

    return refused


@pytest.fixture
def write(tmp_path):
    def write(text: str) -> Path:
        path = tmp_path / "recipe.yaml"
        path.write_text(text)
        return path

    return write


# Recipes


def test_unknown_key(refused, write, tmp_path):
    path = write("data: {name: digits-dvs}\noptimiser: {learning_rate: 0.1, momentun: 0.9}\n")
    names = [path, "unknown key in 'optimiser' 'momentun'; did you mean 'momentum'?", "learning_rate"]
    refused("train", path, "--out", tmp_path / "run", names=names)
    assert not (tmp_path / "run").exists()


def test_unknown_override(refused, recipe, tmp_path):
    line = ["train", recipe, "train.epoch=3", "--out", tmp_path / "run"]
    refused(*line, names=["override 'train.epoch=3'", "did you mean 'epochs'?"])
    refused("train", recipe, "epochs", names=["override 'epochs' must look like key.sub=value"])


def test_unknown_model(refused, recipe, tmp_path):
    line = ["train", recipe, "model.name=vgg_smal", "--out", tmp_path / "run"]
    refused(*line, names=["unknown model 'vgg_smal'; did you mean 'vgg_small'?"])


def test_unknown_data_set(refused, recipe, tmp_path):
    line = ["train", recipe, "data.name=digits_dvs", "--out", tmp_path / "run"]
    refused(*line, names=["unknown data set 'digits_dvs'; did you mean 'digits-dvs'?"])
    refused("data", "show", "nmnits", names=["unknown data set 'nmnits'; did you mean 'nmnist'?"])
    refused("demo", "--data", "folder", names=["'folder'", "Known: digits-dvs, motion-dvs-sim, nmnist"])


def test_missing_recipe(refused, tmp_path):
    path = tmp_path / "none.yaml"
    refused("train", path, names=[path, "cannot be read: No such file or directory"])


def test_recipe_that_is_no_yaml(refused, write):
    path = write("data: {name: digits-dvs\ntrain: [\n")
    refused("train", path, names=[path, "not valid YAML"])


def test_one_step_cannot_be_stable(refused, recipe, tmp_path):
    line = ["train", recipe, "data.T=1", "objective.name=stable_spike", "--out", tmp_path / "run"]
    refused(*line, names=["T >= 2"])


# Run folders


@pytest.mark.parametrize("name", ["eval", "compress", "export", "report"])
def test_not_a_run_folder(refused, tmp_path, name):
    refused(name, tmp_path, names=[tmp_path, "rheobase train"])


def test_run_folder_in_use(refused, trained, recipe):
    line = ["train", recipe, "--out", trained[0]]
    refused(*line, names=[trained[0], "already holds a run", "--resume"])


def test_resumed_with_another_recipe(refused, trained, recipe):
    line = ["train", recipe, "optimiser.lr=0.3", "--out", trained[0], "--resume"]
    refused(*line, names=[trained[0], "optimiser.lr was 0.05 and is 0.3"])


def test_run_folder_that_cannot_be_written(refused, recipe, tmp_path):
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / "run"
    refused("train", recipe, "--out", folder, names=[folder, "cannot be written", "choose another"])


def test_unfinished_run(refused, run):
    (run / "result.json").unlink()
    refused("report", run, names=[run, "result.json is missing", "rheobase train"])
    (run / "checkpoint.json").unlink()
    refused("eval", run, names=[run, "no checkpoint", "rheobase train"])
    refused("compress", run, names=[run, "no checkpoint", "rheobase train"])


def test_nan_in_a_checkpoint(refused, run):
    pointer = json.loads((run / "checkpoint.json").read_text())
    path = run / pointer["file"]
    tensors = safetensors.torch.load(path.read_bytes())
    name = next(name for name, tensor in tensors.items() if name.startswith("model.") and tensor.ndim == 4)
    tensors[name].view(-1)[7] = torch.nan
    data = safetensors.torch.save(tensors)
    path.write_bytes(data)
    (run / "checkpoint.json").write_text(json.dumps(pointer | {"sha256": hashlib.sha256(data).hexdigest()}))
    for command in ("eval", "compress"):
        refused(command, run, names=[name, path, "NaN", "lower learning rate"])


def test_truncated_checkpoint(refused, run, recipe):
    path = next(run.glob("checkpoint-*.safetensors"))
    path.write_bytes(path.read_bytes()[:-100])
    names = [path, "truncated", "Restore it from a copy"]
    refused("eval", run, names=names)
    refused("train", recipe, "--out", run, "--resume", names=names)


def test_damaged_evaluation(refused, run):
    (run / "evaluation.json").write_text('{"accuracy": 0.')
    refused("report", run, names=[run / "evaluation.json", "cannot be read", "rheobase eval"])


# Compress, export, report


def test_bits_that_are_no_choice(refused, run):
    refused("compress", run, "--bits", "5", names=["compress.bits=5", "1, 2, 3, 4 or 8"])
    refused("compress", run, "--epochs", "-1", names=["compress.epochs=-1", "0"])


def test_pruning_that_is_no_choice(refused, run):
    refused("compress", run, "--prune", "1.5", names=["compress.prune", "1.5 cannot be", "below 1"])
    refused("compress", run, "--prune", "0.5", "--score", "svd", names=["svd", "did you mean 'svs'"])
    refused("compress", run, "prune.itertions=2", names=["itertions", "did you mean 'iterations'"])


def test_export_before_compress(refused, run):
    refused("export", run, names=[run, "has not been compressed", "rheobase compress"])


@pytest.fixture
def compressed(shipped, tmp_path):
    """A copy of the compressed run, to be damaged."""
    return Path(shutil.copytree(shipped[0], tmp_path / "run"))


def test_program_of_another_version(refused, compressed):
    path = compressed / "compressed" / "program.safetensors"
    with safetensors.safe_open(path, "numpy") as file:
        header = json.loads(file.metadata()["rheobase"])
    tensors = safetensors.numpy.load(path.read_bytes())
    metadata = {"rheobase": json.dumps(header | {"version": header["version"] + 1})}
    safetensors.numpy.save_file(tensors, path, metadata)
    names = [path, "program version 4", "reads versions 1 to 3", f"rheobase compress {compressed}"]
    refused("export", compressed, names=names)


@pytest.mark.parametrize("name", ["program.safetensors", "compressed.json", "checkpoint.json"])
def test_damaged_compression(refused, compressed, name):
    path = compressed / "compressed" / name
    path.write_bytes(path.read_bytes()[:-50])
    refused("export", compressed, names=[path, f"ompress the run again: `rheobase compress {compressed}`"])


def test_program_of_another_checkpoint(refused, compressed):
    """A kill between the files of `compress` leaves a program beside another model's tensors."""
    path = compressed / "compressed" / "compressed.json"
    facts = json.loads(path.read_text())
    facts["config"]["bits"] = 2
    path.write_text(json.dumps(facts))
    refused("export", compressed, names=["not that of its checkpoint", "compress the run again"])


def test_no_compiler(refused, compressed, monkeypatch):
    monkeypatch.setattr("rheobase.native.compiler", lambda: None)
    refused("export", compressed, names=["no C compiler found", "apt install gcc"])


def test_reports_of_different_data(refused, run, trained):
    path = run / "recipe.yaml"
    path.write_text(path.read_text().replace("T: 4", "T: 2"))
    refused("report", run, "--baseline", trained[0], names=[run, trained[0], "different data"])


def test_json_to_a_folder(refused, run, tmp_path):
    refused("eval", run, "--json", tmp_path, names=["--json", tmp_path, "folder"])


def test_output_that_cannot_be_written(refused, shipped, tmp_path):
    (tmp_path / "file").write_text("")
    line = ["report", shipped[0], "--out", tmp_path / "file" / "page.html"]
    refused(*line, names=[tmp_path / "file", "choose another place"])


def test_cache_that_cannot_be_written(refused, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RHEOBASE_CACHE", str(tmp_path / "file" / "cache"))
    refused("data", "show", "digits-dvs", names=[tmp_path / "file" / "cache", "Not a directory"])


# Data


def test_no_data_root(refused, recipe, tmp_path, monkeypatch):
    monkeypatch.delenv("RHEOBASE_DATA", raising=False)
    names = ["N-MNIST", "RHEOBASE_DATA", "nmnist_small.zip"]
    refused("data", "show", "nmnist", names=names)
    refused("train", recipe, "data={name: nmnist}", "--out", tmp_path / "run", names=names)


def test_empty_data_root(refused, tmp_path, monkeypatch):
    monkeypatch.setenv("RHEOBASE_DATA", str(tmp_path))
    refused("data", "show", "nmnist", names=[tmp_path, "nmnist_small.zip", "rheobase data fetch nmnist"])


def test_no_frames(refused):
    refused("data", "show", "digits-dvs", "--T", "0", names=["--T is 0", "1 frame"])


def test_unknown_split(refused):
    line = ["data", "show", "digits-dvs", "--split", "offical"]
    refused(*line, names=["'offical'", "did you mean 'official'?"])


@pytest.fixture
def recording():
    return Recording([1, 2, 3], [0, 1, 2], [0, 10, 20], [1, 1, 0], width=34, height=34)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "empty"),
        (b"\x01\x02\x80\x00\x00\x01\x02", "cut short"),
        (bytes(range(7, 107)), "damaged or not N-MNIST"),
    ],
    ids=["empty", "truncated", "random"],
)
def test_damaged_recording(refused, tmp_path, data, says):
    path = tmp_path / "00001.bin"
    path.write_bytes(data)
    for line in (["convert", path, tmp_path / "out.npz"], ["info", path]):
        if line[0] == "convert" or says != "damaged or not N-MNIST":  # of which info counts what is wrong
            refused("data", *line, names=[path, says, "get it again"])
    assert not (tmp_path / "out.npz").exists()


def test_recording_of_unknown_kind(refused, tmp_path):
    (tmp_path / "a.xyz").write_bytes(b"what is this")
    names = ["a.xyz", ".bin, .csv, .npy, .npz, .h5, .hdf5, .aedat, .aedat2"]
    refused("data", "info", tmp_path / "a.xyz", names=names)
    refused("data", "convert", tmp_path / "a.bin", tmp_path / "b.npz", names=["a.bin", "No such file"])
    refused("data", "info", tmp_path / "a.bin", names=[tmp_path / "a.bin", "No such file"])


def test_missing_class_folder(refused, recording, tmp_path):
    for part in ("train", "validation", "test"):
        for kind in ("cat", "dog"):
            (tmp_path / part / kind).mkdir(parents=True)
            write_nmnist(recording, tmp_path / part / kind / "0.bin")
    shutil.rmtree(tmp_path / "test" / "dog")
    line = ["data", "show", "folder", "--folder", tmp_path]
    refused(*line, names=[tmp_path / "test", "no folder for the class 'dog'"])


def test_empty_class_folder(refused, recording, tmp_path):
    for kind in ("cat", "dog"):
        (tmp_path / kind).mkdir()
    write_nmnist(recording, tmp_path / "cat" / "0.bin")
    names = [tmp_path / "dog", "is empty", ".bin"]
    refused("data", "show", "folder", "--folder", tmp_path, names=names)


def test_empty_or_missing_folder(refused, tmp_path):
    names = ["no class folders", "one sub-folder a class"]
    refused("data", "show", "folder", "--folder", tmp_path, names=[tmp_path, *names])
    missing = tmp_path / "none"
    refused("data", "show", "folder", "--folder", missing, names=[missing, "no such folder"])
    refused("data", "show", "folder", names=["--folder", "one sub-folder a class"])


@pytest.mark.parametrize("options", [["--size", "0"], ["--size", "1"], ["--classes", "0"]])
def test_models_of_no_size(refused, options):
    refused("models", *options, names=[options[1]])
