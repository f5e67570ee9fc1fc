# dropscore: `make demo` shows it, `make test` proves it, `make help` lists the rest.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: setup demo test test-slow up services bench bench-detection bench-large profile lock clean help

# The first of these that is Python 3.11 to 3.13; name another with `make … PYTHON=/path/to/python`.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11 python; do \
	$$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null \
	&& echo $$python && break; done)
VENV ?= .venv
BIN := $(VENV)/bin
# Where a shell forbids compiled files, as in many containers, each of the many processes would compile its libraries anew.
export PYTHONDONTWRITEBYTECODE :=
# Test modules run side by side on so many processes, each with servers of its own; 0: in one process, for a debugger.
WORKERS ?= 2
SIDE_BY_SIDE := -n $(WORKERS) --dist loadfile --no-loadscope-reorder

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install everything, inside this checkout (the other commands do it first)
	@python='$(PYTHON)'; if [ -z "$$python" ]; then \
		echo 'dropscore needs Python 3.11, 3.12 or 3.13, and found none on PATH.'; \
		echo 'Install one, or name it: make setup PYTHON=/path/to/python3.12'; exit 1; fi; \
	"$$python" local/bootstrap.py --venv '$(VENV)'

demo: setup ## train a model, score a file and show the result, on a local cloud; DATASET=penguins or crimes for others
	@$(BIN)/python -m local.demo $(DATASET)

test: setup ## lint, type-check and run every test
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet . || { echo 'Not formatted: run `ruff format .`'; exit 1; }
	@$(BIN)/mypy
	@$(BIN)/python -m pytest $(SIDE_BY_SIDE) $(PYTEST)

test-slow: setup ## run the long sweeps
	@$(BIN)/python -m pytest -m slow $(SIDE_BY_SIDE) $(PYTEST)

up: setup ## bring the local cloud up and keep it in the foreground
	@exec $(BIN)/python -m local.up $(UP)

services: setup ## only storage and Azure ML, for `func start`
	@exec $(BIN)/python -m local.up --services-only $(UP)

bench: setup ## measure scoring through the whole stack
	@$(BIN)/python -m benchmarks

bench-detection: setup ## measure how well anomalies are found; NAB=folder adds labelled series
	@$(BIN)/python -m benchmarks.detection $(if $(NAB),--nab '$(NAB)') $(DETECTION)

bench-large: setup ## measure 10,000,000 rows beside 1,000,000 (some minutes, 2 GB of disk)
	@$(BIN)/python -m benchmarks --large

profile: setup ## load-test the endpoint of DATASET (or ENDPOINT=url) and recommend its size
	@$(BIN)/python -m shared.profiling --dataset '$(or $(DATASET),gas)' $(if $(ENDPOINT),--url '$(ENDPOINT)') $(PROFILE)

lock: setup ## resolve requirements and npm packages anew
	@$(BIN)/python -m local.locking

clean: ## remove environments, packages, caches and the local cloud's data
	rm -rf .venv* .local local/node/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
