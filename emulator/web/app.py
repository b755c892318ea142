"""The application: the guard, the API's parts under /api, and the page."""

from collections.abc import Sequence
from pathlib import Path

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from emulator.auth0.users import Users
from emulator.emulator import Emulator
from emulator.web.api import body, events, mails, passwords, queue, runs, secrets, state, switches
from emulator.web.api.guard import guard
from emulator.web.language_gallery import LanguageGallery
from emulator.web.pages import error_page, views


def app(emulator: Emulator, *, folders: Sequence[Path] = ()) -> Flask:
    """`folders` hold a person's own example events."""
    flask = Flask("emulator.web", static_folder=None, template_folder="templates")
    flask.response_class = body.ApiResponse
    guard(flask)
    flask.register_error_handler(body.RequestError, _refused)
    flask.register_error_handler(HTTPException, _failed)
    tenant, sheet = Users(emulator), LanguageGallery(emulator)
    for part in (
        state.routes(emulator),
        runs.routes(emulator),
        events.routes(folders),
        mails.routes(emulator, sheet),
        switches.routes(emulator),
        secrets.routes(emulator),
        queue.routes(emulator),
        passwords.routes(tenant),
    ):
        flask.register_blueprint(part, url_prefix="/api")
    flask.register_blueprint(views(emulator, tenant, folders))
    return flask


def _refused(error: body.RequestError) -> Response:
    return _told(error.status, str(error))


def _failed(error: HTTPException) -> Response:
    return _told(error.code or 500, error.description or error.name)


def _told(status: int, message: str) -> Response:
    if request.path.startswith("/api"):
        return body.answer({"error": message}, status)
    return body.ApiResponse(error_page(status, message), status)
