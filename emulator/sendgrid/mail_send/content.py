"""Rules for what an email contains: subject, content, attachments, headers, categories, and settings."""

import base64
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator

from emulator.sendgrid.mail_send.violation import Json, Violation, items, levels, personalizations, violation

MAX_CATEGORIES, CATEGORY_LENGTH = 10, 255
MAX_CUSTOM_ARGS_BYTES = 10_000
MAX_SUBSTITUTIONS = 10_000
MAX_SCHEDULE_SECONDS = 72 * 3600
MAX_GROUPS = 25
POOL_NAME_LENGTHS = range(2, 65)
# The only content type with a parameter that SendGrid accepts (sendgrid/sendgrid-ruby #298, sendgrid-nodejs #217).
CALENDAR_INVITE = "text/calendar; method=REQUEST"
_GUID = "[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"  # of a legacy template
_DYNAMIC = "d-[0-9A-Fa-f]{32}"
RESERVED_HEADERS = frozenset(
    {"x-sg-id", "x-sg-eid", "received", "dkim-signature", "content-type", "content-transfer-encoding"}
    | {"to", "from", "subject", "reply-to", "cc", "bcc"}
)


def _has_template(body: Json) -> bool:
    """Return whether the email has a template; SendGrid treats a malformed ID as none, in addition to rejecting it."""
    return re.fullmatch(f"{_GUID}|{_DYNAMIC}", body.get("template_id", "")) is not None


def _template(body: Json) -> Iterator[Violation]:
    """Check the form of the ID: SendGrid accepts an email with the ID of a missing template (sendgrid/docs #2616)."""
    template_id = body.get("template_id", "")
    if "template_id" in body and not _has_template(body):
        yield violation(f"The template_id must be a valid GUID, you provided '{template_id}'.", "template_id")
    for field, personalization in personalizations(body):
        if personalization.get("substitutions") and re.fullmatch(_DYNAMIC, template_id):
            text = "Substitutions may not be used with dynamic templating"
            yield violation(text, f"{field}.substitutions")


def _subject(body: Json) -> Iterator[Violation]:
    for field, subject in levels(body, "subject"):
        if not subject:
            yield violation("The subject of your email must be a string at least one character in length.", field)
    envelopes = [personalization for _, personalization in personalizations(body)]
    each_has_one = bool(envelopes) and all("subject" in personalization for personalization in envelopes)
    if "subject" not in body and not _has_template(body) and not each_has_one:
        yield violation(
            "The subject is required. You can get around this requirement if you use a template with a subject defined "
            "or if every personalization has a subject defined.",
            "subject",
        )


def _content(body: Json) -> Iterator[Violation]:
    if not body.get("content") and not _has_template(body):
        yield violation(
            "Unless a valid template_id is provided, the content parameter is required. There must be at least one "
            "defined content block. We typically suggest both text/plain and text/html blocks are included, but only "
            "one block is required.",
            "content",
        )
    for field, block in items("content", body.get("content", [])):
        yield from _block(field, block)
    kinds = [(block or {}).get("type", "").lower() for block in body.get("content", [])]
    expected = sorted(set(kinds) & {"text/plain", "text/html"}, reverse=True)  # plain before html, each once
    if [kind for kind in kinds if kind in expected] != expected or kinds[: len(expected)] != expected:
        misplaced = violation(
            "Following RFC 1341, section 7.2, if either text/html or text/plain are to be sent in your email: "
            "text/plain needs to be first, followed by text/html, followed by any other content.",
            "content",
        )
        yield {**misplaced, "help": None}


def _block(field: str, block: Json) -> Iterator[Violation]:
    if not block.get("type"):
        yield violation("The content type must be a string at least one character in length.", f"{field}.type")
    if not _is_type(block.get("type")):
        yield violation("The content type cannot contain ';', or CRLF characters.", f"{field}.type")
    if not block.get("value"):
        yield violation("The content value must be a string at least one character in length.", f"{field}.value")


def _attachments(body: Json) -> Iterator[Violation]:
    for field, attachment in items("attachments", body.get("attachments", [])):
        for name, message, is_valid in _ATTACHMENT:
            if not is_valid(attachment.get(name)):
                yield violation(message.format(attachment.get(name)), f"{field}.{name}")


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except ValueError:  # wrong padding or non-ASCII characters
        return False
    return True


def _is_type(text: str | None) -> bool:
    return text == CALENDAR_INVITE or _one_line(text)


def _one_line(text: str | None) -> bool:
    return not set(text or "") & set(";,\r\n")


