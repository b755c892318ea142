"""The SendGrid emulator: its API, its error responses, its faults, and the emails it accepted."""
