"""Builds the one extension: plain C files plus one Cython file of glue."""

import os
import sys
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

FAST = Path("src/sipflow/_fast")
SOURCES = [str(FAST / "_core.pyx"), *sorted(str(path) for path in FAST.glob("*.c") if path.name != "_core.c")]

compile_args = ["-std=gnu11", "-O3", "-fno-strict-aliasing", "-Wall", "-Wextra", "-Wno-unused-function"]
link_args = ["-pthread"]
if os.environ.get("SIPFLOW_WERROR"):
    compile_args += ["-Werror"]
if os.environ.get("SIPFLOW_SANITIZE"):
    compile_args += ["-O1", "-g", "-fsanitize=address,undefined", "-fno-omit-frame-pointer"]
    link_args += ["-fsanitize=address,undefined"]
if sys.platform != "linux":
    sys.exit("sipflow needs Linux: it receives with recvmmsg and keeps its pool in shared memory.")

extension = Extension(
    "sipflow._fast._core",
    sources=SOURCES,
    depends=[str(path) for pattern in ("*.h", "*.pxd") for path in FAST.glob(pattern)],
    include_dirs=[str(FAST)],
    extra_compile_args=compile_args,
    extra_link_args=link_args,
)

setup(ext_modules=cythonize([extension], language_level=3, compiler_directives={"embedsignature": False}))
