"""The email: identical content in text and HTML, one or two languages, and safety against hostile input."""

# ruff: noqa: RUF001  (the tests contain letters of other scripts)

import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.sendgrid.mail_send import violations
from notice.compose import Message
from notice.sendgrid import payload
from runtime import log
from tests.notice.sample import (
    CONTACT,
    REFERENCE,
    TAGS,
    TIME,
    callout,
    email,
    email_in,
    html_lines,
    parse_page,
    text_lines,
)

GOLDEN = Path(__file__).parent / "golden"
REGENERATE = "REGENERATE_GOLDEN"  # set to 1 to regenerate the golden emails; review the diff
MAX_HTML_BYTES = 24 * 1024
EXAMPLES = ["auth0-default-sample", "full", "minimal", "unusual-but-legal", "no-email"]
NAMES = ["connection__name", "user__email", "request__geoip__cityName", "request__geoip__countryName"]
HEADERS = [
    "request__user_agent",
    "request__language",
    "request__geoip__timeZone",
    "request__geoip__countryCode",
    "request__ip",
]
HOSTILE = {
    "HTML": "<b onmouseover=alert(1)>x</b><img src=x><script>1</script>&lt;\"'",
    "lines": "a\r\nBcc: eve@example.com\n\n.\n\u2028b\x00\x1b[31m",
    "bidi": "\u202egnp.tset\u202c \u2066x\u2069 \u200f",
    "link": "https://evil.example/?a=1 HTTP://evil.example javascript://x",
    "www": "go to www.evil.example or WWW.evil.example",
    "domain": "evil.example/login, evil\u200b.example, evil．example, evil。example",
    "emoji": "👩‍👩‍👧‍👦 🏳️‍🌈 Ω≈ç√",
    "long": "x" * 10_000,
    "long words": "very " * 2_000,
    "braces": "{} {0} {0.__class__} {address} {{ }} {connection!r:>99999999}",
    "Jinja": "{{7*7}} {% raw %} {# x #} {{ settings }}",
    "template marks": "%s %(x)s ${x} $x `x` -substitution-",
    "Hebrew": "שלום (עולם)",
}


# Content --------------------------------------------------------------------------------------------------------------


def test_the_english_subject_and_sentence_match_auth0s_sample_action() -> None:
    message = email_in("en")
    assert message.subject == "Your password was changed"
    sentence = "The password for your Username-Password-Authentication account ada@example.com was recently changed."
    assert message.text.splitlines().count(sentence) == 1
    assert html_lines(message).count(sentence) == 1


def test_a_connection_without_a_name_is_not_mentioned() -> None:
    message = email_in("en", connection__name=...)
    assert "The password for your account ada@example.com was recently changed." in text_lines(message)


def test_each_fact_is_on_its_own_line() -> None:
    lines = text_lines(email_in("en"))
    first = lines.index("Details of the change")
    assert [line.replace("\u00a0", " ") for line in lines[first + 1 : first + 5]] == [
        "When: November 23, 2026, 1:05 PM UTC (2:05 PM Central European Standard Time)",
        "Where: Stockholm, Sweden (approximate)",
        "Device: Firefox on Linux",
        "IP address: 192.0.2.44",
    ]


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("vi", "13:05 UTC ngày 23 tháng 11, 2026 (14:05 Giờ chuẩn Trung Âu)"),
        ("eu", "2026(e)ko azaroaren 23(a), 13:05 (UTC) / 14:05 ("),
        ("he", "14:05\u2069 שעון מרכז אירופה (חורף)\u2069\n"),
    ],
)
def test_utc_follows_the_time_in_every_date_order(tag: str, expected: str) -> None:
    assert expected in email_in(tag).text


def test_a_local_time_on_another_day_includes_the_date() -> None:
    message = email_in("de", time=datetime(2026, 12, 31, 23, 30, tzinfo=UTC))
    expected = "31. Dezember 2026, 23:30 UTC (1. Januar 2027, 00:30 Mitteleuropäische Normalzeit)"
    assert f"Zeitpunkt: {expected}" in text_lines(message)


