"""Set up, deploy, and operate the function on Google Cloud; `deploy.sh` is its command line."""

try:
    import yaml  # noqa: F401
except ModuleNotFoundError as error:  # .venv is of an older checkout
    raise SystemExit("PyYAML isn't installed: update .venv with the command make .venv/emulator") from error
