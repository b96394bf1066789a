"""Builds the one extension: plain C files plus one Cython file of glue."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

FAST = Path("src/sipflow/_fast")
SOURCES = [str(FAST / "_core.pyx"), *sorted(str(path) for path in FAST.glob("*.c") if path.name != "_core.c")]

compile_args = ["-std=gnu11", "-O3", "-fno-strict-aliasing", "-Wall", "-Wextra", "-Wno-unused-function"]
link_args = ["-pthread"]
libraries = ["sqlite3", "zstd", "z", "m"]
if os.environ.get("SIPFLOW_WERROR"):
    compile_args += ["-Werror"]
if os.environ.get("SIPFLOW_SANITIZE"):
    compile_args += ["-O1", "-g", "-fsanitize=address,undefined", "-fno-omit-frame-pointer"]
    link_args += ["-fsanitize=address,undefined"]


def has_header(name: str) -> bool:
    """Ask the compiler whether it finds a header."""
    compiler = shlex.split(os.environ.get("CC", "cc")) + shlex.split(os.environ.get("CPPFLAGS", ""))
    probe = [*compiler, "-E", "-x", "c", "-o", os.devnull, "-"]
    return subprocess.run(probe, input=f"#include <{name}>\n", text=True, capture_output=True).returncode == 0


if sys.platform != "linux":
    sys.exit("sipflow needs Linux: it receives with recvmmsg and keeps its pool in shared memory.")

_missing = [name for name in ("sqlite3.h", "zstd.h", "zlib.h") if not has_header(name)]
if _missing:
    sys.exit(
        f"sipflow is built against SQLite, zstd and zlib; not found: {', '.join(_missing)}. "
        "Debian, Ubuntu: apt-get install libsqlite3-dev libzstd-dev zlib1g-dev; "
        "Fedora: dnf install sqlite-devel libzstd-devel zlib-devel"
    )

extension = Extension(
    "sipflow._fast._core",
    sources=SOURCES,
    depends=[str(path) for pattern in ("*.h", "*.pxd") for path in FAST.glob(pattern)],
    include_dirs=[str(FAST)],
    libraries=libraries,
    extra_compile_args=compile_args,
    extra_link_args=link_args,
)

setup(ext_modules=cythonize([extension], language_level=3, compiler_directives={"embedsignature": False}))
