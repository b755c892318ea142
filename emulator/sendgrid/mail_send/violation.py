"""One thing that SendGrid finds wrong with a mail, and the ways through a mail that lead to it."""

from collections.abc import Iterator, Sequence
from typing import Any

Json = dict[str, Any]
Violation = dict[str, str | None]

_ERRORS_PAGE = "http://sendgrid.com/docs/API_Reference/Web_API_v3/Mail/errors.html"


def violation(message: str, field: str | None = None, help_at: str = "") -> Violation:
    """`help_at`: the anchor of SendGrid's errors page where it is not the field's own."""
    anchor = help_at or (_anchor(field) if field else "")
    return {"message": message, "field": field, "help": f"{_ERRORS_PAGE}#{anchor}" if anchor else None}


def _anchor(field: str) -> str:
    if field == "(root)":
        return "-Request-Body-Parameters"
    if field == "personalizations":
        return "-Personalizations-Errors"
    steps = [step for step in field.split(".") if not step.isdigit()]
    return ".".join(["message", *(steps[:-1] if steps[-1] == "email" else steps)])


def personalizations(mail: Json) -> Iterator[tuple[str, Json]]:
    for index, personalization in enumerate(mail.get("personalizations", [])):
        if personalization is not None:
            yield f"personalizations.{index}", personalization


def levels(mail: Json, member: str) -> Iterator[tuple[str, Any]]:
    """The member of the message and of each personalization, with its field."""
    if member in mail:
        yield member, mail[member]
    for field, personalization in personalizations(mail):
        if member in personalization:
            yield f"{field}.{member}", personalization[member]


def items(field: str, values: Sequence[Any]) -> Iterator[tuple[str, Any]]:
    """Each value that has the right type, with its field."""
    return ((f"{field}.{index}", item) for index, item in enumerate(values) if item is not None)
