# Everything runs in .venv, made from requirements.lock. `make` alone lists what there is.

.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
unexport PYTHONDONTWRITEBYTECODE

PYTHON ?= python3
WORKERS ?= 4
BIN := .venv/bin
UV := $(BIN)/uv

.PHONY: help demo test check fmt bench docs prove lock peers

help: ## list these
	@awk -F ':.*## ' '/^[a-z.]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: .venv/ready ## the main job on real files over real protocols, on this machine alone
	$(BIN)/transload demo

# A folder of its own: pytest's shared one is cleaned up at the end, and what another run left there can fail that.
test: check peers ## everything that is checked, and every test but the long programmes
	@folder=$$(mktemp -d); echo "pytest, in $$folder"; \
	$(BIN)/pytest -n $(WORKERS) --dist loadgroup --basetemp "$$folder/t" && rm -rf "$$folder"

check: .venv/ready ## ruff, mypy --strict, and the floors of ARCHITECTURE.md
	@fault=0; \
	for tool in 'ruff check' 'ruff format --check --quiet' mypy 'lint-imports --no-logo'; do \
	  echo "$$tool"; $(BIN)/$$tool || fault=1; \
	done; \
	exit $$fault

fmt: .venv/ready ## format, and mend what ruff can mend
	$(BIN)/ruff check --fix --exit-zero
	$(BIN)/ruff format

bench: .venv/ready peers ## the same work done by us and by others, as ratios
	$(BIN)/python -m bench

docs: .venv/ready ## what is generated: references, figures, the picture of a run
	$(BIN)/python docs/generate.py

prove: .venv/ready peers ## the long programmes: thousands of kills, soaks, outages
	$(BIN)/pytest -m prove

lock: .venv/ready ## requirements.lock again from pyproject.toml; with UPGRADE=1 the newest of all
	$(UV) pip compile --quiet pyproject.toml --group dev --universal --generate-hashes --no-header --no-annotate \
	  $(if $(UPGRADE),--upgrade) --output-file requirements.lock >/dev/null
	@if grep -nE '://|^-' requirements.lock; then echo 'requirements.lock names a host: see above'; exit 1; fi

peers:
	@if [ -f tests/peers/install.sh ]; then bash tests/peers/install.sh; fi

# uv where it can be had (seconds), else pip (a minute); pip's own settings (index, find-links, certificates) hold for pip.
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check
.venv/ready: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "wants CPython 3.11 or newer: make PYTHON=python3.12 ...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }
	@test -x $(UV) || $(PIP) uv || echo 'no uv here: pip takes its place'
	@echo 'installing what requirements.lock names into .venv'
	@{ test -x $(UV) && $(UV) pip install --quiet --python $(BIN)/python -r requirements.lock; } || $(PIP) -r requirements.lock
	@{ test -x $(UV) && $(UV) pip install --quiet --python $(BIN)/python --no-deps -e .; } || $(PIP) --no-deps -e .
	@touch $@
