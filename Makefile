# make demo   sets up what the demo needs and runs it; make demo ARGS="--exit --json"
# make test   sets up everything and passes the tests; make test ARGS="-n 0 -x tests/unit"
# make test-fast  passes the unit tests that take little time, while you work
# make test-stock  passes those that receive on pynetdicom's own message handling
# make setup  the environment alone, in .venv
# make check  lint, types, architecture, and the documentation
# make docs   writes the documentation as HTML to build/docs

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Unpacking is most of the work; Python compiles what it imports when it imports it.
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check --no-compile
TORCH := torch==2.13.0

# Tests of a file stay together; two processes keep two cores busy, with a thread each.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadgroup --no-loadscope-reorder

# Broken links and pages that no menu shows are errors.
MKDOCS := NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# Both are named by what they were made from, and made again when that changes.
SETUP_DONE := $(VENV)/.setup-done
DEMO_DONE := $(VENV)/.demo-done

.PHONY: demo test test-fast test-stock setup check docs clean
.DEFAULT_GOAL := setup

demo: $(DEMO_DONE)
	@$(BIN)/veritag demo $(ARGS)

test: $(SETUP_DONE)
	$(PYTEST) $(ARGS)

test-fast: $(SETUP_DONE)
	$(PYTEST) -m "not slow" tests/unit tests/architecture $(ARGS)

# Whatever receives: association, reception, the whole system, faults.
test-stock: $(SETUP_DONE)
	VERITAG_RECEPTION=stock $(PYTEST) tests/integration/listener tests/acceptance tests/faults $(ARGS)

setup: $(SETUP_DONE)

check: $(SETUP_DONE)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(MKDOCS)

docs: $(SETUP_DONE)
	$(MKDOCS)
	@echo "build/docs/index.html; with search: $(PYTHON) -m http.server -d build/docs"

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(BIN)/python:
	@$(PYTHON) -m venv $(VENV) >&2

# The demo needs no torch: setting up takes a third of the time without it.
$(DEMO_DONE): pyproject.toml | $(BIN)/python
	@echo "installing what the demo needs into $(VENV)" >&2
	@$(PIP) -e '.[listener,worker,review,broker]'
	@touch $@

# Without a GPU the build of torch for the CPU is enough, and much smaller.
$(SETUP_DONE): pyproject.toml | $(BIN)/python
	@echo "installing everything into $(VENV)" >&2
	@if [ "$$(uname -sm)" = "Linux x86_64" ] && ! command -v nvidia-smi >/dev/null \
	  && ! $(BIN)/python -c 'import torch' 2>/dev/null; then $(PIP) $(TORCH); fi
	@$(PIP) -e '.[dev]'
	@touch $@ $(DEMO_DONE)