def test_only_utc_is_shown_if_the_zone_is_unknown() -> None:
    lines = text_lines(email_in("de", request__geoip__timeZone="../etc/passwd"))
    assert "Zeitpunkt: 23. November 2026, 13:05 UTC" in lines


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({}, "Ort: Stockholm, Schweden (ungefähr)"),
        ({"request__geoip__cityName": ...}, "Ort: Schweden (ungefähr)"),
        ({"request__geoip__countryCode": ...}, "Ort: Stockholm, Sweden (ungefähr)"),
        ({"request__geoip__countryCode": "XX"}, "Ort: Stockholm, Sweden (ungefähr)"),
        ({"request__geoip__countryCode": "XX", "request__geoip__countryName": ...}, "Ort: Stockholm (ungefähr)"),
    ],
)
def test_a_partly_known_place_is_shown(changes: dict[str, Any], where: str) -> None:
    assert where in text_lines(email_in("de", **changes))


@pytest.mark.parametrize(
    ("agent", "device"),
    [
        ("Mozilla/5.0 (Linux; Android 15; Pixel 9; wv) Version/4.0 Chrome/142.0.0.0 Mobile Safari/537.36", "Android"),
        ("Mozilla/5.0 (PlayStation 5) AppleWebKit/605.1.15 (KHTML, like Gecko) Chrome/142.0 Safari/605.1.15", "Chrome"),
    ],
)
def test_a_partly_known_device_is_shown(agent: str, device: str) -> None:
    assert f"Device: {device}" in text_lines(email_in("en", request__user_agent=agent))


def test_the_details_heading_is_omitted_without_facts() -> None:
    message = email_in("en", "minimal", user__email="ada@example.com")
    assert "Details of the change" in message.text  # the time is always known
    without_time = email("minimal", {"CONTEXT": "place"}, user__email="ada@example.com")
    assert "Details of the change" not in without_time.text + without_time.html


def test_the_steps_contact_and_reference_end_the_email() -> None:
    lines = text_lines(email_in("en"))
    assert lines[-6:] == [
        "Wasn’t you?",
        "Set a new password now: open the website or app the way you always do and choose “Forgot password?”.",
        "If you used your old password anywhere else, change it there too.",
        f"Tell us, even if you are not sure: {CONTACT}",
        "This message contains no sign-in link, and we will never ask for your password.",
        f"Reference: {REFERENCE}",
    ]


def test_the_product_name_comes_first() -> None:
    message = email(options={"PRODUCT_NAME": "Acme <Shop>"})
    assert text_lines(message)[0] == html_lines(message)[0] == "Acme <Shop>"
    assert "Acme" not in email().text + email().html


@pytest.mark.parametrize("tag", TAGS)
def test_the_product_name_replaces_the_connections_name(tag: str) -> None:
    for connection in ("Username-Password-Authentication", ...):
        options = {"PRODUCT_NAME": "Acme", "DEFAULT_LANGUAGE": tag}
        message = email(options=options, request__language=tag, connection__name=connection)
        sentence = next(line for line in text_lines(message) if "ada@example.com" in line)
        assert "Acme" in sentence
        assert "Username-Password-Authentication" not in message.text + message.html


def test_the_english_sentence_with_a_product_name() -> None:
    message = email(options={"PRODUCT_NAME": "Acme"}, request__language="en")
    assert "The password for your Acme account ada@example.com was recently changed." in text_lines(message)


def test_a_contact_address_is_the_reply_to_address() -> None:
    message = email()
    assert message.reply_to == CONTACT
    assert _links(message) == {f"mailto:{CONTACT}"}


def test_an_internationalized_contact_address_is_shown_as_set_and_linked_in_its_xn_form() -> None:
    message = email(options={"SUPPORT_CONTACT": "hilfe@bücher.example"})
    assert "hilfe@bücher.example" in message.text
    assert _links(message) == {"mailto:hilfe@xn--bcher-kva.example"}


