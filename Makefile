# Two commands do everything on a bare machine with Python 3.11+ and make:
#   make demo   the main job, killed half-way and finished, with its proof
#   make test   the full gate: lint, types, architecture, tests
# All they write lies in this folder: .venv, .cache, .tmp, .demo. Beside them:
#   make test-deployed      automations, cancels and a shared job under real workers (CI runs it too)
#   make test-prefect-3.9   the tests of what differs between Prefect's versions, on 3.9
#   make test-automations   a dead flow run that comes back, with real heartbeats (four minutes)
#   make kill-matrix        every crash point in every way of dying, counted into the docs (minutes)
#   make bench              what a row costs beside what it costs others, into the docs (minutes)

SHELL := /bin/bash
# The first Python of a supported version that really starts.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
  $$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
    2>/dev/null && echo $$python && break; done)
BIN := .venv/bin

export UV_CACHE_DIR := $(CURDIR)/.cache/uv
export PIP_NO_CACHE_DIR := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PREFECT_HOME := $(CURDIR)/.cache/prefect
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export DO_NOT_TRACK := 1
export XDG_RUNTIME_DIR := $(CURDIR)/.tmp
export COVERAGE_FILE := $(CURDIR)/.cache/coverage
export TMPDIR := $(CURDIR)/.tmp
export MYPY_CACHE_DIR := $(CURDIR)/.cache/mypy
export RUFF_CACHE_DIR := $(CURDIR)/.cache/ruff
export PYTHONDONTWRITEBYTECODE :=

# Branch coverage of the durable core must be whole.
COVERED := prefect_responses/decisions/*,prefect_responses/statuses.py,prefect_responses/identity.py,prefect_responses/ledger/*

# What takes minutes with real workers and a Prefect server of its own: CI runs it after the gate.
DEPLOYED := tests/deployed/test_automations.py tests/deployed/test_shared_job.py \
  tests/deployed/test_user_cancels.py

.PHONY: demo test lint types architecture tests test-deployed test-prefect-3.9 test-automations \
  kill-matrix bench lock clean

demo: .venv/installed
	@$(BIN)/python -m flows.demo

test: lint types architecture tests

lint: .venv/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: .venv/installed
	$(BIN)/mypy

architecture: .venv/installed
	$(BIN)/lint-imports --cache-dir .cache/import-linter

tests: .venv/installed
	$(BIN)/python -m pytest -n 2 --dist worksteal --cov --cov-report= $(DEPLOYED:%=--ignore=%)
	@$(BIN)/coverage report --include='$(COVERED)' --show-missing --skip-covered --fail-under=100

# The same code on Prefect 3.9: what is private in Prefect, and one killed flow
# (docs/decisions/0003-prefect-versions.md).
test-prefect-3.9: .venv-prefect-3.9/installed
	.venv-prefect-3.9/bin/python -m pytest -p no:cacheprovider \
	  tests/integration/test_prefect_internals.py tests/chaos/test_one_response.py

.venv-prefect-3.9/installed: .ci/prefect-3.9-overrides.txt pyproject.toml .venv/installed
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv-prefect-3.9
	$(BIN)/uv pip install --quiet --python .venv-prefect-3.9/bin/python \
	  --override .ci/prefect-3.9-overrides.txt --editable . "prefect==3.9.1" \
	  pytest pytest-asyncio pytest-timeout
	@touch $@

.venv/installed: requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed." >&2; exit 1; }
	@mkdir -p .cache .tmp
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet "uv>=0.5"
	$(BIN)/uv pip install --quiet --python $(BIN)/python --requirement requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

# What the gate does pairwise, whole: docs/explanation/what-happens-when.md shows what it counted.
# The same with ledgers on a PostgreSQL: kill_matrix.py --postgresql.
kill-matrix: .venv/installed
	@$(BIN)/python tests/chaos/kill_matrix.py --write

# CPU, requests and memory, ours and others', in one run: docs/explanation/performance.md shows them.
bench: .venv/installed
	@$(BIN)/python tests/benchmarks/bench.py --write

# Deployments under real workers: dead runs come back by themselves, a user cancels, three workers
# share one job.
test-deployed: .venv/installed
	$(BIN)/python -m pytest -n 2 --dist loadfile $(DEPLOYED)

# Heartbeats, suspensions and caps at their real length; the gate has them shortened.
test-automations: .venv/installed
	$(BIN)/python -m pytest -n0 tests/deployed/full_length.py

# Resolve the lock again, for every Python and platform that is supported.
lock:
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --group dev --output-file requirements.lock pyproject.toml

clean:
	rm -rf .venv .venv-prefect-3.9 .cache .tmp .demo
