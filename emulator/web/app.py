"""The emulator's web application: API under /api, and pages."""

from collections.abc import Sequence
from pathlib import Path

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from emulator.audit import Audit
from emulator.auth0.samples import DEFAULT_FOLDER
from emulator.auth0.users import Users
from emulator.emulator import Emulator
from emulator.web import audit_page, pages
from emulator.web.api import audit, body, emails, events, faults, passwords, queue, runs, secrets, state
from emulator.web.api.content_policy import restrict
from emulator.web.language_gallery import LanguageGallery


def create_app(emulator: Emulator, *, folders: Sequence[Path] = ()) -> Flask:
    """Return the application; `folders` contain the developer's own example events; new ones go into the first."""
    folders = folders or (DEFAULT_FOLDER,)
    flask = Flask("emulator.web", static_folder=None, template_folder="templates")
    flask.response_class = body.ApiResponse
    flask.after_request(restrict)
    flask.register_error_handler(body.RequestError, _handle_request_error)
    flask.register_error_handler(HTTPException, _handle_http_exception)
    own_audit = Audit(emulator)
    users, gallery = Users(emulator.run, emulator.send_auth0_email), LanguageGallery(emulator)
    for blueprint in (
        state.routes(emulator),
        runs.routes(emulator),
        events.routes(folders),
        emails.routes(emulator, gallery),
        faults.routes(emulator),
        secrets.routes(emulator),
        queue.routes(emulator),
        passwords.routes(emulator, users),
        audit.routes(own_audit),
    ):
        flask.register_blueprint(blueprint, url_prefix="/api")
    flask.register_blueprint(audit_page.routes(emulator, own_audit))
    flask.register_blueprint(pages.routes(emulator, users, folders))
    return flask


def _handle_request_error(error: body.RequestError) -> Response:
    return _error_response(error.status, str(error))


def _handle_http_exception(error: HTTPException) -> Response:
    return _error_response(error.code or 500, error.description or error.name)


def _error_response(status: int, message: str) -> Response:
    if request.path.startswith("/api"):
        return body.json_response({"error": message}, status)
    return body.ApiResponse(pages.error_page(status, message), status)
