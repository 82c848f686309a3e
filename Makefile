# `make` alone lists the targets. Nothing is needed but git, make and Python 3.11+.
PYTHON ?= python3
VENV := .venv
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export VIRTUAL_ENV := $(CURDIR)/$(VENV)
UV := $(VENV)/bin/uv

.DEFAULT_GOAL := help
.PHONY: help setup repro test check format bench lock clean

help:  ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 10

setup: $(VENV)/.synced  ## make .venv and install the locked environment into it

$(VENV)/.synced: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "drrkit needs Python 3.11 or newer; found $$($(PYTHON) --version). Use make PYTHON=python3.11"; exit 2; }
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	test -x $(UV) || $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check uv
	$(UV) pip sync --quiet requirements.lock
	$(UV) pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

repro: setup  ## rebuild datasets, models and tables (dvc repro)
	dvc repro --quiet
	@echo "done: data/render, data/pair, models; tables and pictures in results, headlines in results/reconstruction/summary.json and results/translation/summary.json"

test: setup  ## run the tests
	pytest -n auto

check: setup  ## lint, types, floors, docs links
	ruff check .
	ruff format --check .
	mypy
	lint-imports
	python docs/check_links.py

format: setup  ## format the code
	ruff check --fix .
	ruff format .

bench: setup  ## time our renderers beside the installed peers
	$(UV) pip install --quiet 'itk-rtk>=2.6'
	python benchmarks/render.py

lock: setup  ## write requirements.lock anew from pyproject.toml
	$(UV) pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet --output-file requirements.lock

clean:  ## remove made data and caches, not the environment, not results/, not real acquisitions
	rm -rf data/sample data/phantom data/cohort data/render data/simulate/sim-* data/truth/sim-* data/calibrate/sim-* data/pair/sim-* data/spines data/anatomy data/rehearse data/translate models/*/* .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
