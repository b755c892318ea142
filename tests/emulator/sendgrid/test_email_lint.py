"""The email lint: each problem fails exactly one check."""

from typing import Any

import pytest

from emulator.sendgrid.email_lint import checks, links

VALID: dict[str, Any] = {
    "to": [{"email": "ada@example.com"}],
    "subject": "Your password was changed",
    "text": "Your password was changed\n\nhelp@example.com",
    "html": '<html lang="en" dir="ltr"><body><h1>Your password was <b>changed</b></h1>'
    '<a href="mailto:help@example.com">help</a></body></html>',
    "headers": {"Auto-Submitted": "auto-generated"},
}


def failing(**changes: Any) -> list[str]:
    return [check.name for check in checks({**VALID, **changes}) if not check.good]


def test_a_valid_email_passes_all_checks() -> None:
    assert failing() == []
    assert links(VALID) == ["mailto:help@example.com"]


def html(old: str, new: str) -> dict[str, str]:
    return {"html": VALID["html"].replace(old, new)}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"text": ""}, "both parts"),
        (html("</body>", "x" * 24_576), "size"),
        ({"subject": "x" * 79}, "subject"),
        ({"subject": ""}, "subject"),
        ({"subject": "For ada@example.com"}, "no user data in the subject"),
        ({"headers": {}}, "no automatic replies"),
        (html("mailto:help@example.com", "http://example.com"), "links"),
        (html("</body>", '<img alt="" src="https://example.com/pixel.png">'), "no remote content"),
        (html("</body>", "<script></script>"), "no active content"),
        ({"text": "Something else"}, "both parts match"),
        (html(' dir="ltr"', ""), "language and direction"),
        (html("h1", "p"), "heading"),
        (html("</body>", '<img src="cid:x">'), "image descriptions"),
        (html("</body>", "<table></table>"), "no layout tables"),
    ],
)
def test_a_problem_fails_only_its_check(changes: dict[str, Any], expected: str) -> None:
    assert failing(**changes) == [expected]
