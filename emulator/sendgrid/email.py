"""One email that the SendGrid emulator accepted: one personalization of a request."""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.headerregistry import Address, HeaderRegistry, UnstructuredHeader
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Any

Json = dict[str, Any]

_BINARY_TYPES = ("application", "audio", "font", "image", "video")


@dataclass(frozen=True)
class Email:
    """An accepted email: the personalization `index` of `request`, the JSON as received."""

    number: int
    message_id: str  # the X-Message-Id of the response, shared by all emails of one request
    time: float  # when it was accepted, as Unix time in seconds
    request: Mapping[str, Any]
    index: int = 0

    @property
    def id(self) -> int:
        """Return `number`, under its name in release 1.0.0."""
        return self.number

    @property
    def envelope(self) -> Json:
        personalization: Json = self.request["personalizations"][self.index]
        return personalization

    @property
    def sender(self) -> Json:
        """Return the sender as `{"email", "name"?}`, the form of recipients too."""
        sender: Json = self.envelope.get("from", self.request["from"])
        return sender

    @property
    def to(self) -> list[Json]:
        return self._recipients("to")

    @property
    def cc(self) -> list[Json]:
        return self._recipients("cc")

    @property
    def bcc(self) -> list[Json]:
        return self._recipients("bcc")

    @property
    def reply_to(self) -> list[Json]:
        single = [self.request["reply_to"]] if "reply_to" in self.request else []
        return [*single, *self.request.get("reply_to_list", [])]

    @property
    def subject(self) -> str:
        """Return the subject; empty if a template would define it, because the emulator has no templates."""
        return str(self.envelope.get("subject", self.request.get("subject", "")))

    @property
    def text(self) -> str:
        return self._content("text/plain")

    @property
    def html(self) -> str:
        return self._content("text/html")

    @property
    def headers(self) -> dict[str, str]:
        return self._merged("headers")

    @property
    def custom_args(self) -> dict[str, str]:
        return self._merged("custom_args")

    def as_json(self) -> Json:
        """Return `request` and everything derived from it."""
        names = ("number", "message_id", "time", "to", "cc", "bcc", "reply_to", "subject", "text", "html", "headers")
        derived = {name: getattr(self, name) for name in (*names, "custom_args")}
        return {"id": self.number, **derived, "from": self.sender, "request": self.request}

    def eml(self) -> bytes:
        """Return the email as an RFC 5322 message, without Bcc, as recipients get it."""
        message = EmailMessage(policy=SMTP.clone(header_factory=self._header_factory()))
        message["From"] = _address(self.sender)
        for name, addresses in (("To", self.to), ("Cc", self.cc), ("Reply-To", self.reply_to)):
            if addresses:
                message[name] = [_address(address) for address in addresses]
        message["Subject"] = _line(self.subject)
        message["Date"] = format_datetime(datetime.fromtimestamp(self.time, UTC))
        message["Message-ID"] = f"<{self.message_id}@ismtpd.sendgrid.test>"
        self._fill(message)
        self._set_boundaries(message)
        for name, value in self.headers.items():
            del message[name]
            message[name] = _line(value)
        return message.as_bytes()

    def _set_boundaries(self, message: EmailMessage) -> None:
        """Derive the boundaries from the email, so that its source is the same in each view."""
        for number, part in enumerate(part for part in message.walk() if part.is_multipart()):
            part.set_boundary(f"emulator-{_token(self.message_id)}-{self.index}-{number}")

    def _fill(self, message: EmailMessage) -> None:
        for number, block in enumerate(self.request.get("content", [])):
            kind, subtype = _mime_type(block["type"])
            add = message.add_alternative if number else message.set_content
            if kind == "text":
                add(block["value"], subtype=subtype)
            else:
                add(block["value"].encode(), maintype=kind, subtype=subtype)
        for attachment in self.request.get("attachments", []):
            _attach(message, attachment)

    def _header_factory(self) -> HeaderRegistry:
        # Custom headers are accepted unparsed, so that `Date: soon` doesn't raise an error.
        registry = HeaderRegistry()
        for name in self.headers:
            registry.map_to_type(name, UnstructuredHeader)  # type: ignore[arg-type]  # typeshed: a mixin
        return registry

    def _recipients(self, kind: str) -> list[Json]:
        return list(self.envelope.get(kind, []))

    def _content(self, kind: str) -> str:
        blocks = self.request.get("content", [])
        return next((block["value"] for block in blocks if block["type"].lower() == kind), "")

    def _merged(self, field: str) -> dict[str, str]:
        return {**self.request.get(field, {}), **self.envelope.get(field, {})}


def _address(address: Json) -> Address:
    return Address(display_name=_line(address.get("name", "")), addr_spec=address["email"])


def _attach(message: EmailMessage, attachment: Json) -> None:
    kind, subtype = _mime_type(attachment.get("type", "application/octet-stream"))
    message.add_attachment(
        base64.b64decode(attachment["content"]),
        maintype=kind if kind in _BINARY_TYPES else "application",
        subtype=subtype if kind in _BINARY_TYPES else "octet-stream",
        disposition=attachment.get("disposition", "attachment"),
        filename=_line(attachment["filename"]),
        cid=f"<{_token(attachment['content_id'])}>" if "content_id" in attachment else None,
    )


def _mime_type(text: str) -> tuple[str, str]:
    """Return type and subtype; a type that a MIME part can't have becomes application/octet-stream."""
    kind, _, subtype = text.lower().partition("/")
    if kind not in ("text", *_BINARY_TYPES) or not _token(subtype):
        return "application", "octet-stream"
    return kind, _token(subtype)


def _line(text: str) -> str:
    """Replace control characters and line breaks, which would end a header early."""
    return re.sub(r"[\x00-\x1f\x7f\x85\u2028\u2029]+", " ", text).strip()


def _token(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9!#$&^_.+@-]", "", text)
