# With nothing but make and Python >= 3.11, every target sets itself up.
#
#   make demo PYTHON=python3.12       another Python
#   make test AIOHTTP=3.12.15         another aiohttp than the pinned one
#   make test PINS=requirements/oldest.txt     the oldest of all that it needs
#   make test WHEEL=dist/x.whl        a built wheel instead of the working tree
#   make test ARGS="-k lease -x"      arguments for pytest
#
# A virtual environment holds one combination; give the others a VENV of their own.

VENV ?= .venv
AIOHTTP ?=
PINS ?=
WHEEL ?=
ARGS ?=

# Python's own name, then newest first: the first that runs and is >= 3.11.
CANDIDATES = python3 python3.14 python3.13 python3.12 python3.11
ifndef PYTHON
PYTHON := $(shell for python in $(CANDIDATES); do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	2>/dev/null && echo "$$python" && break; done)
endif

BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip --disable-pip-version-check -qq
READY = $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help demo test mutants fuzz lint format types imports docs bench
.PHONY: chaos chaos-short audit requirements clean

help:
	@echo "make demo | test | mutants | fuzz | lint | format | types | imports"
	@echo "     docs | chaos | chaos-short | bench | audit | requirements | clean"

# Installing the package last and without dependencies keeps the pinned ones.
$(READY): requirements/dev.txt pyproject.toml $(PINS) $(WHEEL)
	@test -n "$(PYTHON)" || { echo "Python >= 3.11 is needed: make PYTHON=..." >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(PIP) install -r requirements/dev.txt
ifneq ($(AIOHTTP),)
	$(PIP) install "aiohttp==$(AIOHTTP)"
endif
ifneq ($(PINS),)
	$(PIP) install -r "$(PINS)"
endif
ifneq ($(WHEEL),)
	$(PIP) install --no-deps "$(WHEEL)"
else
	$(PIP) install --no-deps --no-build-isolation --editable .
endif
	@touch $@

demo: $(READY)
	$(BIN)/everbearer demo $(ARGS)

test: $(READY)
	$(BIN)/python -m pytest $(ARGS)

# Takes each guard away in a copy of src, and requires that its test goes red.
mutants: $(READY)
	$(BIN)/python tests/failures/mutants.py $(ARGS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(READY)
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python

imports: $(READY)
	$(BIN)/lint-imports

docs: $(READY)
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html

# Ten minutes of it; a seed that found something: make chaos ARGS="--seed 7"
chaos: $(READY)
	$(BIN)/python -m tests.failures.chaos --seconds 600 $(ARGS)

# Of these 33 s 20 are faults; the quiet end is over as soon as all is well.
SHORT = $(BIN)/python -m tests.failures.chaos --seconds 33 --hurry
chaos-short: $(READY)
	$(SHORT) --store sqlite $(ARGS)
	$(SHORT) --store postgres $(ARGS)
	$(SHORT) --store redis $(ARGS)

bench: $(READY)
	$(BIN)/python benchmarks $(ARGS)

fuzz: $(READY)
	$(BIN)/python fuzz $(ARGS)

# Known vulnerabilities of the pinned versions.  It asks a service beside the package
# index, so it is no part of the gate: there may be no way to it.
audit:
	$(PYTHON) -m venv --clear $(VENV)-audit
	$(VENV)-audit/bin/python -m pip --disable-pip-version-check -qq install pip-audit
	@$(VENV)-audit/bin/pip-audit --version
	@$(VENV)-audit/bin/pip-audit --progress-spinner off --strict --no-deps \
		--disable-pip --requirement requirements/dev.txt || { \
		echo "make audit: vulnerable are the versions listed above, if any are;" \
		"else the service did not answer, and NOTHING was checked." >&2; exit 1; }

# Every dependency, for every Python >= 3.11, and the oldest of what the package itself
# needs, for the oldest Python; the files name no index address.
requirements:
	$(PYTHON) -m venv --clear $(VENV)-uv
	$(VENV)-uv/bin/python -m pip --disable-pip-version-check -qq install uv
	for file in dev oldest; do \
		sed -n '/^#/p' requirements/$$file.txt > $(VENV)-uv/$$file.txt; done
	$(VENV)-uv/bin/uv pip compile --universal --python-version 3.11 --upgrade \
		--no-header --no-annotate --no-emit-index-url --quiet \
		--all-extras --group dev pyproject.toml >> $(VENV)-uv/dev.txt
	$(VENV)-uv/bin/uv pip compile --universal --python-version 3.11 --upgrade \
		--no-header --no-annotate --no-emit-index-url --quiet \
		--resolution lowest-direct --extra cli --extra postgres --extra redis \
		pyproject.toml \
		>> $(VENV)-uv/oldest.txt
	mv $(VENV)-uv/dev.txt $(VENV)-uv/oldest.txt requirements
	rm -rf $(VENV)-uv

clean:
	rm -rf .venv .venv-* build dist docs/_build
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
