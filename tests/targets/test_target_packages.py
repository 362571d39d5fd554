"""Packages for build systems: files, metadata, and C that compiles out of the folder; networks alone, and behind an encoder."""

import re
import shutil
import subprocess

import numpy as np
import pytest
import yaml
from target_cases import cases

from rheobase import native
from rheobase.errors import DataError, RecipeError
from rheobase.program import reference
from rheobase.signals import TAE, Scaling
from rheobase.signals.coding import Coding
from rheobase.signals.frontends import LogMel
from rheobase.signals.program import integer_coding
from rheobase.signals.program.feed import samples_feed
from rheobase.targets import PACKAGES, write_package

FILES = {
    "cmake": {"CMakeLists.txt", "src/self_test.c", "examples/classify/main.c"},
    "arduino": {"library.properties", "src/tiny_net.h", "examples/Classify/Classify.ino"},
    "zephyr": {
        "zephyr/module.yml",
        "CMakeLists.txt",
        "Kconfig",
        *(f"examples/classify/{name}" for name in ("CMakeLists.txt", "prj.conf", "src/main.c")),
    },
    "esp-idf": {
        "idf_component.yml",
        "CMakeLists.txt",
        *(f"examples/classify/{name}" for name in ("CMakeLists.txt", "main/CMakeLists.txt", "main/main.c")),
    },
}
EXAMPLES = {  # where the example is, how it starts, and the headers of the framework that it includes
    "cmake": ("examples/classify/main.c", "main", {}),
    "arduino": (
        "examples/Classify/Classify.ino",
        "",
        {"Arduino.h": "#include <stdint.h>\n#include <string.h>\n"},
    ),
    "zephyr": (
        "examples/classify/src/main.c",
        "main",
        {"zephyr/sys/printk.h": "#include <stdio.h>\n#define printk printf\n"},
    ),
    "esp-idf": ("examples/classify/main/main.c", "app_main", {}),
}
WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Werror"]
FRONT = LogMel(bands=20, window=0.032, hop=0.010, low=100)
feeds = pytest.mark.parametrize("feed", ["frames", "samples"])
needs_cmake = pytest.mark.skipif(shutil.which("cmake") is None, reason="no cmake on this machine")


def noise(samples: int) -> np.ndarray:
    """Noise whose size goes up and down."""
    rng, t = np.random.default_rng(2), np.arange(samples)
    return (rng.normal(size=samples) * (200 + 8000 * np.sin(t / 900) ** 2)).astype(np.int16)


def coding():
    """Log-mel, TAE and pooling to the 20 values of a frame."""
    x = noise(8000)[:, None, None] / 32768
    scaling = Scaling.fit(FRONT.apply(x))
    return integer_coding(
        Coding(front=FRONT, scaling=scaling, encoder=TAE(), pool=2, sampling=16000, unit=1 / 32768)
    )


def package(kind, folder, feed="frames", **fields):
    """A program in a package; what it is fed with, `samples`, comes through the encoder."""
    if feed == "frames":
        program, made = cases.small_program(name="tiny-net", **fields), None
    else:
        program = cases.signal_program(name="tiny-net", **fields)
        made = samples_feed(coding(), program, noise(6000))
    paths = write_package(program, kind, folder, feed=made)
    return program, {str(path.relative_to(folder)) for path in paths}


