"""The floor: what the host itself costs."""

from flask import Request


def hello(_: Request) -> str:
    return "hello"
