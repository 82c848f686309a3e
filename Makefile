# `make` alone lists the targets. Nothing is needed but git, make and Python 3.11+.
PYTHON ?= python3
PRESET ?= laptop
VENV := .venv
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export VIRTUAL_ENV := $(CURDIR)/$(VENV)
UV := $(VENV)/bin/uv
# Without compiled modules on disk every stage would compile torch and the rest anew: seconds each.
unexport PYTHONDONTWRITEBYTECODE
# Side by side with half of the processors each, two trainings do half as much again as one after the other with all of
# them: the layers are too small to be shared well. LANES=1 if memory, or a GPU, is too small for two.
LANES ?= 2
SHARE := $(shell $(PYTHON) -c 'import os; print(max(1, (os.cpu_count() or 1) // $(LANES)))')
LANE := OMP_NUM_THREADS=$(SHARE) dvc --wait-for-lock repro --quiet --single-item

.DEFAULT_GOAL := help
.PHONY: help setup repro repro-synthetic repro-real repro-both repro-rungs comparisons compare-networks compare-translators preset test check format bench lock clean

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

# What `dvc repro` does as well, one stage after the other. Stages of a line stand in the order of their needs, and a line
# needs nothing of the one beside it. Lines are balanced by time: the cohort and its pictures, from which nobody learns,
# wait for the second pair.
repro: setup  ## rebuild datasets, models and tables (dvc repro, in two lanes)
	@$(MAKE) --no-print-directory --jobs $(LANES) repro-synthetic repro-real
	@$(MAKE) --no-print-directory --jobs $(LANES) repro-both repro-rungs
	dvc repro --quiet --single-item evaluate report
	@echo "done: the whole story in results/report.html, the ladder in results/ladder.csv, headlines in results/summary.json"

# Memory once freed is kept, in large pages: asking the system for it again and again took a tenth of the time.
repro comparisons: export GLIBC_TUNABLES := glibc.malloc.hugetlb=1
repro comparisons: export MALLOC_MMAP_MAX_ := 0
repro comparisons: export MALLOC_TRIM_THRESHOLD_ := 8589934592
repro comparisons: export MALLOC_TOP_PAD_ := 268435456
repro comparisons: export MALLOC_ARENA_MAX := 1

repro-synthetic:
	$(LANE) spines cases pretrain

repro-real:
	$(LANE) simulate calibrate pair rehearse sessions train_translator translate

repro-both:
	$(LANE) --glob 'finetune@both*' origin sample phantom cohort render study

repro-rungs:
	$(LANE) --glob 'finetune@[!b]*'

# The last stage times a reconstruction, so nothing runs beside it.
comparisons: repro  ## counterparts and rival translators as well
	@$(MAKE) --no-print-directory --jobs $(LANES) compare-networks compare-translators
	cd comparisons && dvc repro --quiet --single-item reconstruction
	@echo "done: results/reconstruction/summary.json and results/translation/summary.json"

compare-networks:
	cd comparisons && $(LANE) counterpart anatomy

compare-translators:
	cd comparisons && $(LANE) rival contest translation

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
