#!/bin/sh
# Compiles the C core and every tests/c/test_*.c under AddressSanitizer and UBSan and runs them,
# with gcc and, where it is installed, clang. CC=... picks one compiler; arguments pick tests by name.
set -eu
cd "$(dirname "$0")/.."
fast=src/sipflow/_fast
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
flags="-std=gnu11 -O1 -g -Wall -Wextra -Wshadow -Werror -fno-strict-aliasing -fno-omit-frame-pointer
       -fsanitize=address,undefined -fno-sanitize-recover=all -I$fast -Itests/c"

compilers=${CC:-}
if [ -z "$compilers" ]; then
    for cc in gcc clang; do
        command -v "$cc" >/dev/null && compilers="$compilers $cc"
    done
fi
[ -n "$compilers" ] || { echo "ctest: neither gcc nor clang is installed" >&2; exit 1; }

for cc in $compilers; do
    objects=
    for source in "$fast"/*.c; do
        [ "$source" = "$fast/_core.c" ] && continue
        object=$build/$cc-$(basename "$source" .c).o
        # shellcheck disable=SC2086 # flags are words
        "$cc" $flags -c "$source" -o "$object"
        objects="$objects $object"
    done
    for source in tests/c/test_*.c; do
        name=$(basename "$source" .c)
        case " ${*:-$name} " in *" $name "*) ;; *) continue ;; esac
        # shellcheck disable=SC2086
        "$cc" $flags "$source" $objects -pthread -lm -lsqlite3 -lzstd -lz -o "$build/$cc-$name"
        printf '%s: ' "$cc"
        "$build/$cc-$name"
    done
done
