"""Example events, and validation of an event while it is edited."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from flask import Blueprint, Response, request

from emulator.auth0.event_schema import findings
from emulator.auth0.samples import examples, save
from emulator.web.api import body


def routes(folders: Sequence[Path]) -> Blueprint:
    api = Blueprint("events", __name__)

    @api.get("/examples")
    def list_examples() -> Response:
        """List the example events with their text, including those in your own folder."""
        return body.json_response({"examples": [asdict(example) for example in examples(folders)]})

    @api.post("/examples")
    def save_example() -> Response:
        """Save the event `text` as `name` in your own folder, replacing any event of that name."""
        values = body.read_object()
        name, text = body.require_str(values, "name"), body.require_str(values, "text")
        try:
            file = save(folders[0], name, text)
        except (ValueError, OSError) as error:
            raise body.RequestError(str(error)) from None
        return body.json_response({"file": str(file)})

    @api.post("/check")
    def check() -> Response:
        """Validate the event in the body against Auth0's schema: errors and hints by line."""
        text = request.get_data().decode("utf-8", "replace")
        return body.json_response({"findings": [asdict(finding) for finding in findings(text)]})

    return api
