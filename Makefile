# `make` lists the commands. Each installs what it needs into .venv on first use.
# VENV and PYTHON select another environment: make test VENV=.venv-3.13 PYTHON=python3.13
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

help: ## list the commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' Makefile | expand -t 20

run: $(VENV)/emulator ## start the emulator, trigger a password change, show the email, and keep running; PORT=N sets the port
	@$(BIN)/python -m emulator $(if $(PORT),--port $(PORT))

dev: $(VENV)/dev ## install the development tools, such as pytest, into .venv

test: $(VENV)/dev ## run the tests and measure the coverage of the deployed code
	$(BIN)/python -m pytest -m "not slow" --numprocesses=auto --maxprocesses=4 --dist=loadfile --cov

slow: $(VENV)/dev ## run the tests that take minutes: real gcloud, fresh virtual environments, interruptions at every step
	$(BIN)/python -m pytest -m slow --numprocesses=auto --maxprocesses=4

lint: $(VENV)/dev ## check formatting, lint, types, and shell scripts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/codespell -D - -D .ci/retired-words.txt
	$(BIN)/mypy
	@if command -v shellcheck >/dev/null; then shellcheck deploy.sh .ci/run; else echo "shellcheck is not installed: skipping deploy.sh and .ci/run"; fi

check: lint test slow ## run lint, test, and slow

fuzz: $(VENV)/dev ## send 300,000 malformed requests to the public function
	$(BIN)/python -m tests.fuzz

bench: $(VENV)/dev ## compare with the baselines and update docs/performance.md; under fifteen minutes, needs wrk
	$(BIN)/python -m bench --publish

bench-quick: $(VENV)/dev ## run a short benchmark and print the results; under two minutes, needs wrk
	$(BIN)/python -m bench --quick

starts: $(VENV)/dev ## start the function 1,080 times under load, with one worker and with two: every worker responds, SIGTERM ends it
	$(BIN)/python -m bench.starts

faults: $(VENV)/dev ## run the chaos test: 10,000 callouts in each delivery mode while faults are injected, and the baseline
	$(BIN)/python -m chaos --baseline

preview: $(VENV)/dev ## render the email in every language, light and dark, 320 and 600 px wide, on one page
	@$(BIN)/python -m scripts.preview

screenshots: $(VENV)/dev ## regenerate the screenshots in docs/images with the system's Chromium
	@$(BIN)/python -m scripts.screenshots

cldr: $(VENV)/dev ## regenerate the CLDR data after adding a language or updating Babel
	@$(BIN)/python -m scripts.cldr

translations: $(VENV)/dev ## regenerate Serbian in Latin script and the table of languages in docs/translations.md
	@$(BIN)/python -m scripts.translations

format: $(VENV)/dev ## format the code and apply automatic fixes
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: $(VENV)/dev ## lock the versions that requirements*.in leave open; UPGRADE=--upgrade takes the newest ones
	$(LOCK) requirements.in --output-file requirements.txt
	$(LOCK) emulator/requirements.in --output-file emulator/requirements.txt
	$(LOCK) requirements-dev.in --output-file requirements-dev.txt

# Keep this the oldest Python that the project supports: the lock is valid from it on, on every platform.
LOCK = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --custom-compile-command "make lock" $(UPGRADE)

PIP := $(BIN)/pip install --quiet --disable-pip-version-check --require-hashes

$(VENV)/emulator: emulator/requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) -r emulator/requirements.txt
	@touch $@

$(VENV)/dev: $(VENV)/emulator requirements-dev.txt
	$(PIP) -r requirements-dev.txt
	@touch $@

.PHONY: help run dev test slow lint check fuzz faults starts bench bench-quick preview screenshots cldr translations format lock
