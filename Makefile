# make table1: trains the rows of Table 1 and prints it. make test: lint, types and the whole suite. make soak: kills
# trainings at random moments and prints what was lost: docs/reliability.md.
PYTHON ?= python3
RUNS ?= runs/table1
PY := .venv/bin/python

.PHONY: table1 test soak clean

table1: .venv/installed
	$(PY) experiments/table1.py --recipe=mnist_5k --seeds=0 --output=$(RUNS)

test: .venv/installed
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(PY) -m pytest

soak: .venv/installed
	$(PY) experiments/soak.py --output=runs/soak

.venv/installed: setup.cfg pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "error: Python 3.11 or newer is needed; name one with make PYTHON=/path/to/python3"; exit 1; }
	$(PYTHON) -m venv .venv
	.venv/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test]'
	touch $@

clean:
	rm -rf .venv runs
