"""A violation as SendGrid reports it, and iterators over the fields of an email."""

from collections.abc import Iterator, Sequence
from typing import Any

Json = dict[str, Any]
Violation = dict[str, str | None]

_ERRORS_PAGE = "http://sendgrid.com/docs/API_Reference/Web_API_v3/Mail/errors.html"


def violation(message: str, field: str | None = None, help_at: str = "") -> Violation:
    """Create a violation; `help_at` overrides the field's anchor on SendGrid's errors page."""
    anchor = help_at or (_anchor(field) if field else "")
    return {"message": message, "field": field, "help": f"{_ERRORS_PAGE}#{anchor}" if anchor else None}


def _anchor(field: str) -> str:
    if field == "(root)":
        return "-Request-Body-Parameters"
    if field == "personalizations":
        return "-Personalizations-Errors"
    steps = [step for step in field.split(".") if not step.isdigit()]
    return ".".join(["message", *(steps[:-1] if steps[-1] == "email" else steps)])


def personalizations(body: Json) -> Iterator[tuple[str, Json]]:
    for index, personalization in enumerate(body.get("personalizations", [])):
        if personalization is not None:
            yield f"personalizations.{index}", personalization


def levels(body: Json, name: str) -> Iterator[tuple[str, Any]]:
    """Yield the field `name` of the message and of each personalization, with its path."""
    if name in body:
        yield name, body[name]
    for field, personalization in personalizations(body):
        if name in personalization:
            yield f"{field}.{name}", personalization[name]


def items(field: str, values: Sequence[Any]) -> Iterator[tuple[str, Any]]:
    """Yield each value of the right type, with its path."""
    return ((f"{field}.{index}", item) for index, item in enumerate(values) if item is not None)
