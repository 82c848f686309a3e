# `make` alone lists the targets. Nothing is needed but git, make and Python 3.11+.
PYTHON ?= python3
PRESET ?= laptop
VENV := .venv
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export VIRTUAL_ENV := $(CURDIR)/$(VENV)
UV := $(VENV)/bin/uv
# Without compiled modules on disk every stage would compile torch and the rest anew: seconds each.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup repro comparisons preset test check format bench lock clean

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
	@echo "done: the whole story in results/report.html, the ladder in results/ladder.csv, headlines in results/summary.json"

comparisons: repro  ## counterparts and rival translators as well; an hour more
	dvc repro --quiet comparisons/dvc.yaml
	@echo "done: results/reconstruction/summary.json and results/translation/summary.json"

preset: setup  ## choose sizes: make preset PRESET=laptop, or PRESET=paper for GPUs
	python presets/choose.py $(PRESET)

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
	rm -rf data/sample data/phantom data/cohort data/render data/simulate/sim-* data/truth/sim-* data/calibrate/sim-* data/pair/sim-* data/rehearse data/sessions data/spines data/cases data/anatomy data/translate data/contest data/evaluate data/study data/accounts models/*/* models/origin results/report.html .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
