"""Events: the examples, and what is wrong with one that a person types."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from flask import Blueprint, Response, request

from emulator.auth0.event_schema import findings
from emulator.auth0.samples import examples
from emulator.web.api import body


def routes(folders: Sequence[Path]) -> Blueprint:
    api = Blueprint("events", __name__)

    @api.get("/examples")
    def list_examples() -> Response:
        """The example events, each with its text; those of your own folder too."""
        return body.answer({"examples": [asdict(example) for example in examples(folders)]})

    @api.post("/check")
    def check() -> Response:
        """Hold the event that is the body to Auth0's schema: what is wrong, on which line, with hints."""
        text = request.get_data().decode("utf-8", "replace")
        return body.answer({"findings": [asdict(finding) for finding in findings(text)]})

    return api
