"""The Cloud Tasks emulator: its API, its queue, and the dispatcher that delivers tasks."""
