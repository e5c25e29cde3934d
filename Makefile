# Two commands set everything up on a machine with Python 3.11+: `make search` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: search test soak lint parity clean

search: $(VENV)/.ready ## search the bundled digits: the best architectures, their export, and where to look
	$(BIN)/nas search --data digits --limit 'params<=150e3' --limit 'macs<=3e6' --trials 26 --epochs 20 \
		--published --export exports/digits --svg exports/search.svg

test: $(VENV)/.ready-test
	$(BIN)/python -m pytest --numprocesses=2 --dist=loadfile --no-loadscope-reorder

soak: $(VENV)/.ready-test ## the tests that take minutes: more ways to lose nodes, drivers and tokens
	$(BIN)/python -m pytest -m soak

parity: $(VENV)/.ready-parity ## also install the libraries that published networks are held against
$(VENV)/.ready-parity: $(VENV)/.ready-test
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[parity]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps 'timm>=1.0.20,<2'
	touch $@

lint: $(VENV)/.ready-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

$(VENV)/.ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.11"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

$(VENV)/.ready-test: $(VENV)/.ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	touch $@

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache
