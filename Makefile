# Two commands matter: `make demo` and `make test`. Each target sets up what it needs first.
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: setup servers demo test bench lint types docs format licences clean

setup: $(STAMP)

$(STAMP): requirements/gateway.txt pyproject.toml scripts/find-python
	@python=$$(scripts/find-python) && { [ -x $(BIN)/python ] || "$$python" -m venv $(VENV); }
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/gateway.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $(STAMP)

servers:
	@scripts/install-servers

demo: setup servers
	$(BIN)/python -m gateway.cli.main demo

test: setup servers lint types docs
	$(BIN)/python -m pytest

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

types: setup
	$(BIN)/mypy

docs: setup
	$(BIN)/mkdocs build --strict --site-dir build/site

bench: setup servers
	$(BIN)/python -m bench --out docs/benchmarks.md

clean:
	rm -rf $(VENV) .tox build site *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
