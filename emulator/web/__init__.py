"""The emulator's page: plain HTML, written by the server; its scripts use the same API as other programs."""
