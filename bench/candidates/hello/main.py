"""An empty function, which measures the cost of functions-framework itself."""

from flask import Request


def hello(_: Request) -> str:
    return "hello"
