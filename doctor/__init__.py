"""The doctor: check everything a notice depends on, and report how to fix problems. It changes no setting."""
