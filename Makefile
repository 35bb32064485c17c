# Everything a developer runs. Needs Python 3.11 and make; `make setup` fetches the rest into .venv.

PYTHON ?= $(shell for python in python3.11 python3 python; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null && echo "$$python" && break; done)
BIN := .venv/bin
SETUP := .venv/.setup
CODE := vas gateway services

.PHONY: help setup demo postgres test check bench drill lock
.DEFAULT_GOAL := help

help:  ## List the targets
	@sed -nE 's/^([a-z]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

setup: $(SETUP)  ## Make .venv with everything in it

$(SETUP): requirements-dev.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 is needed, and is not on the PATH: make setup PYTHON=/path/to/python3.11" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@if $(BIN)/python -m pip install --quiet uv; then install="$(BIN)/uv pip install --quiet --python $(BIN)/python"; \
	else echo "uv cannot be installed here: pip does the work, more slowly"; install="$(BIN)/python -m pip install --quiet"; fi; \
	set -ex; $$install --require-hashes -r requirements-dev.lock; $$install --no-deps -e .
	@touch $@

demo: $(SETUP)  ## The platform and a simulated SMSC with phones, on this machine
	$(BIN)/vas demo

postgres: $(SETUP)  ## A PostgreSQL to try several nodes on, until Ctrl-C
	@$(BIN)/python -m tests.postgres

test: $(SETUP)  ## All tests
	$(BIN)/pytest -q -n auto

check: $(SETUP)  ## Format, lint, types, and who may import what
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy $(CODE)
	$(BIN)/pytest -q tests/test_imports.py

bench: $(SETUP)  ## How many commands a second, and how fast each
	$(BIN)/python -m bench

drill: $(SETUP)  ## Kill the platform under load, and count what was lost or done twice
	$(BIN)/python -m bench.drill

# Keeps what is locked; to take newer versions, delete the two files first.
LOCK := uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --all-extras \
	--custom-compile-command "make lock" pyproject.toml

lock: $(SETUP)  ## Lock the dependencies of pyproject.toml
	$(BIN)/$(LOCK) -o requirements.lock
	$(BIN)/$(LOCK) --group dev -o requirements-dev.lock
