"""Format a request, a response, or JSON for reading: pretty-printed and highlighted, as HTML."""

import json
import re
from collections.abc import Iterator

from markupsafe import Markup, escape

_TOKEN = re.compile(
    r'(?P<key>"(?:[^"\\]|\\.)*")(?=\s*:)|(?P<string>"(?:[^"\\]|\\.)*")'
    r"|(?P<number>-?\b\d+(?:\.\d+)?(?:[eE][+-]?\d+)?\b)|(?P<word>\b(?:true|false|null)\b)"
)
_HEADER = re.compile(r"([A-Za-z0-9-]+:)( .*)?")


def highlight(text: str) -> Markup:
    """Return JSON, or an HTTP message with a JSON body, as HTML; any other text is only escaped."""
    if _is_json(text):
        return Markup().join(_tokens(_pretty(text)))
    head, blank, body = text.partition("\n\n")
    if not head.startswith(("HTTP/", "GET ", "POST ", "PATCH ", "DELETE ", "PUT ")):
        return escape(text)
    return Markup("{}{}{}").format(_highlight_head(head), blank, highlight(body) if _is_json(body) else body)


def _pretty(text: str) -> str:
    return json.dumps(json.loads(text), indent=2, ensure_ascii=False)


def _is_json(text: str) -> bool:
    if not text.lstrip().startswith(("{", "[")):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _tokens(text: str) -> Iterator[Markup]:
    end = 0
    for match in _TOKEN.finditer(text):
        yield escape(text[end : match.start()])
        yield Markup('<span class="{}">{}</span>').format(match.lastgroup, match[0])
        end = match.end()
    yield escape(text[end:])


def _highlight_head(head: str) -> Markup:
    first, *headers = head.split("\n")
    lines = [Markup('<span class="start-line">{}</span>').format(first), *map(_highlight_header, headers)]
    return Markup("\n").join(lines)


def _highlight_header(line: str) -> Markup:
    match = _HEADER.fullmatch(line)
    return Markup('<span class="header">{}</span>{}').format(match[1], match[2] or "") if match else escape(line)
