# make run    build, start a server on loopback, play sample calls into it, show one
# make test   everything: C tests under sanitizers, fuzzers for some seconds, the Python suite
# make bench  measures everything; BENCH="--quick" for two minutes, BENCH="--only query" for one of them
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin

.PHONY: run build test ctest fuzz-some check fuzz soak bench clean

run: build
	$(BIN)/python -m sipflow.demo

build: $(VENV)/.built

# Editable: the extension is built in place, and the sources run as they stand.
$(VENV)/.built: pyproject.toml setup.py $(wildcard src/sipflow/_fast/*.[ch] src/sipflow/_fast/_core.p*)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

# The C tests and the fuzzers side by side, what each says in one piece.
test: build
	$(MAKE) --no-print-directory -j2 --output-sync=target ctest fuzz-some
	ci/test.sh

ctest:
	ci/ctest.sh

fuzz-some:
	ci/fuzz.sh

check: build
	ci/check.sh

fuzz: build
	FUZZ_SECONDS=$${FUZZ_SECONDS:-120} ci/fuzz.sh

# The long form of tests/soak: hundreds of kills, minutes of load.
soak: build
	ci/test.sh tests/soak --soak-long

bench: build
	$(BIN)/python -m bench $(BENCH)

clean:
	rm -rf $(VENV) build src/*.egg-info src/sipflow/_fast/_core.c src/sipflow/_fast/*.so
