"""Switches: what is broken on purpose."""

from dataclasses import asdict

from flask import Blueprint, Response

from emulator.emulator import Emulator
from emulator.web.api import body


def routes(emulator: Emulator) -> Blueprint:
    api = Blueprint("switches", __name__)

    @api.get("/switches")
    def list_switches() -> Response:
        """Everything that can be broken, and what is."""
        known = [asdict(switch) for switch in emulator.switches.all()]
        return body.answer({"switches": known, "on": emulator.switches.waiting()})

    @api.post("/switches")
    def turn_on() -> Response:
        """Break `part` by `name` for the next `count` requests (null: until reset)."""
        given = body.read()
        try:
            emulator.switches.turn_on(body.text(given, "part"), body.text(given, "name"), given.get("count", 1))
        except ValueError as error:
            raise body.RequestError(str(error)) from None
        return body.answer({"on": emulator.switches.waiting()})

    @api.post("/switches/reset")
    def reset() -> Response:
        """Repair everything."""
        emulator.switches.reset()
        return body.done()

    return api
