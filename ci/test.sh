#!/bin/sh
# The Python suite against the built extension. Arguments go to pytest.
set -eu
cd "$(dirname "$0")/.."
python=${VENV:-.venv}/bin/python
exec "$python" -m pytest "$@"
