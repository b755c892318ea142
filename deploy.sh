#!/usr/bin/env bash
# From clone to production and back: ./deploy.sh --help, docs/deploy.md.
set -euo pipefail

export CALLED_FROM=$PWD # -e FILE is relative to it
cd "$(dirname "${BASH_SOURCE[0]}")"
if [[ ! -x .venv/bin/python ]]; then
  echo "first use: installing what it needs into .venv" >&2
  make --silent .venv/emulator >&2
fi
exec "${PYTHON:-.venv/bin/python}" -m deploy "$@"
