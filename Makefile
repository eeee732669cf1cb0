# `make` alone lists what there is.
PYTHON ?= python3
BIN := .venv/bin
# Windows' virtual environments keep their programs elsewhere.
ifeq ($(OS),Windows_NT)
BIN := .venv/Scripts
PYTHON := python
endif
INSTALLED := .venv/.installed

.DEFAULT_GOAL := help

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(INSTALLED): pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable ".[all,dev]"
	@touch $@

install: $(INSTALLED) ## Create .venv and install everything

demo: $(INSTALLED) ## Drawn faces -> training -> audit; ends with the path of the report
	@$(BIN)/faceaudit demo

test: $(INSTALLED) ## Run the tests
	$(BIN)/python -m pytest

lint: $(INSTALLED) ## Check style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(INSTALLED) ## Check types
	$(BIN)/mypy

check: lint types test ## All three

pictures: $(INSTALLED) ## Make the README's pictures again from drawn faces (needs Chromium)
	$(BIN)/python docs/make_pictures.py

clean: ## Remove what was built and the demo's output
	rm -rf .venv build dist *.egg-info faceaudit-out .mypy_cache .ruff_cache .pytest_cache .hypothesis

.PHONY: help install demo test lint types check pictures clean
