"""The emulator's local API, which its page, `--send` and the tests use. Loopback only."""
