"""The Secret Manager emulator, and the rotation of both keys."""
