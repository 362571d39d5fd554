"""Programs on disk: exact round trips, and files that are not what they say."""

import base64
import contextlib
import dataclasses
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from program_cases import frames_for, graphs, programs, residual_program, small_program
from safetensors.numpy import save as to_bytes

from rheobase.errors import ProgramError
from rheobase.program import load, reference, save
from rheobase.program.storage import decode, encode

# A file of version 1 as it was written then (zlib, base 85): convolution, neuron, pool, two linear layers, a rounded neuron.
VERSION_1 = (
    "c-o~^U2oGc6m8cH*!UO{@W2b2{Dg#8Vkc?0z9JzZA%ysNTC2!g+|*j)M2S;0P5CSQA^s3Th~n#{Bk3}A6_Kpg$M>Fd@3G@pc"
    "RS{}M4lIM#eAli=b_OhN@qMiWf?~!bU8*}#%N^YF`C9{#FU<luL2H}G!9Z0jgej#GRc*f%~-;9&<Vi~wkH}7<3MQqjD>((ed"
    "=m(DX0-G5iy?|;yD?kLN7}em4FiR!m!6l2CO<bNaNg0NImc@mh&pm%-`ra^$n6R-xo5dGP0SNLKhbNSE(?{u<(tGV5Z7~PK5"
    "#m2l%Gbj01c~T$5h)XJdjXrV~TML6jB+Hn}V_B?zf(YAUGc$N=o%?A%)x(P$wQ(|QLVc%H`6AQ@A6%9McV$fm==P=jig@@y7"
    "|{)*V#)3~YFGWDGERPqq&tBWOZ9M;u7=g~(4nVhSzX~>k~vL5+%2{j{U!uOkj?}g+nEgPuy+u}2A_-xm0b}`w=W1!-Gz*m<8"
    "CS(iL*ons0$UF=UHs|3gS$)fBz2#4FE`9F*|JH$e)8Fu)n>YJwwfjq&=eX`K#qO=_Jr}a9Hp`<`51@>G%9$VMs^P{GDnMe+)"
    "2y_C6#DES(gzv1Z+vx;z-9B!rU;j%!3#FQ$lOU~<vQ}jg2P}^uN>ScpXe9X0Rnf8wtGF7I@qal&H36$*m1BsD3jsTZ6xdt@U"
    "Y4)597_*&h_l!03Xvb`xc(H$RAToO4o;LOrtG^YsU$-AlvGf2eY34^{Ae%uTz5CNGR<45s*0RNC<6bIKsp=O$^pC=nJQXz}2"
    "<6!%0yb9CY<J^Uq?jfN$qhJznVXywm>t)^S_<7e2MUmhrRV+16wCh5>pyZ1L;S_q`w8y$1&mw>z)9y}egmwEOtp&d$sIXPqb"
    "a@ASI8txoqZF!5LE"
)


def parts() -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    description, tensors = encode(small_program())
    return json.loads(json.dumps(description)), dict(tensors)


def write(path: Path, description: Any, tensors: dict[str, np.ndarray]) -> Path:
    path.write_bytes(to_bytes(tensors, metadata={"rheobase": json.dumps(description)}))
    return path


def test_round_trip_through_a_file(tmp_path):
    program = small_program()
    path = tmp_path / "folder" / "program.safetensors"
    save(program, path)
    again = load(path)
    assert again.digest() == program.digest()
    assert again.metadata == {"seed": 7} and again.ops[0].name == "features.0"
    frames = frames_for(program, 3, 0)
    assert np.array_equal(reference.run(again, frames).logits, reference.run(program, frames).logits)
    first = path.read_bytes()
    save(again, path)
    assert path.read_bytes() == first  # equal programs, equal bytes
    assert len(first) < sum(op.weight.bytes for op in program.ops if hasattr(op, "weight")) + 4000


@given(st.one_of(programs(), graphs()))
@settings(max_examples=50, deadline=None)
def test_decode_inverts_encode(program):
    description, tensors = encode(program)
    again = decode(json.loads(json.dumps(description)), tensors)
    assert again.digest() == program.digest()
    assert [type(op) for op in again.ops] == [type(op) for op in program.ops]


