#!/bin/sh
# Runs every tests/fuzz/fuzz_*.c under AddressSanitizer and UBSan for FUZZ_SECONDS each (default 15), beginning
# with tests/fuzz/seeds/NAME/*: libFuzzer where clang has it, else tests/fuzz/driver.c with gcc.
# CC=gcc or CC=clang picks one; arguments pick targets (packet sip ...). A crash leaves its input in
# build/fuzz/NAME/ and ends the run with status 1.
set -eu
cd "$(dirname "$0")/.."
seconds=${FUZZ_SECONDS:-15}
fast=src/sipflow/_fast
build=build/fuzz
mkdir -p "$build"
flags="-std=gnu11 -O1 -g -Wall -Wextra -Wshadow -Werror -fno-strict-aliasing -fno-omit-frame-pointer
       -fno-sanitize-recover=all -I$fast"

cc=${CC:-}
if [ -z "$cc" ]; then
    cc=gcc
    probe='int LLVMFuzzerTestOneInput(const unsigned char *p, unsigned long n) { return p == 0 && n > 1; }'
    if echo "$probe" | clang -x c -fsanitize=fuzzer,address - -o "$build/probe" 2>/dev/null; then
        cc=clang
    fi
fi
sanitizers=address,undefined
[ "$cc" = clang ] && sanitizers=fuzzer,$sanitizers

# The core is compiled once for all targets; only a target itself brings libFuzzer's main.
object_sanitizers=$sanitizers
[ "$cc" = clang ] && object_sanitizers=fuzzer-no-link,address,undefined
objects=$build/$cc-objects
mkdir -p "$objects"
core=
for source in "$fast"/*.c; do
    [ "$source" = "$fast/_core.c" ] && continue
    object=$objects/$(basename "$source" .c).o
    # shellcheck disable=SC2086 # flags are words
    "$cc" $flags -fsanitize="$object_sanitizers" -c "$source" -o "$object"
    core="$core $object"
done

status=0
for source in tests/fuzz/fuzz_*.c; do
    name=$(basename "$source" .c)
    name=${name#fuzz_}
    case " ${*:-$name} " in *" $name "*) ;; *) continue ;; esac
    work=$build/$name
    seeds=tests/fuzz/seeds/$name
    mkdir -p "$work/corpus"
    [ -d "$seeds" ] || { seeds=$work/no-seeds; mkdir -p "$seeds"; : >"$seeds/empty"; }
    echo "fuzz $name: $cc, $seconds s"
    # shellcheck disable=SC2086 # flags and sources are words
    if [ "$cc" = clang ]; then
        clang $flags -fsanitize="$sanitizers" "$source" $core -pthread -lm -lsqlite3 -lzstd -lz -o "$work/target"
        "$work/target" -max_total_time="$seconds" -max_len=8192 -timeout=10 -artifact_prefix="$work/" \
            "$work/corpus" "$seeds" >"$work/log" 2>&1 || { status=1; tail -n 60 "$work/log" >&2; }
        grep '^Done' "$work/log" || true
    else
        "$cc" $flags -fsanitize="$sanitizers" "$source" tests/fuzz/driver.c $core -pthread -lm -lsqlite3 -lzstd -lz -o "$work/target"
        "$work/target" "$seconds" "$work/input" "$seeds"/* || status=1
    fi
    [ "$status" -eq 0 ] || { echo "fuzz $name: failed, input in $work/" >&2; exit 1; }
done
