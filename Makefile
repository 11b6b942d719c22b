# make demo and make test are all a newcomer needs; `make` alone lists the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help install demo test test-slow lowest lint format docs bench bench-small miniclip clean

help: ## list these targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(VENV)/.installed ## make .venv and install the project in it

$(VENV)/.installed: pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing mocoop into $(VENV) (PyTorch is large; a few minutes the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: install ## the whole story on drawn satellite tiles, in a few minutes; see demo/report.html
	@$(BIN)/mocoop demo -o demo --force

# a process a core; the tests of a file stay together, since they share what they trained
PARALLEL := --numprocesses=auto --dist=loadfile

test: install ## install what the tests need and run all but the slow ones
	@$(BIN)/python -m pytest $(PARALLEL) -m 'not slow'

test-slow: install ## the tests that take minutes: the demonstration, the tutorials, kills at every step
	@$(BIN)/python -m pytest --numprocesses=auto --dist=worksteal -m slow

lowest: ## all tests with the oldest versions that pyproject.toml admits (a download of several GB)
	@$(PYTHON) -m venv .venv-lowest
	@.venv-lowest/bin/python -m pip install --quiet --disable-pip-version-check uv
	@.venv-lowest/bin/uv pip install --quiet --python .venv-lowest/bin/python --resolution lowest-direct --editable '.[dev]'
	@.venv-lowest/bin/python -m pytest $(PARALLEL)

lint: install ## ruff and mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: install ## let ruff format and mend
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

docs: $(VENV)/.docs ## the pages of docs/ and an API reference as a site, in build/site
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

$(VENV)/.docs: $(VENV)/.installed
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[docs]'
	@touch $@

bench: install ## speed benchmarks (minutes)
	@$(BIN)/python benchmarks/text_step.py
	@$(BIN)/python benchmarks/peers.py
	@$(BIN)/python benchmarks/inference.py

SMALL := bench-small
BACKBONE ?= miniclip
COMPARE := $(BIN)/mocoop bench
COMMON := --groups $(SMALL)/groups.json --backbone $(BACKBONE) --budget small --jobs 2 -o $(SMALL)/results.jsonl
# what takes steps, at the settings that its own search found (docs/results.md)
TUNED := --methods coop,cocoop,kgcoop,prograd,lasp,mocoop --tuned docs/results/search-scenes.jsonl

bench-small: install ## every method and ablation on the drawn tiles, with a report; BACKBONE=photoclip for another backbone
	@mkdir -p $(SMALL)
	@test -f $(SMALL)/groups.json || $(BIN)/mocoop-groups generate --domain "satellite imagery" -o $(SMALL)/groups.json
	@$(COMPARE) base-to-new $(COMMON)
	@$(COMPARE) base-to-new $(TUNED) $(COMMON)
	@$(COMPARE) few-shot $(COMMON)
	@$(COMPARE) ablations $(COMMON)
	@$(BIN)/mocoop report $(SMALL)/results.jsonl -o $(SMALL)/report.html --also md --also csv

miniclip: install ## train the embedded backbone again (up to an hour)
	@$(BIN)/python -m mocoop.miniclip.pretrain

clean: ## remove what make made
	rm -rf $(VENV) demo bench-small build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