def test_a_file_of_version_1_is_the_chain_it_was(tmp_path):
    path = tmp_path / "tiny.safetensors"
    path.write_bytes(zlib.decompress(base64.b85decode(VERSION_1)))
    program = load(path)
    assert [op.inputs for op in program.ops] == [(i - 1,) for i in range(8)] and program.version == 3
    frames = np.random.default_rng(1).integers(0, 4, (3, 2, 1, 4, 3)).astype(np.uint8)
    trace = reference.run(program, frames)
    assert trace.logits.tolist() == [[[1, -1], [2, -2]], [[2, -2], [1, -1]], [[2, -2], [2, -2]]]
    assert [int(layer.sum()) for layer in trace.spikes] == [152, 4]
    save(program, path)
    assert load(path).digest() == program.digest()


def test_a_graph_keeps_its_joins(tmp_path):
    program = residual_program()
    save(program, tmp_path / "p")
    again = load(tmp_path / "p")
    assert again.digest() == program.digest() and [op.inputs for op in again.ops] == [
        op.inputs for op in program.ops
    ]
    other = [*program.ops[:7], dataclasses.replace(program.ops[7], inputs=(2, 2)), *program.ops[8:]]
    assert residual_program(ops=other).digest() != program.digest()


def test_a_leak_multiplier_is_written_where_there_is_one(tmp_path):
    """Files without the field, and their digests, are those of before it existed."""
    ops = list(small_program().ops)
    description, _ = encode(small_program())
    assert "leak_multiplier" not in description["ops"][1]
    ops[1] = dataclasses.replace(ops[1], leak_multiplier=1)
    program = small_program(ops=ops)
    save(program, tmp_path / "p")
    assert load(tmp_path / "p").ops[1].leak_multiplier == 1
    assert load(tmp_path / "p").digest() == program.digest() != small_program().digest()


def test_a_program_that_does_not_validate_is_not_written(tmp_path):
    with pytest.raises(ProgramError):
        save(small_program(T=0), tmp_path / "p")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.9, 0.999])
def test_truncated_files_are_refused(tmp_path, share):
    path = tmp_path / "p.safetensors"
    save(small_program(), path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ProgramError, match="not a whole safetensors file"):
        load(path)


@pytest.mark.parametrize("seed", range(20))
def test_random_and_bent_files_are_refused_or_valid(tmp_path, seed):
    rng = np.random.default_rng(seed)
    path = tmp_path / "p.safetensors"
    path.write_bytes(rng.bytes(300))
    with pytest.raises(ProgramError):
        load(path)
    save(small_program(), path)
    data = bytearray(path.read_bytes())
    for at in rng.integers(0, len(data), 6):
        data[at] = rng.integers(0, 256)
    path.write_bytes(data)
    with contextlib.suppress(ProgramError):
        load(path).validate()


def test_other_safetensors_files_are_refused(tmp_path):
    path = tmp_path / "p.safetensors"
    path.write_bytes(to_bytes({"a": np.zeros(3)}))
    with pytest.raises(ProgramError, match="not a rheobase program"):
        load(path)
    path.write_bytes(to_bytes({"a": np.zeros(3)}, metadata={"rheobase": "{"}))
    with pytest.raises(ProgramError, match="not JSON"):
        load(path)
    path.write_bytes(to_bytes({"a": np.zeros(3)}, metadata={"rheobase": "[" * 100000}))
    with pytest.raises(ProgramError):
        load(path)
    header = b'{"a":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]}}'
    path.write_bytes(struct.pack("<Q", len(header)) + header + b"\0\0")
    with pytest.raises(ProgramError):
        load(path)
    with pytest.raises(OSError):
        load(tmp_path / "missing")


def put(*keys: Any, value: Any) -> Any:
    def change(description: dict[str, Any], tensors: dict[str, np.ndarray]) -> None:
        target: Any = description
        for key in keys[:-1]:
            target = target[key]
        target[keys[-1]] = value

    return change


