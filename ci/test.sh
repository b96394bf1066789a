#!/bin/sh
# The Python suite against the built extension, in two parts: what computes, and what mostly waits for other processes.
# Arguments go to pytest, which then runs once, one test after the other.
set -eu
cd "$(dirname "$0")/.."
python=${VENV:-.venv}/bin/python
[ "$#" -eq 0 ] || exec "$python" -m pytest "$@"

workers=${SIPFLOW_TEST_WORKERS:-2}

# They kill servers at exact instants, fill disks, wait for an idle processor, or look at a page while it moves:
# nothing that computes runs beside them, and they leave processors idle, so one more of them runs at a time.
soak=$(ls tests/soak/test_*.py | grep -v test_week) # sixty days on paper only compute
waiting="$soak tests/server tests/browser"
computing=
# shellcheck disable=SC2086
for path in $waiting; do
    computing="$computing --ignore=$path"
done
status=0
# shellcheck disable=SC2086 # lists are words
"$python" -m pytest -n "$workers" --dist loadfile $computing || status=$?
# shellcheck disable=SC2086
"$python" -m pytest -n "$((workers + 1))" --dist loadfile $waiting || status=$?
exit "$status"
