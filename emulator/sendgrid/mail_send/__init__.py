"""Validate the body of POST /v3/mail/send as SendGrid does, and report all violations at once.

Messages and fields are SendGrid's: from responses in public threads if available, otherwise from its "Status Codes &
Errors" page for v3 Mail Send. Limits are from its OpenAPI description (sendgrid-oai). A violation is
`{"message", "field", "help"}`, the form of the response's `errors`. Fields that the description omits are accepted.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from emulator.sendgrid.mail_send import content, envelope
from emulator.sendgrid.mail_send.shape import Strings, UndecodableError, well_typed, wrong_types
from emulator.sendgrid.mail_send.violation import Json, Violation, violation

_ADDRESS = {"email": "string", "name": "string"}
_ENABLE = {"enable": "boolean"}
_ANALYTICS = ("utm_source", "utm_medium", "utm_term", "utm_content", "utm_campaign")

SHAPE: Json = {
    "personalizations": [
        {
            "from": _ADDRESS,
            "to": [_ADDRESS],
            "cc": [_ADDRESS],
            "bcc": [_ADDRESS],
            "subject": "string",
            "headers": Strings(),
            "substitutions": Strings(opaque=True),
            "dynamic_template_data": {},
            "custom_args": Strings(opaque=True),
            "send_at": "integer",
        }
    ],
    "from": _ADDRESS,
    "reply_to": _ADDRESS,
    "reply_to_list": [_ADDRESS],
    "subject": "string",
    "content": [{"type": "string", "value": "string"}],
    "attachments": [
        {"content": "string", "type": "string", "filename": "string", "disposition": "string", "content_id": "string"}
    ],
    "template_id": "string",
    "sections": Strings(opaque=True),
    "headers": Strings(),
    "categories": ["string"],
    "custom_args": Strings(opaque=True),
    "send_at": "integer",
    "batch_id": "string",
    "asm": {"group_id": "integer", "groups_to_display": ["integer"]},
    "ip_pool_name": "string",
    "mail_settings": {
        "bypass_list_management": _ENABLE,
        **dict.fromkeys(content.NARROW_BYPASSES, _ENABLE),
        "footer": {**_ENABLE, "text": "string", "html": "string"},
        "sandbox_mode": _ENABLE,
    },
    "tracking_settings": {
        "click_tracking": {**_ENABLE, "enable_text": "boolean"},
        "open_tracking": {**_ENABLE, "substitution_tag": "string"},
        "subscription_tracking": {**_ENABLE, "text": "string", "html": "string", "substitution_tag": "string"},
        "ganalytics": {**_ENABLE, **dict.fromkeys(_ANALYTICS, "string")},
    },
}


def violations(body: Any, batch_ids: Collection[str] = ()) -> list[Violation]:
    """Return all violations in a decoded request body; empty if SendGrid accepts it.

    `batch_ids` are those that SendGrid generated; it rejects others with this message (sendgrid/docs #5053).
    """
    try:
        type_violations = [violation(message, field) for field, message in wrong_types(body, SHAPE)]
    except UndecodableError:
        return [violation("Bad Request")]
    if not isinstance(body, dict):
        return type_violations
    clean = well_typed(body, SHAPE)
    rule_violations = [item for rule in envelope.RULES + content.RULES for item in rule(clean)]
    if "batch_id" in clean and clean["batch_id"] not in batch_ids:
        rule_violations.append(violation("The batch_id must be a string.", "batch_id"))
    return type_violations + [item for item in rule_violations if not _has_wrong_type(item, type_violations)]


def is_sandboxed(body: Mapping[str, Any]) -> bool:
    """Return whether an accepted body requests sandbox mode."""
    return bool(body.get("mail_settings", {}).get("sandbox_mode", {}).get("enable", False))


def _has_wrong_type(rule_violation: Violation, type_violations: Sequence[Violation]) -> bool:
    """Return whether the field or its parent has the wrong type, which SendGrid reports instead."""
    return any(f"{rule_violation['field']}.".startswith(f"{w['field']}.") for w in type_violations)