def tensor(name: str, value: np.ndarray | None) -> Any:
    def change(description: dict[str, Any], tensors: dict[str, np.ndarray]) -> None:
        if value is None:
            del tensors[name]
        else:
            tensors[name] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put("version", value=4), "version 4; this rheobase reads versions 1 to 3"),
        (put("version", value=True), "version True"),
        (put("version", value=1), "version 1 read the op before and have no inputs"),
        (put("ops", 0, "inputs", value=None), "inputs must be a list"),
        (put("ops", 0, "inputs", value=[]), "inputs must be a list"),
        (put("ops", 0, "inputs", value=[True]), "inputs must be a list"),
        (put("ops", 0, "inputs", value=[-1.0]), "inputs must be a list"),
        (put("ops", 0, "inputs", value=[0]), "op 0 Conv2d 'features.0' reads op 0"),
        (put("ops", 0, "inputs", value=[-2]), "reads op -2"),
        (put("ops", 1, "inputs", value=[10**30]), "reads op 10"),
        (put("ops", 1, "inputs", value=[4]), "op 1 Neuron reads op 4; an op reads ops before it"),
        (put("ops", 1, "inputs", value=[0, 0]), "Neuron reads 1 values, its inputs are 2"),
        (
            put("ops", 5, "inputs", value=[2]),
            "op 3 Conv2d gives what no op reads|op 4 Neuron gives what no op reads",
        ),
        (put("ops", 0, "groups", value=3), "groups=3 does not divide"),
        (put("format", value="other"), "format 'other'"),
        (put("ops", value={}), "ops must be a list"),
        (put("ops", 0, value=3), "op 0 must be a JSON object"),
        (put("ops", 0, "op", value="Softmax"), "'Softmax' is not one of"),
        (put("ops", 0, "extra", value=1), "has the fields"),
        (put("ops", 0, "stride", value="2"), "must be an integer"),
        (put("ops", 0, "stride", value=None), "stride must be an integer"),
        (put("ops", 0, "stride", value=-1), "stride must be"),
        (put("ops", 0, "stride", value=10**30), "stride must be"),
        (put("ops", 0, "name", value=7), "must be a string"),
        (put("ops", 0, "weight", value=7), "must be a JSON object"),
        (put("ops", 0, "weight", "bits", value=8), "the file has uint8"),
        (put("ops", 0, "weight", "bits", value=3), "is not a weight"),
        (put("ops", 0, "weight", "step", value=10**9), "16 bits"),
        (put("ops", 0, "weight", "shape", value=[5, 2, 3, 10**12]), "the file has uint8"),
        (put("ops", 0, "weight", "shape", value=[5, 0, 3, 3]), "must be integers"),
        (put("ops", 0, "weight", "shape", value=[5, 2]), "the file has uint8"),
        (put("ops", 1, "threshold", value=3), "yet the file has a tensor"),
        (put("ops", 1, "bits", value=64), "16 or 32"),
        (put("ops", 1, "leak_multiplier", value=-3), "leak_multiplier must be"),
        (put("ops", 1, "leak_multiplier", value=1.5), "leak_multiplier must be an integer"),
        (put("ops", 4, "leak_multiplier", value=1), "needs a leak_shift"),
        (put("ops", 2, "kernel", value="int32"), "needs an int32 vector"),
        (put("input_shape", value=[2, 8]), "input_shape"),
        (put("input_shape", value=[2, 8, 10**12]), "input_shape"),
        (put("input_shape", value=[2, 11, 8]), "op 6 Linear"),
        (put("T", value=None), "T must be"),
        (put("name", value=None), "name must be"),
        (put("name", value="a b"), "program name"),
        (put("logit_scale", value="1"), "logit_scale"),
        (put("metadata", value=[]), "metadata"),
        (put("metadata", value={"a": {}}), "metadata"),
        (tensor("0.weight", None), "the file has none"),
        (tensor("0.weight", np.zeros((3, 3, 2, 4), np.uint8)), "the file has uint8"),
        (tensor("0.weight", np.zeros((3, 3, 2, 3), np.int8)), "the file has int8"),
        (tensor("0.weight", np.full((3, 3, 2, 3), 255, np.uint8)), "unused bits"),
        (tensor("1.threshold", None), "needs an int32 vector"),
        (tensor("1.threshold", np.zeros(5, np.int32)), "at least 1"),
        (tensor("1.threshold", np.ones(4, np.int32)), "channels differ"),
        (tensor("1.threshold", np.ones(5, np.int64)), "needs an int32 vector"),
        (tensor("9.weight", np.ones(5, np.int64)), "tensors that no op uses: 9.weight"),
    ],
)
def test_hostile_files_are_refused_with_the_reason(tmp_path, change, message):
    description, tensors = parts()
    change(description, tensors)
    with pytest.raises(ProgramError, match=message):
        load(write(tmp_path / "p.safetensors", description, tensors))
