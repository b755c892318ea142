"""Runs: one password change, followed through every service."""
