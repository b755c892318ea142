# `make` lists the commands. All of them set up what they need in .venv on first use.
PYTHON ?= python3
BIN := .venv/bin

help: ## list the commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' Makefile | expand -t 20

run: .venv/emulator ## start the emulator: a password change, the mail it brings, then everything stays up
	@$(BIN)/python -m emulator

test: .venv/dev ## run the tests, with the coverage of what is deployed
	$(BIN)/python -m pytest -m "not slow" --numprocesses=auto --maxprocesses=4 --dist=loadfile --cov

slow: .venv/dev ## the tests that take minutes: the real gcloud, fresh environments, every step interrupted
	$(BIN)/python -m pytest -m slow --numprocesses=auto --maxprocesses=4

lint: .venv/dev ## formatter, linter, types, shell
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	@if command -v shellcheck >/dev/null; then shellcheck deploy.sh .ci/run; else echo "shellcheck is not installed: deploy.sh is unchecked"; fi

check: lint test slow ## what a reviewer runs

fuzz: .venv/dev ## 300,000 hostile requests to the public entry
	$(BIN)/python -m tests.fuzz

bench: .venv/dev ## measure beside the peers, into docs/performance.md; under fifteen minutes, needs wrk
	$(BIN)/python -m bench --publish

bench-quick: .venv/dev ## the same at a glance, under two minutes
	$(BIN)/python -m bench --quick

faults: .venv/dev ## the fault run: 10,000 callouts in each mode while everything around them breaks
	$(BIN)/python -m chaos.__main__

preview: .venv/dev ## the mail in every language, light and dark, 320 and 600 px wide, on one page
	@$(BIN)/python -m scripts.preview

screenshots: .venv/dev ## take the pictures in docs/images anew, with the system's Chromium
	@$(BIN)/python -m scripts.screenshots

cldr: .venv/dev ## take Unicode's data on the mail's languages anew, after one was added or Babel was updated
	@$(BIN)/python -m scripts.cldr

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

.PHONY: help run test slow lint check fuzz faults bench bench-quick preview screenshots cldr format
