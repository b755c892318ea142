"""Code blocks: pretty-printed, highlighted, and escaped."""

import pytest

from emulator.web.code import highlight


def test_json_is_pretty_printed_and_highlighted() -> None:
    assert highlight('{"a": [1, "<b>", true]}') == (
        '{\n  <span class="key">&#34;a&#34;</span>: [\n    <span class="number">1</span>,\n'
        '    <span class="string">&#34;&lt;b&gt;&#34;</span>,\n    <span class="word">true</span>\n  ]\n}'
    )


def test_a_message_has_its_start_line_headers_and_json_body_highlighted() -> None:
    found = highlight('HTTP/1.1 200 OK\nContent-Type: text/plain\n\n{"a": 1}')
    assert found.striptags() == 'HTTP/1.1 200 OK Content-Type: text/plain { "a": 1 }'
    assert '<span class="header">Content-Type:</span> text/plain\n\n{\n  <span class="key">' in found


@pytest.mark.parametrize("text", ["", "{", "<script>", "Error: {\n", "[" * 100_000, "HTTP/1.1 200\n\n<p>"])
def test_other_text_is_only_escaped(text: str) -> None:
    found = highlight(text)
    assert "<script>" not in found
    assert "<p>" not in found
    assert found.unescape().endswith(text.rpartition("\n")[2])
