# `make` lists the commands. Each installs what it needs into .venv on first use.
PYTHON ?= python3
BIN := .venv/bin

help: ## list the commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' Makefile | expand -t 20

run: .venv/emulator ## start the emulator, trigger a password change, show the email, and keep running
	@$(BIN)/python -m emulator

test: .venv/dev ## run the tests and measure the coverage of the deployed code
	$(BIN)/python -m pytest -m "not slow" --numprocesses=auto --maxprocesses=4 --dist=loadfile --cov

slow: .venv/dev ## run the tests that take minutes: real gcloud, fresh virtual environments, interruptions at every step
	$(BIN)/python -m pytest -m slow --numprocesses=auto --maxprocesses=4

lint: .venv/dev ## check formatting, lint, types, and shell scripts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/codespell -D - -D .ci/retired-words.txt
	$(BIN)/mypy
	@if command -v shellcheck >/dev/null; then shellcheck deploy.sh .ci/run; else echo "shellcheck is not installed: skipping deploy.sh and .ci/run"; fi

check: lint test slow ## run lint, test, and slow

fuzz: .venv/dev ## send 300,000 malformed requests to the public function
	$(BIN)/python -m tests.fuzz

bench: .venv/dev ## compare with the baselines and update docs/performance.md; under fifteen minutes, needs wrk
	$(BIN)/python -m bench --publish

bench-quick: .venv/dev ## run a short benchmark and print the results; under two minutes, needs wrk
	$(BIN)/python -m bench --quick

faults: .venv/dev ## run the chaos test: 10,000 callouts in each delivery mode while faults are injected
	$(BIN)/python -m chaos

preview: .venv/dev ## render the email in every language, light and dark, 320 and 600 px wide, on one page
	@$(BIN)/python -m scripts.preview

screenshots: .venv/dev ## regenerate the screenshots in docs/images with the system's Chromium
	@$(BIN)/python -m scripts.screenshots

cldr: .venv/dev ## regenerate the CLDR data after adding a language or updating Babel
	@$(BIN)/python -m scripts.cldr

format: .venv/dev ## format the code and apply automatic fixes
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