def ran(*command, cwd):
    """What a command printed; it must succeed."""
    done = subprocess.run([str(each) for each in command], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@feeds
@pytest.mark.parametrize("kind", PACKAGES)
def test_files_and_c(tmp_path, kind, feed):
    program, paths = package(kind, tmp_path, feed)
    encoder = {"src/encoder.h", "src/encoder.c", *(["src/chain_test.c"] if kind == "cmake" else [])}
    network = {"src/model.h", "src/model.c", "src/kernels.h", "README.md"}
    assert paths == FILES[kind] | network | (encoder if feed == "samples" else set())
    assert paths == {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert program.digest() in (tmp_path / "src" / "model.c").read_text()
    for path in paths:
        left = set(re.findall(r"\$\{(\w+)", (tmp_path / path).read_text()))
        assert left <= {"CMAKE_CURRENT_LIST_DIR", "tiny_net_sources", "test"}
    assert ("_encoder_push" in (tmp_path / "README.md").read_text()) == (feed == "samples")
    if native.compiler() is None:
        pytest.skip("no C compiler on this machine")
    for path in (path for path in paths if path.endswith(".c") and path.startswith("src/")):
        ran(native.compiler(), "-std=c99", *WARNINGS, "-pedantic", "-c", path, "-o", "out.o", cwd=tmp_path)


@feeds
@pytest.mark.parametrize("kind", PACKAGES)
def test_examples_build_and_print_a_class(tmp_path, kind, feed):
    """With stubs of the frameworks' headers; silence goes in."""
    if native.compiler() is None or shutil.which("g++") is None:
        pytest.skip("no C and C++ compiler on this machine")
    program, paths = package(kind, tmp_path, feed)
    example, start, headers = EXAMPLES[kind]
    for name, text in headers.items():
        path = tmp_path / "stub" / name
        path.parent.mkdir(parents=True)
        path.write_text(text)
    sources = [path for path in sorted(paths) if path.endswith(".c") and "test" not in path]
    include = ["-Isrc", "-Istub", *WARNINGS]
    if kind == "arduino":
        (tmp_path / "board.cpp").write_text(
            '#include <stdio.h>\n#include "Arduino.h"\nstatic struct {\n    void begin(long) {}\n'
            '    void println(int x) { printf("%d\\n", x); }\n} Serial;\n'
            f'#include "{example}"\nint main() {{ setup(); loop(); }}\n'
        )
        ran("g++", *include, "-c", "board.cpp", "-o", "board.o", cwd=tmp_path)
        sources.append("board.o")
    elif start != "main":
        (tmp_path / "board.c").write_text(f"void {start}(void);\nint main(void) {{ {start}(); return 0; }}\n")
        sources.append("board.c")
    ran(native.compiler(), "-std=c99", *include, *sources, "-o", "example", cwd=tmp_path)
    silence = np.zeros((program.T, 1, *program.input_shape), program.input_type)
    if feed == "samples":  # the example pushes zeros until the network has had its steps
        quiet = coding().encode(np.zeros(8000, np.int16))[: program.T]
        silence = quiet.reshape(len(quiet), 1, *program.input_shape)
        assert len(silence) == program.T
    expected = int(reference.run(program, silence).logits.sum(0).argmax())
    assert ran("./example", cwd=tmp_path) == f"{expected}\n"


@needs_cmake
@feeds
def test_cmake_builds_tests_itself_and_is_a_subdirectory(tmp_path, feed):
    package("cmake", tmp_path / "net", feed)
    for command in (["cmake", "-B", "b"], ["cmake", "--build", "b"]):
        ran(*command, cwd=tmp_path / "net")
    tests = 1 if feed == "frames" else 2
    assert f"0 tests failed out of {tests}" in ran("ctest", "--test-dir", "b", cwd=tmp_path / "net")
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.10)\nproject(app C)\nadd_subdirectory(net)\n"
        "add_executable(app main.c)\ntarget_link_libraries(app tiny_net::model)\n"
    )
    uses = "static tiny_net_encoder e; tiny_net_encoder_reset(&e);" if feed == "samples" else ""
    headers = '#include "model.h"\n' + '#include "encoder.h"\n' * bool(uses)
    (tmp_path / "main.c").write_text(
        f"{headers}int main(void) {{ {uses} return tiny_net_version() == 0; }}\n"
    )
    for command in (["cmake", "-B", "b"], ["cmake", "--build", "b"], ["b/app"]):
        ran(*command, cwd=tmp_path)


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("encoder.c", "#define GROWTH ", "#define GROWTH 1", "frames DIFFER"),
        ("model.c", "int32_t", "int32_t", "PASS"),
        ("chain_test.c", "decisions[STEPS] = {\n    ", "decisions[STEPS] = {\n    9 +", "decisions DIFFER"),
        ("chain_test.c", "EXPECTED_LOGITS UINT64_C(", "EXPECTED_LOGITS UINT64_C(1 + ", "logits DIFFER"),
    ],
)
def test_the_chain_test_can_fail(tmp_path, file, old, new, said):
    if native.compiler() is None:
        pytest.skip("no C compiler on this machine")
    package("cmake", tmp_path, "samples")
    path = tmp_path / "src" / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    files = [f"src/{name}" for name in ("chain_test.c", "encoder.c", "model.c")]
    ran(native.compiler(), "-std=c99", "-w", *files, "-o", "chain_test", cwd=tmp_path)
    done = subprocess.run([tmp_path / "chain_test"], capture_output=True, text=True)
    assert said in done.stdout and (done.returncode == 0) == (said == "PASS")


def test_arduino_metadata(tmp_path):
    package("arduino", tmp_path, "samples")
    lines = (tmp_path / "library.properties").read_text().splitlines()
    fields = dict(line.split("=", 1) for line in lines)
    required = {"name", "version", "author", "maintainer", "sentence", "paragraph", "category", "url"}
    assert required | {"architectures", "includes"} == set(fields)
    assert (
        fields["name"] == "tiny_net" and fields["includes"] == "tiny_net.h" and fields["architectures"] == "*"
    )
    assert fields["version"].count(".") == 2 and fields["category"] == "Data Processing"
    assert "16-bit samples of one channel at 16000 Hz" in fields["paragraph"]


@feeds
def test_zephyr_and_esp_idf_metadata(tmp_path, feed):
    package("zephyr", tmp_path / "z", feed)
    package("esp-idf", tmp_path / "e", feed)
    sources = "src/model.c" if feed == "frames" else "src/encoder.c src/model.c"
    module = yaml.safe_load((tmp_path / "z" / "zephyr" / "module.yml").read_text())
    assert module == {"name": "rheobase_tiny_net", "build": {"cmake": ".", "kconfig": "Kconfig"}}
    option = (tmp_path / "z" / "Kconfig").read_text().split()[1]
    cmake = (tmp_path / "z" / "CMakeLists.txt").read_text()
    assert option == "RHEOBASE_TINY_NET" and f"if(CONFIG_{option})" in cmake
    assert f"zephyr_library_sources({sources})" in cmake
    assert (tmp_path / "z" / "examples" / "classify" / "prj.conf").read_text() == f"CONFIG_{option}=y\n"
    component = yaml.safe_load((tmp_path / "e" / "idf_component.yml").read_text())
    assert set(component) == {"version", "description", "dependencies"} and component["version"] == "3.0.0"
    assert f"SRCS {sources} INCLUDE_DIRS src" in (tmp_path / "e" / "CMakeLists.txt").read_text()


def test_unknown_kind(tmp_path):
    with pytest.raises(RecipeError, match="unknown package 'arduina'; did you mean 'arduino'"):
        write_package(cases.small_program(), "arduina", tmp_path)


def test_samples_that_make_no_frame_are_refused():
    with pytest.raises(DataError, match="10 samples make 0 frames"):
        samples_feed(coding(), cases.signal_program(), np.zeros(10, np.int16))
