# Everything runs in .venv, which `make setup` makes and keeps up to date. The two commands to know:
#
#   make demo   from a trained network to a verified bitstream, with a report of what it costs
#   make test   the checks and the tests that CI runs
#
# `make fuzz` tries random networks in random hardware for FUZZ_SECONDS; what fails is kept and becomes a test.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := $(shell find package compiler hdl boards sim examples -name '*.py' -o -name '*.npz' -o -name '*.nir' -o -name '*.v' -o -name '*.cc' -o -name '*.toml' -o -name '*.json' -o -name '*.html' -o -name '*.css' -o -name '*.js' -o -name py.typed)

FUZZ_SECONDS ?= 300

# Tests of one file stay together, since they share what is built, in the order of their names: by number, the long files
# of few tests would come last. A worker takes half a gigabyte.
PYTEST := -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

LEFTOVERS := build/lib build/bdist.* spikeloom.egg-info

.PHONY: setup demo docs test test-slow fuzz mutants lint clean
.DELETE_ON_ERROR:

setup: $(VENV)/.ready

$(VENV)/.python: constraints.txt pyproject.toml
	@sh .ci/debian_packages.sh "$(PYTHON)"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -qq --upgrade pip
	@echo "Installing the Python packages, PyTorch among them: a few minutes the first time"
	$(BIN)/python -m pip install -qq --constraint constraints.txt torch
	$(BIN)/python -m pip install -qq --constraint constraints.txt ".[dev]"
	@rm -rf $(LEFTOVERS)
	@touch $@

# Not editable, so that tests see what a user gets. Left-overs of an earlier build would slip into the package.
$(VENV)/.ready: $(VENV)/.python $(SOURCES)
	@rm -rf $(LEFTOVERS)
	$(BIN)/python -m pip install -qq --no-deps --force-reinstall .
	@rm -rf $(LEFTOVERS)
	$(BIN)/python -c "from spikeloom.hdl.emit.tools import warm_up; warm_up()"
	@touch $@

demo: setup
	$(BIN)/spikeloom demo --output build/demo --force

# The documentation site, in build/docs; links that lead nowhere are errors, and nothing is fetched.
docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "build/docs/index.html"

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: setup lint
	$(BIN)/python $(PYTEST) -m "not slow"

test-slow: setup
	$(BIN)/python $(PYTEST)

# One change at a time in a copy of the package, and the tests that should see it; MUTANTS are words of names or files.
mutants: setup
	cd tests && ../$(BIN)/python -m mutants $(MUTANTS)

fuzz: setup
	cd tests && ../$(BIN)/python -m fuzz --seconds $(FUZZ_SECONDS)

clean:
	rm -rf $(VENV) build
