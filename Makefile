# make setup       builds .venv from pyproject.toml and constraints.txt
# make quickstart  trains and compares four arms on the built-in corpus (minutes on two cores)
# make test        lint, types, unit and cluster tests
# make ui          opens the MLflow UI on the quickstart's runs
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup quickstart test lint unit cluster ui docs clean

setup: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --disable-pip-version-check --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

quickstart: setup
	$(BIN)/python -m ray_jobs.study --recipe quickstart

test: setup lint unit cluster

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

unit: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile tests/unit tests/repo

cluster: setup
	$(BIN)/python -m pytest tests/cluster

ui: setup
	$(BIN)/python -m ray_jobs.ui --recipe quickstart

docs: setup
	$(BIN)/python -m ray_jobs.reference > docs/config.md

clean:
	rm -rf .venv runs
