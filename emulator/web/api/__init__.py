"""The emulator's local API, used by its pages, `--send`, and tests. Listens on loopback only."""
