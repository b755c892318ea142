"""Lint one email: checks for common deliverability and accessibility problems, each with its reason."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

MAX_HTML_BYTES = 24 * 1024
ACTIVE_TAGS = ("script", "form", "iframe", "object", "embed", "video", "audio", "link")


@dataclass(frozen=True)
class Check:
    name: str
    good: bool
    found: str
    reason: str


@dataclass
class _Html(HTMLParser):
    """The tags and text of an HTML document."""

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


def checks(email: Mapping[str, Any]) -> list[Check]:
    """Run all checks on an email in the form of the journal's `sendgrid.mail` entry."""
    html = _Html()
    html.feed(email["html"])
    return [*_parts(email), *_content(email, html), *_accessibility(html)]


def links(email: Mapping[str, Any]) -> list[str]:
    """Return the distinct links of the email: `href` attributes and URLs in the text."""
    html = _Html()
    html.feed(email["html"])
    urls = [*html.values("href"), *re.findall(r"https?://[^\s<>\"']+", email["text"])]
    return list(dict.fromkeys(urls))


def _parts(email: Mapping[str, Any]) -> Iterator[Check]:
    parts = [kind for kind in ("text", "html") if email[kind]]
    yield Check("both parts", len(parts) == 2, " and ".join(parts) or "none", "Some clients show only plain text.")
    size = len(email["html"].encode())
    limit = f"{size:,} of {MAX_HTML_BYTES:,} bytes"
    yield Check("size", size <= MAX_HTML_BYTES, limit, "Gmail clips emails larger than 102 kB; small emails load fast.")
    subject = email["subject"]
    fits = 0 < len(subject) <= 78 and subject.isprintable()
    yield Check("subject", fits, f"{len(subject)} characters", "One line of at most 78 characters is shown in full.")
    addresses = [person["email"] for person in email["to"]]
    private = not any(address in subject for address in addresses)
    yield Check("no user data in the subject", private, "none" if private else subject, "Lock screens show it.")
    automatic = "Auto-Submitted" in email["headers"]
    header = email["headers"].get("Auto-Submitted", "no Auto-Submitted header")
    yield Check("no automatic replies", automatic, header, "Auto-Submitted suppresses out-of-office replies.")


def _content(email: Mapping[str, Any], html: _Html) -> Iterator[Check]:
    urls = links(email)
    safe = all(link.startswith(("mailto:", "https://", "http://127.0.0.1:")) for link in urls)
    yield Check("links", safe, _listed(urls), "A notice that asks for a click trains users to trust phishing.")
    remote = [value for value in html.values("src") if not value.startswith("cid:")]
    yield Check("no remote content", not remote, _listed(remote), "Remote images reveal that the email was opened.")
    active = [tag for tag, _ in html.tags if tag in ACTIVE_TAGS]
    yield Check("no active content", not active, _listed(active), "Email clients remove it or reject the email.")
    first = next((line for line in email["text"].splitlines() if line.strip()), "")
    same = _plain(first) in _plain(html.text)
    yield Check("both parts match", same, f"{'same' if same else 'different'} first line", "Spam filters compare.")


def _accessibility(html: _Html) -> Iterator[Check]:
    root = next(iter(html.named("html")), {})
    language = f"lang={root.get('lang')}, dir={root.get('dir')}"
    both = bool(root.get("lang") and root.get("dir"))
    yield Check("language and direction", both, language, "Screen readers choose a voice by language.")
    headings = len(html.named("h1"))
    yield Check("heading", headings > 0, f"{headings} h1", "Screen reader users navigate by headings.")
    missing = [attrs.get("src") or "" for attrs in html.named("img") if attrs.get("alt") is None]
    yield Check("image descriptions", not missing, _listed(missing), "Without alt, screen readers read the file name.")
    tables = [attrs for attrs in html.named("table") if attrs.get("role") != "presentation"]
    yield Check("no layout tables", not tables, f"{len(tables)} tables", "Screen readers read tables cell by cell.")


def _listed(values: Sequence[str]) -> str:
    return ", ".join(values[:5]) or "none"


def _plain(text: str) -> str:
    """Remove bidirectional control characters and normalize whitespace."""
    return " ".join(re.sub("[\u2066-\u2069\u200e\u200f]", "", text).split())
