# make start: set up, install, run the daemon on crontabs/, show the jobs.
# make test:  set up, then format check, lint, types and every test.
# make chaos: daemons killed and starved in every way: ROUNDS of BLOWS, from SEED on, with COPIES of each kind of job; needs
#             root, strace, rsyslog, libfaketime.
# make bench: pycrond beside Debian's cron, busybox's crond and, where CRONIE=/path/to/crond is built, cronie; needs root. Options
#             in BENCH, as BENCH='--quick --only burst'.
# make proof: every change of every zone's clock against independent judges. make fuzz: the parser, 20 minutes.

PYTHON ?= python3
BIN := .venv/bin
SECONDS_OF_FUZZ ?= 1200
ROUNDS ?= 10
SEED ?= 1
BLOWS ?= 60
COPIES ?= 3

.PHONY: start stop test quick bench chaos proof fuzz fmt clean

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
	$(BIN)/python -m compileall -q pycrond  # as an installed package is
	$(BIN)/python benchmarks/run.py $(if $(CRONIE),--cronie $(CRONIE)) $(BENCH)

chaos: .venv/installed-dev
	$(BIN)/python -m tests.chaos.run $(ROUNDS) $(SEED) $(BLOWS) --copies $(COPIES)

proof: .venv/installed-dev
	$(BIN)/python -m tests.proof.run

fuzz: .venv/installed-dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check atheris
	$(BIN)/python -m tests.fuzz.atheris_crontab -max_total_time=$(SECONDS_OF_FUZZ) -print_final_stats=1

fmt: .venv/installed-dev
	$(BIN)/ruff check --fix --exit-zero
	$(BIN)/ruff format

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis dist
