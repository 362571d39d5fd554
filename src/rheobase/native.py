"""C compiled on first use with the host's `cc`, cached by source, flags and compiler."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from rheobase.errors import RheobaseError
from rheobase.files import cache_folder


class CompilerError(RheobaseError):
    """There is no C compiler, or it refused the source."""


@cache
def compiler() -> str | None:
    """Path of the host's C compiler (`$CC`, else `cc`, `gcc`, `clang`), or None."""
    for name in (os.environ.get("CC"), "cc", "gcc", "clang"):
        if name and (path := shutil.which(name)):
            return path
    return None


@cache
def compiler_version() -> str:
    """First line of `cc --version`; it is part of the cache key."""
    path = compiler()
    if path is None:
        return "none"
    return subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout.split(
        "\n"
    )[0]


@cache
def machine() -> str:
    """What `-march=native` would mean here: processor flags, so that a shared cache never serves foreign code."""
    try:
        lines = Path("/proc/cpuinfo").read_text().split("\n")
    except OSError:
        return "unknown"
    return next((line for line in lines if line.startswith(("flags", "Features"))), "unknown")


def compile_shared(
    sources: Sequence[Path], flags: Sequence[str], name: str, libraries: Sequence[str] = ()
) -> Path:
    """Compile C `sources` to a shared library and return its path; a library made before is reused.

    The cache key is the sources' bytes (with every `.h` beside them), flags, compiler version and processor. The library is
    written under a temporary name and renamed, so processes that compile at the same time do not harm each other.

    Raises:
        CompilerError: no compiler was found, or it failed; the message carries its first error lines.
    """
    cc = compiler()
    if cc is None:
        raise CompilerError(
            "no C compiler found (looked for $CC, cc, gcc, clang); install one, e.g. `apt install gcc libc6-dev`"
        )
    digest = hashlib.sha256("\0".join([cc, compiler_version(), machine(), *flags, *libraries]).encode())
    headers = sorted({header for source in sources for header in source.parent.glob("*.h")})
    for path in [*sources, *headers]:
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    library = cache_folder("native") / f"{name}-{digest.hexdigest()[:20]}.so"
    if library.exists():
        return library
    with tempfile.TemporaryDirectory(dir=library.parent) as folder:
        part = Path(folder) / "out.so"
        command = [cc, "-shared", "-fPIC", *flags, *map(str, sources), "-o", str(part), *libraries]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            lines = "\n".join(done.stderr.strip().split("\n")[:12])
            raise CompilerError(
                f"{Path(cc).name} could not compile {', '.join(p.name for p in sources)}:\n{lines}"
            )
        os.replace(part, library)
    return library
