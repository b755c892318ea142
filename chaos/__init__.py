"""Chaos test: thousands of callouts while faults are injected into everything around the function."""
