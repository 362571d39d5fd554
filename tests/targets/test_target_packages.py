"""Packages for build systems: files, metadata, and C that compiles out of the folder."""

import shutil
import subprocess

import pytest
import yaml
from target_cases import cases

from rheobase import native
from rheobase.errors import RecipeError
from rheobase.targets import PACKAGES, write_package

ARDUINO = """
#include <stdint.h>
#include <string.h>
struct { void begin(long) {} void println(int) {} } Serial;
"""
FILES = {
    "cmake": {"CMakeLists.txt", "src/self_test.c"},
    "arduino": {"library.properties", "src/tiny_net.h", "examples/Classify/Classify.ino"},
    "zephyr": {"zephyr/module.yml", "CMakeLists.txt", "Kconfig"},
    "esp-idf": {"idf_component.yml", "CMakeLists.txt"},
}


def package(kind, folder):
    program = cases.small_program(name="tiny-net")
    paths = write_package(program, kind, folder)
    return program, {str(path.relative_to(folder)) for path in paths}


@pytest.mark.parametrize("kind", PACKAGES)
def test_files_and_c(tmp_path, kind):
    program, paths = package(kind, tmp_path)
    assert paths == FILES[kind] | {"src/model.h", "src/model.c", "src/kernels.h", "README.md"}
    assert paths == {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert program.digest() in (tmp_path / "src" / "model.c").read_text()
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or "${" not in path.read_text().replace("${CMAKE", "").replace("${PROJECT", "")
    if native.compiler() is None:
        pytest.skip("no C compiler on this machine")
    command = [str(native.compiler()), "-std=c99", "-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Werror"]
    subprocess.run([*command, "-c", "src/model.c", "-o", "model.o"], cwd=tmp_path, check=True)


@pytest.mark.skipif(shutil.which("cmake") is None, reason="no cmake on this machine: apt install cmake")
def test_cmake_builds_tests_itself_and_is_a_subdirectory(tmp_path):
    package("cmake", tmp_path / "net")
    for command in (["cmake", "-B", "b"], ["cmake", "--build", "b"], ["ctest", "--test-dir", "b"]):
        done = subprocess.run(command, cwd=tmp_path / "net", capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    assert "100% tests passed" in done.stdout
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.10)\nproject(app C)\nadd_subdirectory(net)\n"
        "add_executable(app main.c)\ntarget_link_libraries(app tiny_net::model)\n"
    )
    (tmp_path / "main.c").write_text(
        '#include "model.h"\nint main(void) { return tiny_net_version() == 0; }\n'
    )
    for command in (["cmake", "-B", "b"], ["cmake", "--build", "b"], ["b/app"]):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_arduino_metadata_and_sketch(tmp_path):
    _, _ = package("arduino", tmp_path)
    lines = (tmp_path / "library.properties").read_text().splitlines()
    fields = dict(line.split("=", 1) for line in lines)
    required = {"name", "version", "author", "maintainer", "sentence", "paragraph", "category", "url"}
    assert required | {"architectures", "includes"} == set(fields)
    assert (
        fields["name"] == "tiny_net" and fields["includes"] == "tiny_net.h" and fields["architectures"] == "*"
    )
    assert fields["version"].count(".") == 2 and fields["category"] == "Data Processing"
    if shutil.which("g++") is None:
        pytest.skip("no C++ compiler on this machine")
    (tmp_path / "fake.h").write_text(ARDUINO)
    command = [
        "g++",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-Isrc",
        "-include",
        "fake.h",
        "-x",
        "c++",
        "-fsyntax-only",
    ]
    done = subprocess.run(
        [*command, "examples/Classify/Classify.ino"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_zephyr_and_esp_idf_metadata(tmp_path):
    package("zephyr", tmp_path / "z")
    package("esp-idf", tmp_path / "e")
    module = yaml.safe_load((tmp_path / "z" / "zephyr" / "module.yml").read_text())
    assert module == {"name": "rheobase_tiny_net", "build": {"cmake": ".", "kconfig": "Kconfig"}}
    option = (tmp_path / "z" / "Kconfig").read_text().split()[1]
    cmake = (tmp_path / "z" / "CMakeLists.txt").read_text()
    assert option == "RHEOBASE_TINY_NET" and f"if(CONFIG_{option})" in cmake
    component = yaml.safe_load((tmp_path / "e" / "idf_component.yml").read_text())
    assert set(component) == {"version", "description", "dependencies"} and component["version"] == "3.0.0"
    assert 'SRCS "src/model.c" INCLUDE_DIRS "src"' in (tmp_path / "e" / "CMakeLists.txt").read_text()


def test_unknown_kind(tmp_path):
    with pytest.raises(RecipeError, match="unknown package 'arduina'; did you mean 'arduino'"):
        write_package(cases.small_program(), "arduina", tmp_path)