@pytest.mark.parametrize(("tag", "contact"), [("ar", "\u2068{} \u2069\n"), ("he", "\u2068{} \u2069\n"), ("en", "{}\n")])
def test_a_contact_url_keeps_its_final_slash_in_right_to_left_text(tag: str, contact: str) -> None:
    """Without isolates, the slash moves to the other side; the space keeps clients from linking the isolate."""
    url = "https://acme.example/help/"
    options = {"SUPPORT_CONTACT": url, "DEFAULT_LANGUAGE": tag}
    assert contact.format(url) in email(options=options, request__language=tag).text


def test_a_contact_url_is_linked_without_a_reply_to_address() -> None:
    message = email(options={"SUPPORT_CONTACT": "https://acme.example/help?a=1&b=2"})
    assert message.reply_to == ""
    assert _links(message) == {"https://acme.example/help?a=1&b=2"}
    assert "https://acme.example/help?a=1&b=2" in message.text


def test_the_sender_and_recipient_are_unchanged() -> None:
    message = email()
    assert (message.to, message.sender_email, message.sender_name) == (
        "ada@example.com",
        "security@acme.example",
        "Acme Security",
    )


# Two languages --------------------------------------------------------------------------------------------------------


def test_the_requested_language_comes_first_and_the_default_follows() -> None:
    message = email(options={"DEFAULT_LANGUAGE": "ar"}, request__language="sv-SE,sv;q=0.9")
    assert message.subject == "Ditt lösenord har ändrats"
    sections = [
        attributes for tag, attributes in parse_page(message.html).tags if tag == "div" and "lang" in attributes
    ]
    assert [(section["lang"], section["dir"]) for section in sections] == [("sv", "ltr"), ("ar", "rtl")]
    swedish, arabic = email_in("sv"), email_in("ar")
    assert text_lines(message) == text_lines(swedish) + text_lines(arabic)
    assert html_lines(message) == html_lines(swedish) + html_lines(arabic)


@pytest.mark.parametrize("tag", TAGS)
def test_the_html_declares_its_language_and_direction(tag: str) -> None:
    direction = "rtl" if tag in ("ar", "fa", "he", "ur") else "ltr"
    root = parse_page(email_in(tag).html).tags[0]
    assert root == ("html", {"lang": tag, "dir": direction})


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("tag", TAGS)
def test_sendgrid_accepts_every_example_in_every_language(tag: str, name: str) -> None:
    message = email(name, request__language=tag, user__email="søren+konto@bücher.example")
    assert violations(payload(message, callout())) == []
    _assert_complete(message)
    assert text_lines(message) == html_lines(message)


@pytest.mark.parametrize("zone", sorted(available_timezones()))
def test_every_zone_has_a_name(zone: str) -> None:
    for tag in ("en", "ja", "ur"):
        message = email_in(tag, request__geoip__timeZone=zone)
        _assert_complete(message)
        assert "∅" not in message.text  # Babel's marker for a missing name


@pytest.mark.parametrize(
    ("zone", "name"),
    [
        ("Asia/Kolkata", "6:35 PM India Standard Time"),
        ("Asia/Calcutta", "6:35 PM India Standard Time"),
        ("Asia/Ho_Chi_Minh", "8:05 PM Indochina Time"),
        ("Europe/Kyiv", "3:05 PM Eastern European Standard Time"),
        ("America/New_York", "8:05 AM Eastern Standard Time"),
        ("Etc/GMT+5", "8:05 AM GMT-05:00"),
    ],
)
def test_current_and_former_zone_identifiers_have_a_name(zone: str, name: str) -> None:
    text = email_in("en", request__geoip__timeZone=zone).text.replace("\u00a0", " ")
    assert f"({name})" in text


