# Every target makes its environment by itself. The first run downloads the locked packages, later ones start at once.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help demo test test-thorough e2e scenarios check format docs lock score bench fuzz clean

help:             ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1 — /p' $(MAKEFILE_LIST)

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Drover needs Python 3.11 or newer; name one with: make PYTHON=python3.12 …" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
	  || { echo "python3 has no venv module here. On Debian: apt-get install python3-venv" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(STAMP)

demo: $(STAMP)    ## a simulated fleet, a simulated GitHub, the real service: the whole road (stop with Ctrl-C)
	$(BIN)/drover demo

test: $(STAMP)    ## all tests
	$(BIN)/python -m pytest -n 2 --dist worksteal -q -m "not thorough"

test-thorough: $(STAMP) ## what takes long: a kill at every step, take-over, a fleet over a day, random lives
	$(BIN)/python -m pytest -n 2 --dist worksteal -q -m thorough

e2e: $(STAMP)     ## the same assertions on real servers: etcd, kube-apiserver, KWOK (needs Go; builds them once, about 14 min)
	@$(BIN)/python tests/e2e/build.py; case $$? in \
	0) DROVER_E2E=1 $(BIN)/python -m pytest tests/e2e -q -n 2 --dist loadfile -m "not thorough";; 3) ;; *) exit 1;; esac

scenarios: $(STAMP) ## every trouble, its cure and what goes wrong with it, through the whole service; writes the tables (20 min)
	$(BIN)/python -m tests.scenarios.table --workers 2

check: $(STAMP)   ## format, lint, strict types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python docs/generate.py --check

format: $(STAMP)  ## put the code into its format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

SCORE := $(BIN)/drover signatures score --min-top1 0.95 --max-false-alarms 0.02

score: $(STAMP)   ## how well the catalogue names causes, over labelled cases; fails below 95% or above 2% false alarms
	$(SCORE) tests/cases
	@if [ -d ../shared/data/cases ]; then $(SCORE) ../shared/data/cases; \
	else echo "No further labelled cases beside this checkout: only the project's own were scored."; fi

bench: $(STAMP)   ## speed and memory: the scan of logs (BENCH=--large for 1 GB), a sweep over 500 simulated clusters
	$(BIN)/python -m tests.bench.scan $(BENCH)
	$(BIN)/python -m tests.bench.sweep

FUZZER := $(VENV)/.fuzzer

$(FUZZER): requirements-fuzz.lock $(STAMP)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: \
	  -r requirements-fuzz.lock || echo "atheris does not install here: hypothesis alone looks for failures"
	@touch $(FUZZER)

fuzz: $(FUZZER)   ## every parser of foreign bytes for FUZZ_SECONDS each (600): crashes, hangs, memory, linear time
	$(BIN)/python -m tests.fuzz.run

docs: $(STAMP)    ## renew what in the documentation follows from the code
	$(BIN)/python docs/generate.py

LOCK := $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-emit-find-links --no-header --quiet

lock: $(STAMP)    ## renew the lock files, with hashes and without index addresses
	$(LOCK) pyproject.toml --upgrade --group dev -o requirements.lock
	$(LOCK) pyproject.toml --constraints requirements.lock -o requirements-runtime.lock
	$(LOCK) --upgrade --group fuzz -o requirements-fuzz.lock

clean:            ## remove the environment and all caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .fuzz