# Field, SendGrid's message, and validity check; the check gets None if the field is missing.
_ATTACHMENT: tuple[tuple[str, str, Callable[[str | None], bool]], ...] = (
    ("content", "The attachment content must be a string at least one character in length.", bool),
    ("content", "The attachment content must be base64 encoded.", lambda text: _is_base64(text or "")),
    ("filename", "filename is required.", bool),
    ("filename", "The filename of your attachment cannot contain CRLF characters.", _one_line),
    ("type", "The attachment type must be a string and at least one character in length.", lambda text: text != ""),
    ("type", "The attachment type cannot contain ';', or CRLF characters.", _is_type),
    ("content_id", "The content ID of your attachment cannot contain CRLF characters.", _one_line),
    (
        "disposition",
        'The disposition of your attachment can be either "inline" or "attachment". You provided {}.',
        lambda text: text in (None, "inline", "attachment"),
    ),
)


def _headers(body: Json) -> Iterator[Violation]:
    for field, headers in levels(body, "headers"):
        names = [name.lower() for name in headers]
        if RESERVED_HEADERS & set(names):
            yield violation("Header cannot be one of the reserved keys.", field)
        if len(set(names)) < len(names):
            yield violation("The headers cannot contain duplicate keys.", field)
        if not all(name and all("!" <= letter <= "~" and letter != ":" for letter in name) for name in names):
            yield violation("Header keys cannot contain non-ASCII characters or empty spaces.", field)


def _categories(body: Json) -> Iterator[Violation]:
    categories = body.get("categories", [])
    if len(categories) > MAX_CATEGORIES:
        yield violation(
            f"There is a limit of {MAX_CATEGORIES} categories for each email that is sent. You provided "
            f"{len(categories)} categories.",
            "categories",
        )
    for category, count in Counter(item for item in categories if item is not None).items():
        if count > 1:
            text = f"The categories must be a unique list, and you have included {category} more than once."
            yield violation(text, "categories")
        if len(category) > CATEGORY_LENGTH:
            text = f"Each category must not be longer than {CATEGORY_LENGTH} characters. {category} exceeds this limit"
            yield violation(text, "categories")
        if not category.isascii():
            yield violation("Categories can not contain non-ASCII characters.", "categories")


def _custom_args(body: Json) -> Iterator[Violation]:
    overall = body.get("custom_args", {})
    for field, arguments in levels(body, "custom_args"):
        text = json.dumps({**overall, **arguments}, separators=(",", ":"), ensure_ascii=False)
        if len(text.encode("utf-8", "surrogatepass")) > MAX_CUSTOM_ARGS_BYTES:
            yield violation(
                "The combined size of both global and personalization custom arguments may not exceed 10,000 bytes per "
                "personalization.",
                field,
            )
        if not arguments and field != "custom_args":
            yield violation("custom_args cannot be empty.", field)


def _send_at(body: Json) -> Iterator[Violation]:
    for field, timestamp in levels(body, "send_at"):
        if timestamp > time.time() + MAX_SCHEDULE_SECONDS:
            yield violation("Scheduling more than 72 hours in advance is forbidden.", field)


NARROW_BYPASSES = ("bypass_bounce_management", "bypass_spam_management", "bypass_unsubscribe_management")


def _settings(body: Json) -> Iterator[Violation]:
    """Check the bypass filters: `bypass_list_management` excludes the others even if it is disabled.

    Sources: sendgrid/docs #6549 and StrongGrid #395.
    """
    settings = body.get("mail_settings", {})
    if "bypass_list_management" in settings and any(name in settings for name in NARROW_BYPASSES):
        yield violation(
            "bypass_list_management is mutually exclusive with bypass_bounce_management, bypass_spam_management and "
            "bypass_unsubscribe_management",
            "mail_settings",
        )


def _substitutions(body: Json) -> Iterator[Violation]:
    for field, personalization in personalizations(body):
        if len(personalization.get("substitutions", {})) > MAX_SUBSTITUTIONS:
            yield violation("You are limited to 10,000 substitutions.", f"{field}.substitutions")


def _delivery(body: Json) -> Iterator[Violation]:
    if "asm" in body and "group_id" not in body["asm"]:
        yield violation("The ASM group ID must be an integer.", "asm.group_id")
    if len(body.get("asm", {}).get("groups_to_display", [])) > MAX_GROUPS:
        text = f"There is a limit of {MAX_GROUPS} unsubscribe groups that can be displayed to a user at a time."
        yield violation(text, "asm.groups_to_display")
    if "ip_pool_name" in body and len(body["ip_pool_name"]) not in POOL_NAME_LENGTHS:
        text = f"The IP Pool name must be a valid pool name for your account. You provided {body['ip_pool_name']}."
        yield violation(text, "ip_pool_name")


RULES = (
    _template,
    _subject,
    _content,
    _attachments,
    _headers,
    _categories,
    _custom_args,
    _send_at,
    _settings,
    _substitutions,
    _delivery,
)
