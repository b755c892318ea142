"""The emulator's page: plain HTML, written by the server; its scripts use the API that everybody may use."""
