#!/bin/sh
# Style and types: what a reviewer should not have to look for.
set -eu
cd "$(dirname "$0")/.."
bin=${VENV:-.venv}/bin
"$bin/ruff" format --check src tests bench
"$bin/ruff" check src tests bench
"$bin/mypy"
if command -v clang-format >/dev/null; then
    find src tests bench -name '*.[ch]' ! -name _core.c -print0 | xargs -0 clang-format --dry-run --Werror
elif [ "${CI:-}" = true ]; then
    echo "check: clang-format is missing" >&2
    exit 1
else
    echo "check: SKIPPED C formatting: clang-format is not installed"
fi
