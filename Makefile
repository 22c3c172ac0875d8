# make start: set up, install, start the daemon on crontabs/, list the jobs. make stop: stop it.
# make test:  set up, then check the format, lint, check the types and the sizes, and run every test.
# make quick: run the pure tests alone (neither daemons nor jobs are started), in less than a minute.
# make schemas: write the JSON Schemas of the documents of --json into docs/schemas.
# make sizes: print the sizes of the package, its modules and functions; fail where one is beyond its limit.
# make fmt:   format the code, and repair what ruff can repair.
# make chaos: kill and starve daemons in every way: ROUNDS of FAULTS, from SEED on, with COPIES of each kind of job;
#             needs root, strace, rsyslog and libfaketime.
# make chaos-cluster: attack a cluster of five daemons and two PostgreSQL servers in real time. CLUSTER has the
#             options, as in CLUSTER='--minutes 20 --jobs 2500 --seed 7'; needs PostgreSQL.
# make days:  let HOURS pass on a simulated server with thirty jobs of four users, in which clocks are turned, users
#             come and go, disks fill and daemons die, from SEED; needs root, rsyslog and libfaketime.
# make month: let DAYS pass on a server with chatty jobs and 20 MB of disk; needs root and libfaketime.
# make bench: measure pycrond beside Debian's cron, busybox's crond and, with CRONIE=/path/to/crond, cronie; needs root.
#             BENCH has the options, as in BENCH='--quick --only burst'.
# make bench-cluster: measure what one PostgreSQL carries for a cluster; needs root or the user postgres.
# make attack: let an ordinary user attack a daemon in every way, each for a minute or more, and judge how fair it
#             remains to other users; needs root.
# make proof: compare the fire times at every clock change of every time zone with independent implementations.
# make deb:   build a Debian package in dist/ that takes the place of cron (the network is needed to build it only).
# make vm:    build a machine with Debian's cron, boot it under qemu, install the package and run the trials of
#             tests/vm; needs root, mmdebstrap and qemu, and half an hour. VM has the options, as in VM='--suite trixie restart'.
# make image: build the image IMAGE with docker, podman or buildah, on BASE if that is set.
# make test-image: build the image with buildah on a base of Debian's packages, run it in every way under crun, and
#             report; needs root. TRIALS has the options, as in TRIALS='--no-build stop'.
# make fuzz:  feed the parser of crontabs random input for SECONDS_OF_FUZZ.

PYTHON ?= python3
BIN := .venv/bin
SECONDS_OF_FUZZ ?= 1200
ROUNDS ?= 10
SEED ?= 1
FAULTS ?= 60
HOURS ?= 100
DAYS ?= 31
COPIES ?= 3
IMAGE ?= pycrond

.PHONY: start stop test quick schemas sizes bench bench-cluster attack chaos days month proof deb vm image test-image fuzz fmt clean

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

.venv/installed-dev: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

start: .venv/installed
	@$(BIN)/pycrond start --crontabs crontabs || $(BIN)/pycrond status >/dev/null
	@$(BIN)/pycrond list

stop: .venv/installed
	@$(BIN)/pycrond stop

test: .venv/installed-dev
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/python -m tools.sizes
	$(BIN)/pytest -n 3 --dist worksteal

quick: .venv/installed-dev
	$(BIN)/pytest -q -n 2 --dist worksteal -m "not daemon and not process"

schemas: .venv/installed-dev
	$(BIN)/python docs/schemas.py

sizes: .venv/installed-dev
	$(BIN)/python -m tools.sizes

bench: .venv/installed-dev
	$(BIN)/python -m compileall -q pycrond  # like an installed package
	$(BIN)/python benchmarks/run.py $(if $(CRONIE),--cronie $(CRONIE)) $(BENCH)

bench-cluster: .venv/installed-dev
	$(BIN)/python benchmarks/claims.py $(BENCH)

attack: .venv/installed-dev
	$(BIN)/python benchmarks/run.py --only fairness

chaos: .venv/installed-dev
	$(BIN)/python -m tests.chaos.run $(ROUNDS) $(SEED) $(FAULTS) --copies $(COPIES)

chaos-cluster: .venv/installed-dev
	$(BIN)/python -m tests.chaos_cluster.run $(CLUSTER)

days: .venv/installed-dev
	$(BIN)/python -m tests.simulation.run $(HOURS) $(SEED)

month: .venv/installed-dev
	$(BIN)/python -m tests.simulation.small_disk $(DAYS)

proof: .venv/installed-dev
	$(BIN)/python -m tests.proof.run

deb: .venv/installed-dev
	$(BIN)/python -m tools.deb

vm: .venv/installed-dev
	$(BIN)/python -m tests.vm.run $(VM)

image:
	@for builder in docker podman buildah; do \
	    if command -v $$builder >/dev/null; then \
	        exec $$builder build $$(test $$builder = docker || echo --format=docker) \
	            $(if $(BASE),--build-arg=BASE=$(BASE)) -t $(IMAGE) .; \
	    fi; \
	done; echo "make image needs docker, podman or buildah" >&2; exit 1

test-image: .venv/installed-dev
	$(BIN)/python -m tests.image.run $(TRIALS)

fuzz: .venv/installed-dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check atheris
	$(BIN)/python -m tests.fuzz.atheris_crontab -max_total_time=$(SECONDS_OF_FUZZ) -print_final_stats=1

fmt: .venv/installed-dev
	$(BIN)/ruff check --fix --exit-zero
	$(BIN)/ruff format

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis dist
