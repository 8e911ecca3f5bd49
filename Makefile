PYTHON ?= .venv/bin/python

.PHONY: help install lint test slow check docs bench-deps clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

install:  ## make .venv with everything that tests and checks need
	python3 -m venv .venv
	.venv/bin/pip install -q -e '.[test,dev]'

lint:  ## formatter, linter, types
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .
	$(PYTHON) -m mypy

test:  ## the fast tests, a few minutes
	$(PYTHON) -m pytest -n 2

slow:  ## whole commands, several processes, notebooks
	$(PYTHON) -m pytest -m slow -n 2

check: lint test  ## what every change must pass

docs:  ## docs/commands.md, and the API reference in out/docs
	$(PYTHON) docs/commands.py
	$(PYTHON) -m pip install -q 'pdoc>=15'
	PYTHONPATH=. $(PYTHON) docs/reference.py

bench-deps:  ## optional packages of the benchmarks
	$(PYTHON) -m pip install -q pilgram2 opencolorio
	$(PYTHON) -m pip install -q --no-deps instafilter  # it asks for another OpenCV

clean:  ## remove what tools leave behind
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info
