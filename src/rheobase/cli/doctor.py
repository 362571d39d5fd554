"""`rheobase doctor`: what this machine has, what is missing, and what to do about it."""

import importlib.util
import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.markup import escape

from rheobase import native
from rheobase.cli.output import JsonOption, console, write_json
from rheobase.errors import RheobaseError
from rheobase.files import cache_folder
from rheobase.targets import TARGETS, missing


@dataclass(frozen=True)
class Finding:
    """One thing looked at: is it well, what was found, what to do if not."""

    name: str
    ok: bool
    found: str
    advice: str = ""


def examine() -> list[Finding]:
    """Look at Python, torch, compiler, threads, GPU, data root, cache, microcontrollers and extras."""
    return [
        _python(),
        _torch(),
        _compiler(),
        _threads(),
        _gpu(),
        _data_root(),
        _cache(),
        _targets(),
        *_extras(),
    ]


def doctor_command(json: JsonOption = None) -> None:
    """Check compiler, threads, GPU, data root, cache and extras, and say what to do.

    Example: rheobase doctor
    """
    findings = examine()
    for finding in findings:
        sign = "[green]ok  [/]" if finding.ok else "[yellow]look[/]"
        console.print(f"{sign} [bold]{finding.name:<12}[/] {escape(finding.found)}", soft_wrap=True)
        if finding.advice:
            console.print(f"                  [dim]{escape(finding.advice)}[/]", soft_wrap=True)
    write_json(json, [asdict(finding) for finding in findings])


def _python() -> Finding:
    return Finding("python", True, f"{platform.python_version()} on {platform.system()} {platform.machine()}")


def _torch() -> Finding:
    import torch

    return Finding("torch", True, torch.__version__)


def _compiler() -> Finding:
    if native.compiler() is None:
        advice = "install one (`apt install gcc libc6-dev`): without it training is slower and no program can be verified"
        return Finding("compiler", False, "no C compiler found", advice)
    try:
        source = cache_folder("doctor") / "answer.c"
        source.write_text("int answer(void) { return 42; }\n")
        native.compile_shared([source], ["-std=c99", "-O2"], "doctor")
    except OSError as error:
        return Finding("compiler", False, f"not tried: {error}", "see the cache below")
    except RheobaseError as error:
        return Finding(
            "compiler",
            False,
            str(error).split("\n")[0],
            "install the C library's headers (`apt install libc6-dev`)",
        )
    return Finding("compiler", True, native.compiler_version())


def _threads() -> Finding:
    import torch

    threads, cores = (
        torch.get_num_threads(),
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
    )
    advice = "" if threads == cores else f"set OMP_NUM_THREADS={cores} to use every core"
    return Finding("threads", threads == cores, f"{threads} for {cores} cores", advice)


def _gpu() -> Finding:
    import torch

    if torch.cuda.is_available():
        return Finding("gpu", True, torch.cuda.get_device_name(0))
    return Finding("gpu", True, "none: training runs on the CPU")


def _data_root() -> Finding:
    root = os.environ.get("RHEOBASE_DATA")
    if root is None:
        return Finding(
            "data root",
            True,
            "RHEOBASE_DATA is not set",
            "only needed for data sets that are not generated, such as nmnist",
        )
    if not Path(root).is_dir():
        return Finding(
            "data root",
            False,
            f"RHEOBASE_DATA={root} is no folder",
            "point it at the folder that holds your data sets",
        )
    return Finding("data root", True, root)


def _cache() -> Finding:
    try:
        folder = cache_folder()
        probe = folder / ".probe"
        probe.write_text("")
        probe.unlink()
    except OSError as error:
        return Finding("cache", False, str(error), "set RHEOBASE_CACHE to a folder that can be written")
    return Finding("cache", True, str(folder))


EXTRAS = {
    "tensorboard": ("tensorboard", "live curves"),
    "ray": ("ray", "sweeps on a cluster"),
    "h5py": ("hdf5", "recordings in HDF5"),
    "aedat": ("aedat4", "recordings in AEDAT 4"),
    "soundfile": ("audio", "FLAC"),
    "nir": ("nir", "export to NIR"),
    "onnxruntime": ("onnx", "export to ONNX"),
}


def _extras() -> list[Finding]:
    return [
        Finding(module, True, "installed")
        if importlib.util.find_spec(module)
        else Finding(module, True, "not installed", f"for {use}: pip install 'rheobase[{extra}]'")
        for module, (extra, use) in EXTRAS.items()
    ]


def _targets() -> Finding:
    reasons = {name: reason for name, target in TARGETS.items() if (reason := missing(target))}
    ready = [name for name in TARGETS if name not in reasons]
    found = f"emulated here: {', '.join(ready)}" if ready else "no cross compiler and emulator"
    return Finding("targets", True, found, next(iter(reasons.values()), ""))
