"""Fault injection: list, activate, and clear faults."""

from dataclasses import asdict

from flask import Blueprint, Response

from emulator.emulator import Emulator
from emulator.web.api import body


def routes(emulator: Emulator) -> Blueprint:
    api = Blueprint("faults", __name__)

    @api.get("/switches")
    def list_faults() -> Response:
        """List the available faults and the active ones."""
        available = [asdict(toggle) for toggle in emulator.fault_toggles.all()]
        return body.json_response({"switches": available, "on": emulator.fault_toggles.pending()})

    @api.post("/switches")
    def turn_on() -> Response:
        """Inject the fault `name` into `part` for the next `count` requests (null: until cleared)."""
        values = body.read_object()
        part, name = body.require_str(values, "part"), body.require_str(values, "name")
        try:
            emulator.fault_toggles.turn_on(part, name, values.get("count", 1))
        except ValueError as error:
            raise body.RequestError(str(error)) from None
        return body.json_response({"on": emulator.fault_toggles.pending()})

    @api.post("/switches/clear")
    def turn_off() -> Response:
        """Clear the fault `name` of `part`."""
        values = body.read_object()
        try:
            emulator.fault_toggles.turn_off(body.require_str(values, "part"), body.require_str(values, "name"))
        except ValueError as error:
            raise body.RequestError(str(error)) from None
        return body.json_response({"on": emulator.fault_toggles.pending()})

    @api.post("/switches/reset")
    def reset() -> Response:
        """Clear all faults."""
        emulator.fault_toggles.reset()
        return body.done()

    return api
