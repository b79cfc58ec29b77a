# Everything runs in .venv, which `make` builds from requirements.lock the first
# time. With DATABASE_URL set, every command uses that database and starts no server.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
READY := $(VENV)/.ready

# What the user can set.
FROM ?=
TO ?=
DATA ?=
SAMPLE ?=
MODEL ?= 2PL
ENGINE ?= native
BANK ?= all
WEEK ?=
ATTEMPTS ?= 1e7
DRILLS ?= drill

export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
# dbt compiles its 1,500 modules in 3 s; that is kept, not done in every command anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help
help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | sed -E 's/:.*## /\t/' | expand -t 21

$(READY): requirements.lock
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 14) else f"Python 3.11 to 3.13 is needed, $(PYTHON) is {v[0]}.{v[1]}: make PYTHON=python3.11 ...")'
	@echo "Building $(VENV) from requirements.lock ($$(grep -c '==' requirements.lock) packages, one to two minutes) ..."
	@$(PYTHON) -m venv --clear $(VENV)
	@$(PY) -m pip install --quiet --no-compile --no-deps --require-hashes --requirement requirements.lock
	@$(PY) -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

.PHONY: env
env: $(READY) ## the environment in .venv, from the lock file

.PHONY: up
up: env ## start the local PostgreSQL and bring its schemas up to date
	@$(PY) -m warehouse start
	@$(PY) -m warehouse migrate --with-exam

.PHONY: down
down: env ## stop the local PostgreSQL
	@$(PY) -m warehouse stop

.PHONY: run
run: up ## the whole pipeline: data, KPIs, calibration, reports (DATA=file.jsonl.gz for your own results)
	@if [ -n "$(DATA)" ]; then $(PY) -m warehouse load "$(DATA)"; else $(PY) -m warehouse sample --load-if-new $(SAMPLE); fi
	@# A calibration that its gates reject is a failure, but KPIs and reports do not wait for it.
	@as_of=$$($(PY) -m warehouse as-of); calibrated=0; scored=0; \
	$(MAKE) -o up dbt-build AS_OF=$$as_of; \
	$(PY) -m irt_service calibrate --as-of $$as_of || calibrated=$$?; \
	$(PY) -m irt_service score || scored=$$?; \
	$(MAKE) -o up dbt-build-abilities AS_OF=$$as_of; \
	$(PY) -m report_runner weekly; \
	$(PY) -m warehouse summary; \
	exit $$((calibrated > scored ? calibrated : scored))

# What cron calls: each is one step, with an honest exit code. Without AS_OF: of yesterday.
AS_OF ?=
DBT_STEP = $(PY) -m warehouse dbt $@ $(if $(AS_OF),--as-of $(AS_OF))

.PHONY: dbt-build
dbt-build: up ## every model as of AS_OF (default: the last complete day)
	@$(DBT_STEP) -- build

.PHONY: dbt-build-abilities
dbt-build-abilities: up ## what depends on abilities and item parameters, as of AS_OF
	@$(DBT_STEP) -- build --select source:irt+

.PHONY: irt-calibrate
irt-calibrate: up ## calibrate what is in the warehouse (MODEL=3PL ENGINE=mirt BANK=topic:algebra)
	@$(PY) -m irt_service calibrate --model $(MODEL) --engine $(ENGINE) --bank $(BANK)

.PHONY: reset
reset: down ## delete the local database, the sample and the reports (.warehouse)
	@rm -rf .warehouse

.PHONY: report
report: up ## write the weekly reports (WEEK=2026-11-16)
	@$(PY) -m report_runner weekly $(if $(WEEK),--week $(WEEK))

.PHONY: serve
serve: up ## the IRT service with a worker on http://localhost:8000, no tokens, this machine only
	@$(PY) -m irt_service serve --local --with-worker --port 8000

.PHONY: dbt-backfill
dbt-backfill: up ## build the days FROM..TO anew; run again, it goes on where it stopped
	@test -n "$(FROM)" -a -n "$(TO)" || { echo "make dbt-backfill FROM=2026-03-01 TO=2026-03-31" >&2; exit 2; }
	@$(PY) -m warehouse dbt $@ --as-of $(or $(AS_OF),$$($(PY) -m warehouse as-of)) -- build \
		--vars "{test_scope: all, backfill: true, backfill_from: '$(FROM)', backfill_to: '$(TO)'}"

.PHONY: dbt-test
dbt-test: up ## every data test on every row, where a night tests what it wrote
	@$(DBT_STEP) -- test

.PHONY: dbt-freshness
dbt-freshness: up ## whether results still arrive
	@$(PY) -m warehouse step $@ -- dbt source freshness

.PHONY: docs
docs: up ## generate dbt's documentation and serve it on http://localhost:8080
	@dbt docs generate
	@dbt docs serve --host 127.0.0.1 --port 8080

.PHONY: test
test: env ## every test but the drills, against a real PostgreSQL started for them
	@$(PY) -m pytest -n 2 --dist worksteal -m "not drill"

.PHONY: test-mirt
test-mirt: env ## R mirt against the native engine: versions, table of agreement (needs R, mirt, rpy2)
	@$(PY) -m tests.irt_service.mirt_agreement
	@$(PY) -m pytest -q tests/irt_service/test_engine_mirt.py tests/irt_service/test_diagnostics_mirt.py

.PHONY: verify-incremental
verify-incremental: env ## random arrivals and builds of a seed against one full refresh (SEED=7 LENGTH=30)
	@SEED=$(or $(SEED),1) LENGTH=$(or $(LENGTH),30) $(PY) -m pytest -q -s --no-header \
		tests/dbt/test_incremental_equals_full.py::test_the_sequence_of_a_seed

.PHONY: drill
drill: env ## the slow failure drills, on real processes (DRILLS="drill and not long" leaves out the longest)
	@$(PY) -m pytest -n 2 --dist worksteal -m "$(DRILLS)"

.PHONY: bench
bench: env ## measure the marts (ATTEMPTS=1e6 for a quick one), the engine and the worker
	@$(PY) -m benchmarks.analytics --attempts $(ATTEMPTS)
	@$(PY) -m benchmarks.engine --cases 1,2
	@$(PY) -m benchmarks.worker --students 500 --repeat 1

.PHONY: lint
lint: env ## ruff, mypy, sqlfluff, dbt-bouncer, bandit, a search for secrets
	@$(PY) -m pytest -q -n 2 tests/test_lint.py tests/test_supply_chain.py

.PHONY: audit
audit: env ## known vulnerabilities of everything locked (asks an advisory service; fails without it)
	@for lock in requirements.lock ops/images/*.lock; do echo "$$lock"; \
		$(VENV)/bin/pip-audit --strict --disable-pip --no-deps --requirement $$lock; done
