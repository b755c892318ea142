#!/usr/bin/env bash
# Deploys, checks, rolls back, and removes the function: see ./deploy.sh --help and docs/deploy.md.
set -euo pipefail

export CALLED_FROM=$PWD # -e FILE is relative to it
cd "$(dirname "${BASH_SOURCE[0]}")"
if [[ ! -x .venv/bin/python ]]; then
  echo "first use: installing the requirements into .venv" >&2
  make --silent .venv/emulator >&2
fi
exec "${PYTHON:-.venv/bin/python}" -m deploy "$@"
