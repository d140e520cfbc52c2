# Each target sets up .venv by itself: with uv where it is on PATH, else with python3 -m venv and pip.
# Name another interpreter with PYTHON=/path/to/python3.12; pass pytest arguments with ARGS="-k backup".

.DEFAULT_GOAL := help
SHELL := /bin/sh
.SUFFIXES:
.PHONY: help demo lab test check bench lock clean FORCE

BIN := .venv/bin
# The stamp holds the folder that the environment was made in: one that was copied or moved is set up again.
READY := .venv/.ready
HERE := $(shell [ "$$(cat $(READY) 2>/dev/null)" = "$$(pwd -P)" ] || echo FORCE)
export PYTHON

help:
	@echo "make demo    the demo project on its own PostgreSQL, migrated from review to verify"
	@echo "make lab     the same in JupyterLab, by hand"
	@echo "make test    the tests, against real PostgreSQL servers"
	@echo "make check   ruff, mypy and import-linter"
	@echo "make bench   measured side by side: sessions, dumps, restores (ARGS="TOPIC … --runs 3")"
	@echo "make lock    pin the dependencies again (ARGS=--upgrade for newer ones)"
	@echo "make clean   remove the environment, the caches and the demo"

demo: $(READY)
	@$(BIN)/mig-kit demo portfolio-demo --fresh --run

lab: $(READY)
	@$(BIN)/mig-kit demo portfolio-demo
	@$(BIN)/mig-kit lab --project portfolio-demo

# Three processes on two cores: most tests wait for a server or an interpreter. The tests of one file stay together
# and share what the file sets up.
test: $(READY)
	@$(BIN)/python -m pytest -n 3 --dist loadfile $(ARGS)

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY)
	@$(BIN)/python -m tests.bench $(ARGS)

lock: $(READY)
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-annotate --no-emit-index-url \
	  --no-emit-find-links --custom-compile-command "make lock" --group dev $(ARGS) \
	  pyproject.toml --output-file requirements.lock

clean:
	@if [ -x $(BIN)/mig-kit ] && [ -d portfolio-demo ]; then $(BIN)/mig-kit demo portfolio-demo --stop || true; fi
	rm -rf .venv .cache .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache build dist portfolio-demo
	find mig_kit tests -name __pycache__ -type d -prune -exec rm -rf {} +

FORCE:

# uv does not read pip's settings, so where pip is pointed to an index of its own (and uv is not), pip installs.
$(READY): requirements.lock pyproject.toml $(HERE)
	@set -eu; \
	new_enough='import sys; sys.exit(sys.version_info < (3, 11))'; \
	uv=$$(command -v uv || true); \
	if [ -n "$${PIP_INDEX_URL:-}$${PIP_NO_INDEX:-}" ] && [ -z "$${UV_DEFAULT_INDEX:-}$${UV_INDEX_URL:-}$${UV_NO_INDEX:-}" ]; \
	then uv=; fi; \
	set -- python3 python3.14 python3.13 python3.12 python3.11; \
	if [ -n "$${PYTHON:-}" ]; then set -- "$$PYTHON"; fi; \
	python=; \
	for candidate; do \
	  if "$$candidate" -c "$$new_enough" 2>/dev/null; then python=$$candidate; break; fi; \
	done; \
	if [ -z "$$python" ] && { [ -z "$$uv" ] || [ -n "$${PYTHON:-}" ]; }; then \
	  echo "mig_kit needs Python 3.11 or later, and $$1 is: $$("$$1" --version 2>&1 | head -n 1)" >&2; \
	  echo "Install one, or name it: make $(firstword $(MAKECMDGOALS)) PYTHON=/path/to/python3.12" >&2; \
	  exit 1; \
	fi; \
	with_uv() { \
	  $(BIN)/python -c "$$new_enough" 2>/dev/null || "$$uv" venv --quiet --clear --python "$${python:->=3.11}" .venv || return 1; \
	  "$$uv" pip install --quiet --python $(BIN)/python -r requirements.lock && \
	  "$$uv" pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .; \
	}; \
	with_pip() { \
	  if ! $(BIN)/python -m pip --version >/dev/null 2>&1 || ! $(BIN)/python -c "$$new_enough"; then \
	    rm -rf .venv; \
	    "$$python" -m venv .venv || { rm -rf .venv; return 1; }; \
	  fi; \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock && \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .; \
	}; \
	rm -f $(READY); \
	if [ -n "$$uv" ]; then \
	  echo "Setting up .venv with uv ..."; \
	  with_uv || { [ -n "$$python" ] && echo "uv did not manage; trying pip ..." && with_pip; }; \
	else \
	  echo "Setting up .venv with pip; the first time takes a minute or two ..."; \
	  with_pip; \
	fi; \
	pwd -P > $(READY)
