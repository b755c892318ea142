"""Password changes, by a user or by an administrator."""

from flask import Blueprint, Response, request

from emulator.auth0.users import ChangeRejected, Users, browser_request
from emulator.emulator import Emulator
from emulator.runs.run import Run
from emulator.web.api import body
from emulator.web.api.runs import to_dict


def routes(emulator: Emulator, users: Users[Run]) -> Blueprint:
    api = Blueprint("passwords", __name__)

    @api.post("/passwords/forgotten")
    def forgotten() -> Response:
        """Send an email with a password-reset link to `email`."""
        try:
            users.request_reset(body.require_str(body.read_object(), "email"), f"http://{request.host}/reset")
        except ChangeRejected as error:
            raise body.RequestError(str(error)) from None
        return body.done()

    @api.post("/passwords/reset")
    def reset() -> Response:
        """Set a new `password` (repeated in `again`) with the link's `ticket`, from a `place`; start a run."""
        values = body.read_object()
        try:
            change = browser_request(str(values.get("place", "")), _language(), request.user_agent.string)
            ticket, password, again = (body.require_str(values, name) for name in ("ticket", "password", "again"))
            users.reset(ticket, password, again, change)
        except ChangeRejected as error:
            raise body.RequestError(str(error)) from None
        return body.done()

    @api.post("/passwords/administrator")
    def administrator() -> Response:
        """Set a new password for the user with `email`, as an administrator does through the Management API."""
        try:
            return body.json_response(to_dict(emulator, users.change(body.require_str(body.read_object(), "email"))))
        except ChangeRejected as error:
            raise body.RequestError(str(error)) from None

    return api


def _language() -> str:
    return next(iter(request.accept_languages.values()), "")
