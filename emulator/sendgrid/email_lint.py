"""A short list of checks of one mail, each with its reason: what mailbox providers and readers stumble over."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

HTML_LIMIT = 24 * 1024  # bytes
ACTIVE = ("script", "form", "iframe", "object", "embed", "video", "audio", "link")


@dataclass(frozen=True)
class Check:
    name: str
    good: bool
    found: str
    reason: str


@dataclass
class _Html(HTMLParser):
    """What the checks need to know of an HTML text."""

    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    text: str = ""

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def values(self, attribute: str) -> list[str]:
        return [attrs[attribute] or "" for _, attrs in self.tags if attribute in attrs]

    def named(self, *tags: str) -> list[dict[str, str | None]]:
        return [attrs for tag, attrs in self.tags if tag in tags]


def checks(mail: Mapping[str, Any]) -> list[Check]:
    """`mail` as the journal has it."""
    html = _Html()
    html.feed(mail["html"])
    return [*_parts(mail), *_content(mail, html), *_accessibility(html)]


def links(mail: Mapping[str, Any]) -> list[str]:
    """Where the mail leads, each once: what is marked as a link, and addresses in the text."""
    html = _Html()
    html.feed(mail["html"])
    found = [*html.values("href"), *re.findall(r"https?://[^\s<>\"']+", mail["text"])]
    return list(dict.fromkeys(found))


def _parts(mail: Mapping[str, Any]) -> Iterator[Check]:
    have = [kind for kind in ("text", "html") if mail[kind]]
    yield Check("both parts", len(have) == 2, " and ".join(have) or "none", "Some readers show only text.")
    size = len(mail["html"].encode())
    limit = f"{size:,} of {HTML_LIMIT:,} bytes"
    yield Check(
        "size", size <= HTML_LIMIT, limit, "Gmail cuts off what is larger than 102 kB; small mails arrive fast."
    )
    subject = mail["subject"]
    good = 0 < len(subject) <= 78 and subject.isprintable()
    yield Check("subject", good, f"{len(subject)} characters", "One line, at most 78 characters, is shown whole.")
    addresses = [person["email"] for person in mail["to"]]
    private = not any(address in subject for address in addresses)
    yield Check("no user data in the subject", private, "none" if private else subject, "It shows on a locked screen.")
    automatic = "Auto-Submitted" in mail["headers"]
    found = mail["headers"].get("Auto-Submitted", "no Auto-Submitted header")
    yield Check("no answer from a machine", automatic, found, "Out-of-office replies are not sent to such a mail.")


def _content(mail: Mapping[str, Any], html: _Html) -> Iterator[Check]:
    found = links(mail)
    safe = all(link.startswith(("mailto:", "https://", "http://127.0.0.1:")) for link in found)
    yield Check("links", safe, _listed(found), "A notice that asks for a click teaches people to trust phishing.")
    remote = [value for value in html.values("src") if not value.startswith("cid:")]
    yield Check("no remote content", not remote, _listed(remote), "An image tells its server that the mail was read.")
    active = [tag for tag, _ in html.tags if tag in ACTIVE]
    yield Check("nothing active", not active, _listed(active), "Mail programs drop it, or the whole mail.")
    first = next((line for line in mail["text"].splitlines() if line.strip()), "")
    same = _plain(first) in _plain(html.text)
    yield Check("both parts say the same", same, "the first line" if same else "not the first line", "Filters compare.")


def _accessibility(html: _Html) -> Iterator[Check]:
    root = next(iter(html.named("html")), {})
    language = f"lang={root.get('lang')}, dir={root.get('dir')}"
    both = bool(root.get("lang") and root.get("dir"))
    yield Check("language and direction", both, language, "A screen reader picks its voice by it.")
    headings = len(html.named("h1"))
    yield Check("a heading", headings > 0, f"{headings} of the first level", "It is how a screen reader skips ahead.")
    silent = [attrs.get("src") or "" for attrs in html.named("img") if attrs.get("alt") is None]
    yield Check("images have words", not silent, _listed(silent), "Without alt, a screen reader reads the file's name.")
    tables = [attrs for attrs in html.named("table") if attrs.get("role") != "presentation"]
    yield Check("no table as layout", not tables, f"{len(tables)} tables", "It is read out cell by cell.")


def _listed(values: Sequence[str]) -> str:
    return ", ".join(values[:5]) or "none"


def _plain(text: str) -> str:
    """Without the marks that keep an inserted value's direction, and with every gap alike."""
    return " ".join(re.sub("[\u2066-\u2069\u200e\u200f]", "", text).split())
