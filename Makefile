# Two commands do everything on a fresh machine with Python 3.11, git, make and g++:
#   make run    set-up, then the whole chain on the embedded demo corpus
#   make test   set-up, then the tests
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
STAMP := .venv/.installed
export OMP_NUM_THREADS ?= 1
# Each stage is a process: compiled modules halve what its imports cost.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup run test test-slow test-gpu test-services lint types bench validate-infra clean

help:
	@grep -E '^#   make' Makefile | sed 's/^# *//'

# torch first, by pip (it sees find-links folders that uv does not); then the rest of the lock as it stands.
$(STAMP): requirements.lock pyproject.toml
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
	  { echo "error: Python 3.11 is needed, $(PYTHON) is another; set PYTHON=/path/to/python3.11"; exit 2; }
	@echo "set-up: creating .venv and installing the lock"
	@test -x $(BIN)/python || "$(PYTHON)" -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $$(grep -E '^(uv|torch)==' requirements.lock)
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps -r requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

setup: $(STAMP)

run: $(STAMP)
	@$(BIN)/syncdreamer run

# Files side by side in two processes, the longest folder first; TEST_WORKERS=0 runs them one by one.
TEST_WORKERS ?= 2
test: $(STAMP)
	@command -v chromium > /dev/null || command -v chromium-browser > /dev/null || \
	  echo "note: no Chromium here; the tests of the pages in a browser are skipped"
	@$(BIN)/python -m pytest -m "not slow and not gpu" -n $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder

test-slow: $(STAMP)
	@$(BIN)/python -m pytest -m slow

test-gpu: $(STAMP)
	@$(BIN)/python -m pytest -m gpu

# Flow, registry and promotion against Prefect and MLflow on PostgreSQL, with files on S3; a minute.
test-services: $(STAMP)
	@$(BIN)/python -m pytest -m slow -rs tests/end_to_end/test_servers.py

lint: types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(STAMP)
	$(BIN)/mypy

bench: $(STAMP)
	@$(BIN)/python -m pytest tests/benchmarks -s --override-ini=addopts= -q

validate-infra: $(STAMP)
	@$(BIN)/python infra/validate.py

clean:
	rm -rf artifacts state .venv