@pytest.mark.parametrize(
    ("time", "zone", "expected"),
    [
        (datetime(2026, 7, 15, 12, 15, tzinfo=UTC), "Europe/Dublin", "1:15 PM Irish Standard Time"),
        (datetime(2026, 7, 15, 12, 15, tzinfo=UTC), "Europe/London", "1:15 PM British Summer Time"),
        (datetime(2026, 7, 15, 12, 15, tzinfo=UTC), "Australia/Sydney", "10:15 PM Australian Eastern Standard Time"),
        (datetime(2026, 1, 15, 12, 15, tzinfo=UTC), "Australia/Sydney", "11:15 PM Australian Eastern Daylight Time"),
        (datetime(1900, 7, 15, 12, 15, tzinfo=UTC), "Europe/Amsterdam", "12:34 PM Central European Standard Time"),
        (datetime(1900, 7, 15, 12, 15, tzinfo=UTC), "Etc/GMT-14", "July 16, 1900, 2:15 AM GMT+14:00"),
        (datetime(1900, 7, 15, 12, 15, tzinfo=UTC), "Africa/Casablanca", "11:44 AM GMT-00:30"),
    ],
)
def test_the_zone_name_reflects_daylight_saving_time(time: datetime, zone: str, expected: str) -> None:
    text = email_in("en", time=time, request__geoip__timeZone=zone).text.replace("\u00a0", " ")
    assert f"({expected})" in text


def _assert_complete(message: Message) -> None:
    for part in (message.subject, message.text, message.html):
        assert not re.search(
            r"\bNone\b|\bnull\b|unknown|undefined|[{}]\w|\(\)|: *$", part.split("<body")[-1], re.MULTILINE
        )


# Text and HTML --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tag", TAGS)
def test_text_and_html_have_the_same_content(tag: str) -> None:
    message = email_in(tag)
    assert text_lines(message) == html_lines(message)
    assert message.subject == text_lines(message)[0]


def test_the_text_part_has_no_html_escapes() -> None:
    message = email_in("en", connection__name="R&D <eu>")
    assert "R&D <eu> account" in message.text
    assert "R&amp;D &lt;eu&gt; account" in message.html


@pytest.mark.parametrize("tag", TAGS)
def test_the_html_is_neither_iso_8859_1_nor_windows_1252(tag: str) -> None:
    """SendGrid chooses the smallest character set that fits, and Gmail clips emails in these two."""
    html = email_in(tag).html
    for charset in ("iso-8859-1", "windows-1252"):
        with pytest.raises(UnicodeEncodeError):
            html.encode(charset)


@pytest.mark.parametrize("tag", TAGS)
def test_no_resources_are_loaded_and_the_contact_is_the_only_link(tag: str) -> None:
    message = email_in(tag)
    assert _links(message) == {f"mailto:{CONTACT}"}
    used = {name for name, _ in parse_page(message.html).tags}
    assert used <= {
        *("html", "head", "meta", "title", "style", "body", "main", "div"),
        *("h1", "h2", "p", "br", "ul", "ol", "li", "a", "span"),
    }
    assert not re.search(r"\burl\(|@import|\bsrc=|<link|http|//", message.html)


def _links(message: Message) -> set[str | None]:
    return {attributes["href"] for name, attributes in parse_page(message.html).tags if "href" in attributes}


@pytest.mark.parametrize("tag", TAGS)
def test_two_languages_with_the_longest_names_stay_under_24_kb(tag: str) -> None:
    """Test the largest characters: four bytes in UTF-8, and five as an HTML escape."""
    for widest in ("𝕏", "&"):
        long: dict[str, Any] = dict.fromkeys(NAMES, widest * 10_000)
        for default in ("en", "my", "ta"):
            message = email(
                "full", {"DEFAULT_LANGUAGE": default, "PRODUCT_NAME": widest * 100}, request__language=tag, **long
            )
            assert len(message.html.encode()) < MAX_HTML_BYTES


# Untrusted input ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tag", ["en", "de", "ar", "ja"])
@pytest.mark.parametrize("field", NAMES + HEADERS)
@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_input_is_rendered_as_text(kind: str, field: str, tag: str) -> None:
    changes: dict[str, Any] = {field: HOSTILE[kind]}
    if field == "request__geoip__countryName":
        changes["request__geoip__countryCode"] = "XX"
    message = email("full", {"DEFAULT_LANGUAGE": tag}, **{"request__language": tag, **changes})
    _assert_intact(message, email_in(tag))
    if kind == "emoji" and field == "connection__name":
        assert "🏳️‍🌈" in message.text


@given(st.dictionaries(st.sampled_from(NAMES + HEADERS), st.text(max_size=200)), st.sampled_from(["en", "ar", "ja"]))
def test_arbitrary_input_leaves_the_email_intact(changes: dict[str, str], tag: str) -> None:
    changes.pop("request__language", None)
    _assert_intact(email_in(tag, **changes), email_in(tag))


