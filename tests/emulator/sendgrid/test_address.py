"""Which email addresses SendGrid accepts."""

import pytest

from emulator.sendgrid.mail_send.address import is_address


@pytest.mark.parametrize(
    "email",
    [
        "ada@example.org",
        "Ada.Lovelace+notes@sub.example.co.uk",
        "o'brien@example.org",
        '"ab..cd"@example.org',
        "ada@xn--bcher-kva.example",
        "ada@gmailcom",
        "jörg@example.org",
        "例@example.org",
        "ada@bücher.example",
        "a" * 64 + "@example.org",
    ],
)
def test_accepts_the_address(email: str) -> None:
    assert is_address(email)


@pytest.mark.parametrize(
    "email",
    [
        "ada",
        "@example.org",
        "ada@",
        "ada@@example.org",
        "a@b.org,c@d.org",
        "a@b.org;c@d.org",
        "a@b.org c@d.org",
        " ada@example.org",
        "ada@example.org ",
        "ada@example.org\n",
        "ada\r\nBcc: eve@example.org",
        "Ada <ada@example.org>",
        "<ada@example.org>",
        ".ada@example.org",
        "ada.@example.org",
        "a..b@example.org",
        "ada@example..org",
        "ada@-example.org",
        "ada@example.org.",
        "ada@[192.0.2.1]",
        "a" * 65 + "@example.org",
        "a@" + ".".join(["b" * 60] * 5),
        "ada@example.org\u200b",
        "a\x00@example.org",
        "\ud800@example.org",
    ],
)
def test_rejects_the_address(email: str) -> None:
    assert not is_address(email)
