# The way in. `make demo` sets everything up and closes a few months; `make ui` then shows them.
# LEDGER_DATABASE_URL, LEDGER_HOME and the other settings are described in ledger_assets/settings.py.

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
WORKERS ?= 2
PORT ?= 3000
FUZZ_TIMES ?= 20
SEED ?= 1
FAULTS ?= 0
MINUTES ?= 0
ONLY ?=

# The first interpreter that is new enough; a name that exists may still lead nowhere, so each is asked.
PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$name && break; done)

.PHONY: help install demo ui test fuzz torture lint types down clean

help:
	@echo "make install   the environment, in $(VENV), with the pinned dependencies and the command ledger-assets"
	@echo "make demo      set up, generate months of which one is faulty, close them through Dagster"
	@echo "make ui        open Dagster's UI on what the demo made (PORT=3001 for another port)"
	@echo "make test      all tests, each against a real PostgreSQL"
	@echo "make fuzz      the tests of bad input with twenty times their examples (FUZZ_TIMES=100 for more)"
	@echo "make torture   every fault that we know of, at every place (FAULTS=20: 20 of each kind; also SEED= MINUTES= ONLY=)"
	@echo "make lint types   ruff and mypy"
	@echo "make down      stop the embedded server; its data stays"
	@echo "make clean     remove the environment and the caches; the ledger in .ledger stays"

install: $(INSTALLED)

# An environment without a working pip is one whose making was cut short or whose Python is gone: make it anew.
$(INSTALLED): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: install it, or say make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@echo "installing the pinned dependencies into $(VENV), which takes a minute the first time"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: install
	@$(BIN)/ledger-assets demo

ui: install
	@$(BIN)/ledger-assets ui --port $(PORT)

test: install
	@$(BIN)/pytest -n $(WORKERS) --dist worksteal

fuzz: install
	@FUZZ_TIMES=$(FUZZ_TIMES) $(BIN)/pytest -n $(WORKERS) ledger_assets_tests/fuzzing

# MINUTES= is for each of the four servers that it needs, one after the other.
torture: install
	@$(BIN)/python -m ledger_assets_tests.torture --seed $(SEED) --faults $(FAULTS) --minutes $(MINUTES) $(if $(ONLY),--only '$(ONLY)')

lint: install
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/lint-imports --no-logo --no-cache

types: install
	@$(BIN)/mypy

down:
	@test ! -x $(BIN)/ledger-assets || $(BIN)/ledger-assets down

# A server that cannot be asked to stop, because the environment is broken, must not stand in the way.
clean:
	-@$(MAKE) --no-print-directory down
	rm -rf $(VENV) *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .tmp_dagster_home_*
	find ledger_assets ledger_assets_tests sql -name __pycache__ -type d -prune -exec rm -rf {} +