def _assert_intact(message: Message, usual: Message) -> None:
    assert message.subject == usual.subject
    assert _links(message) == _links(usual)
    # Unknown facts are omitted, so there may be fewer lines than usual.
    assert text_lines(message) == html_lines(message)
    assert len(text_lines(message)) <= len(text_lines(usual))
    shapes = [
        [(name, sorted(attributes)) for name, attributes in parse_page(each.html).tags] for each in (message, usual)
    ]
    facts = ("li", "span")
    assert [shape for shape in shapes[0] if shape[0] not in facts] == [
        shape for shape in shapes[1] if shape[0] not in facts
    ]
    for part in (message.text, message.html.split("<body")[1]):
        assert "://" not in part
        assert "www." not in part.lower()
        assert not re.search("[\u202a-\u202e\u200e\u200f\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]", part)
        assert part.count("\u2069") == len(re.findall("[\u2066-\u2068]", part))
    assert len(message.html.encode()) < MAX_HTML_BYTES


@pytest.mark.parametrize("field", ["connection__name", "request__geoip__cityName", "request__geoip__countryName"])
def test_a_domain_in_a_name_is_split_at_its_dots(field: str) -> None:
    """Email clients turn bare domains into links."""
    message = email_in("en", request__geoip__countryCode="XX", **{field: HOSTILE["domain"]})
    expected = "evil. example/login, evil . example, evil. example, evil. example"
    assert expected in message.text
    assert expected in message.html


def test_an_address_without_printable_characters_still_yields_an_email() -> None:
    """SendGrid, not this function, rejects the address."""
    message = email_in("en", user__email="\u202e")
    assert message.to == "\u202e"
    assert "The password for your Username-Password-Authentication account  was recently changed." in message.text


@pytest.mark.parametrize("address", ["ada@example.com", '"see evil.example"@example.com', "x" * 400 + "@example.com"])
def test_the_address_is_redacted_as_the_email_shows_it(address: str) -> None:
    """SendGrid's response, which is logged, may quote the email."""
    with log.context():
        log.redact_address(address, "user 0123")
        sentence = next(line for line in text_lines(email_in("en", user__email=address)) if "account" in line)
        redacted = log.redact(sentence).split("account ")[1]
        assert redacted.split(" was ")[0] in ("user 0123", "[address]")


def test_the_recipient_is_the_unchanged_address() -> None:
    assert email(user__email="www.ada@example.com").to == "www.ada@example.com"


def test_values_keep_their_direction_in_text_of_the_opposite_direction() -> None:
    arabic = email_in("ar").text
    assert "\u2068ada@example.com\u2069" in arabic
    assert "\u2068Stockholm\u2069، \u2068السويد\u2069" in arabic
    assert "، \u20681:05 م\u2069 UTC\u2069 (\u2067\u20682:05 م\u2069" in arabic.replace("\u00a0", " ")
    assert "\u20681:05 PM\u2069 UTC\u2069" in email_in("ur").text.replace("\u00a0", " ")
    assert "your \u2068שלום (עולם)\u2069 account" in email_in("en", connection__name=HOSTILE["Hebrew"]).text
    assert not re.search("[\u2066-\u2069]", email_in("en", connection__name="Zoë").text)


# Golden emails --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "tag"), [*((name, "en") for name in EXAMPLES), ("full", "de"), ("full", "ja"), ("full", "ar")]
)
def test_the_text_matches_the_golden_email(name: str, tag: str) -> None:
    message = email_in(tag, name, **({} if name == "full" else {"user__email": "ada@example.com"}))
    file = GOLDEN / f"{name}.{tag}.txt"
    if os.environ.get(REGENERATE):
        file.write_text(f"Subject: {message.subject}\n\n{message.text}")
    hint = "if intended, run REGENERATE_GOLDEN=1 .venv/bin/python -m pytest tests/notice and review the diff"
    assert file.read_text() == f"Subject: {message.subject}\n\n{message.text}", hint


def test_golden_emails_use_the_callouts_time() -> None:
    assert callout().time == TIME
