"""Passwords: a live change, as a user does it and as an administrator does."""

from flask import Blueprint, Response, request

from emulator.auth0.users import PasswordRejected, Users, browser_request
from emulator.web.api import body
from emulator.web.api.runs import shown


def routes(tenant: Users) -> Blueprint:
    api = Blueprint("passwords", __name__)

    @api.post("/passwords/forgotten")
    def forgotten() -> Response:
        """Mail a link to `email`, under which a new password can be set."""
        try:
            tenant.ask_for_reset(body.text(body.read(), "email"), f"http://{request.host}/reset")
        except PasswordRejected as error:
            raise body.RequestError(str(error)) from None
        return body.done()

    @api.post("/passwords/reset")
    def reset() -> Response:
        """Set a new `password` (`again`) by the link's `ticket`, at a `place`, with this browser; a run follows."""
        given = body.read()
        try:
            asked = browser_request(str(given.get("place", "")), _language(), request.user_agent.string)
            ticket, password, again = (body.text(given, name) for name in ("ticket", "password", "again"))
            tenant.reset(ticket, password, again, asked)
        except PasswordRejected as error:
            raise body.RequestError(str(error)) from None
        return body.done()

    @api.post("/passwords/administrator")
    def administrator() -> Response:
        """Set a new password for the user with `email`, as an administrator's program does."""
        try:
            return body.answer(shown(tenant.change(body.text(body.read(), "email"))))
        except PasswordRejected as error:
            raise body.RequestError(str(error)) from None

    return api


def _language() -> str:
    return next(iter(request.accept_languages.values()), "")
