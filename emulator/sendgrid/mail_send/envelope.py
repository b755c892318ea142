"""Rules for the sender, the recipients, and the reply addresses."""

from collections import Counter
from collections.abc import Iterator

from emulator.sendgrid.mail_send.address import MAX_CHARACTERS, is_address
from emulator.sendgrid.mail_send.violation import Json, Violation, items, personalizations, violation

MAX_RECIPIENTS = 1000  # in total; also the limit for personalizations and reply_to_list


def _recipients(body: Json) -> Iterator[Violation]:
    if not body.get("personalizations"):
        text = "The personalizations field is required and must have at least one personalization."
        yield violation(text, "personalizations")
    count = len(body.get("personalizations", []))
    if count > MAX_RECIPIENTS:
        yield violation(
            f"The personalization block is limited to {MAX_RECIPIENTS} personalizations per API request. You have "
            f"provided {count} personalizations. Please consider splitting this into multiple requests and resending "
            "your request.",
            "personalizations",
        )
    envelopes = [p for _, p in personalizations(body)]
    if sum(len(p.get(kind, [])) for p in envelopes for kind in ("to", "cc", "bcc")) > MAX_RECIPIENTS:
        text = f"There is a limit of {MAX_RECIPIENTS} total recipients (to + cc + bcc) per request."
        yield violation(text, "personalizations")
    for field, personalization in personalizations(body):
        yield from _envelope(field, personalization)


def _envelope(field: str, personalization: Json) -> Iterator[Violation]:
    if not personalization.get("to"):
        yield violation(
            "The to array is required for all personalization objects, and must have at least one email object with a "
            "valid email address.",
            f"{field}.to",
        )
    for kind in ("to", "cc", "bcc"):
        for path, address in items(f"{field}.{kind}", personalization.get(kind, [])):
            yield from _address(path, address, kind, "Does not contain a valid address.")
    yield from _duplicates(field, personalization)


def _duplicates(field: str, personalization: Json) -> Iterator[Violation]:
    seen: set[str] = set()
    for kind in ("to", "cc", "bcc"):
        for _, address in items(kind, personalization.get(kind, [])):
            email = address.get("email", "")
            if email.lower() in seen:
                yield violation(
                    "Each email address in the personalization block should be unique between to, cc, and bcc. We "
                    f"found the first duplicate instance of [{email}] in the {field}.{kind} field.",
                    field,
                    "message.recipient-errors",
                )
                return
            seen.update({email.lower()} if email else ())


def _address(field: str, address: Json, name: str, invalid: str, required: str = "") -> Iterator[Violation]:
    email = address.get("email", "")
    if not email:
        yield violation(required or f"The {name} email parameter is required.", f"{field}.email")
    elif len(email) > MAX_CHARACTERS:
        text = f"The {name} email exceeds the maximum total length of {MAX_CHARACTERS} characters."
        yield violation(text, f"{field}.email")
    elif not is_address(email):
        yield violation(invalid, f"{field}.email")


_FROM_REQUIRED = (
    "The from object must be provided for every email send. It is an object that requires the email parameter, but may "
    'also contain a name parameter.  e.g. {"email" : "example@example.com"}  or {"email" : "example@example.com", '
    '"name" : "Example Recipient"}.'
)


def _sender(body: Json) -> Iterator[Violation]:
    invalid = "The from email does not contain a valid address."
    yield from _address("from", body.get("from", {}), "from", invalid, _FROM_REQUIRED)
    for field, personalization in personalizations(body):
        if "from" in personalization:
            yield from _address(f"{field}.from", personalization["from"], "from", invalid, _FROM_REQUIRED)


def _reply_to(body: Json) -> Iterator[Violation]:
    if "reply_to" in body and "reply_to_list" in body:
        yield violation("reply_to is mutually exclusive with reply_to_list.", "reply_to")
    if "reply_to" in body:
        text = "The reply_to email does not contain a valid address."
        yield from _address("reply_to", body["reply_to"], "reply_to", text)
    replies = body.get("reply_to_list", [])
    if len(replies) > MAX_RECIPIENTS:
        yield violation(f"There is a limit of {MAX_RECIPIENTS} reply_to emails per mail/send request.", "reply_to_list")
    for field, address in items("reply_to_list", replies):
        text = "The reply_to_list email does not contain a valid address."
        yield from _address(field, address, "reply_to_list", text)
    emails = Counter(reply.get("email", "").lower() for reply in replies if reply)
    if any(count > 1 for email, count in emails.items() if email):
        yield violation("Each email address in the reply_to_list should be unique.", "reply_to_list")


RULES = (_recipients, _sender, _reply_to)
