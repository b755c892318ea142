"""The checks of a mail, each failing for its reason."""

from typing import Any

import pytest

from emulator.sendgrid.email_lint import checks, links

GOOD: dict[str, Any] = {
    "to": [{"email": "ada@example.com"}],
    "subject": "Your password was changed",
    "text": "Your password was changed\n\nhelp@example.com",
    "html": '<html lang="en" dir="ltr"><body><h1>Your password was <b>changed</b></h1>'
    '<a href="mailto:help@example.com">help</a></body></html>',
    "headers": {"Auto-Submitted": "auto-generated"},
}


def failing(**changes: Any) -> list[str]:
    return [check.name for check in checks({**GOOD, **changes}) if not check.good]


def test_a_good_mail_passes_all() -> None:
    assert failing() == []
    assert links(GOOD) == ["mailto:help@example.com"]


def html(old: str, new: str) -> dict[str, str]:
    return {"html": GOOD["html"].replace(old, new)}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"text": ""}, "both parts"),
        (html("</body>", "x" * 24_576), "size"),
        ({"subject": "x" * 79}, "subject"),
        ({"subject": ""}, "subject"),
        ({"subject": "For ada@example.com"}, "no user data in the subject"),
        ({"headers": {}}, "no answer from a machine"),
        (html("mailto:help@example.com", "http://example.com"), "links"),
        (html("</body>", '<img alt="" src="https://example.com/pixel.png">'), "no remote content"),
        (html("</body>", "<script></script>"), "nothing active"),
        ({"text": "Something else"}, "both parts say the same"),
        (html(' dir="ltr"', ""), "language and direction"),
        (html("h1", "p"), "a heading"),
        (html("</body>", '<img src="cid:x">'), "images have words"),
        (html("</body>", "<table></table>"), "no table as layout"),
    ],
)
def test_what_is_wrong_fails_its_check_alone(changes: dict[str, Any], expected: str) -> None:
    assert failing(**changes) == [expected]
