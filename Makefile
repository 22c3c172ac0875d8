# make start: set up, install, run the daemon on crontabs/, show the jobs.
# make test:  set up, then format check, lint, types and every test.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: start stop test quick bench fmt clean

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

.venv/installed-dev: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

start: .venv/installed
	@$(BIN)/pycrond status >/dev/null 2>&1 || $(BIN)/pycrond start --crontabs crontabs
	@$(BIN)/pycrond list

stop: .venv/installed
	@$(BIN)/pycrond stop

test: .venv/installed-dev
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/pytest -n 2 --dist worksteal

quick: .venv/installed-dev
	$(BIN)/pytest -q -m "not daemon and not process"

bench: .venv/installed-dev
	$(BIN)/python benchmarks/run.py

fmt: .venv/installed-dev
	$(BIN)/ruff check --fix --exit-zero
	$(BIN)/ruff format

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis dist
