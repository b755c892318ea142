# `make` lists the commands. All of them set up what they need in .venv on first use.
PYTHON ?= python3
BIN := .venv/bin

help: ## list the commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' Makefile | expand -t 20

run: .venv/emulator ## start the emulator: a password change, the mail it brings, then everything stays up
	@$(BIN)/python -m emulator

test: .venv/dev ## run all tests, with the coverage of what is deployed
	$(BIN)/python -m coverage run -m pytest
	$(BIN)/python -m coverage report

lint: .venv/dev ## formatter, linter, types, shell
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	@if command -v shellcheck >/dev/null; then shellcheck deploy.sh .ci/run; else echo "shellcheck is not installed: deploy.sh is unchecked"; fi

check: lint test ## what a reviewer runs

fuzz: .venv/dev ## 300,000 hostile requests to the public entry
	$(BIN)/python -m tests.fuzz

faults: .venv/dev ## the fault run: 10,000 callouts in each mode while everything around them breaks
	$(BIN)/python -m bench.fault_run

preview: .venv/dev ## the mail in every language, light and dark, 320 and 600 px wide, on one page
	@$(BIN)/python -m scripts.preview

pictures: .venv/dev ## take the pictures in docs/pictures anew, with the system's Chromium
	@$(BIN)/python -m scripts.pictures
	@$(BIN)/python -m scripts.emulator_pictures

format: .venv/dev ## format and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

PIP := $(BIN)/pip install --quiet --disable-pip-version-check

.venv/emulator: requirements.txt emulator/requirements.txt
	$(PYTHON) -m venv .venv
	$(PIP) -r emulator/requirements.txt
	@touch $@

.venv/dev: .venv/emulator requirements-dev.txt
	$(PIP) -r requirements-dev.txt
	@touch $@

.PHONY: help run test lint check fuzz faults bench bench-quick preview pictures format
