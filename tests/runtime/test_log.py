import io
import json
import logging
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import log
from tests.conftest import Console, Lines

# Lines


def test_each_write_is_one_json_line_with_its_fields(lines: Lines) -> None:
    log.write("ERROR", "two\nlines é \ud800", code="c", nothing=None, number=1.5, what=b"bytes")

    assert lines() == [
        {"severity": "ERROR", "message": "two\nlines é \ud800", "code": "c", "number": 1.5, "what": "b'bytes'"}
    ]


def test_a_context_adds_its_fields_to_every_line_inside(lines: Lines) -> None:
    with log.context(trace="t"):
        log.write("INFO", "a")
        log.bind(user="u")
        log.write("INFO", "b")
    log.bind(user="nobody")
    log.write("INFO", "c")

    assert lines() == [
        {"severity": "INFO", "message": "a", "trace": "t"},
        {"severity": "INFO", "message": "b", "trace": "t", "user": "u"},
        {"severity": "INFO", "message": "c"},
    ]


def test_the_middle_of_a_long_text_is_omitted_after_redaction(lines: Lines) -> None:
    log.redact_secret("secret-value")
    log.write("INFO", "x" * 4090 + "secret-value" + "y" * 1000 + "z" * 4096)

    (line,) = lines()
    assert line["message"] == "x" * 4090 + "[secre[… 1002 characters omitted …]" + "z" * 4096


def test_a_text_of_the_maximum_length_is_not_shortened(lines: Lines) -> None:
    log.write("INFO", "x" * log.MAX_TEXT_CHARS)

    assert lines()[0]["message"] == "x" * 8192


def test_network_seconds_add_up_within_a_context() -> None:
    with log.context():
        log.add_network_seconds(1.5)
        log.add_network_seconds(2)
        assert log.network_seconds() == 3.5
    log.add_network_seconds(1)
    assert log.network_seconds() == 0


# Redaction


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("j+smith@example.com", "j+smith@example.com"),
        ("j+smith@example.com", "J+Smith@EXAMPLE.com"),
        ("j+smith@example.com", "j%2Bsmith%40example.com"),
        ("j+smith@example.com", "j%2bsmith%40example.com"),
        ("j+smith@example.com", "j%2Bsmith@example.com"),
        ("a/b@example.com", "a%2Fb%40example.com"),
        ("a/b@example.com", "a/b%40example.com"),
        ("o'brien@example.com", "o&#x27;brien@example.com"),
        ("o'brien@example.com", "o&#39;brien@example.com"),  # as the email's HTML encodes it
        ('"x y"@example.com', "&#34;x y&#34;@example.com"),
        ("a\x85b@example.com", repr("a\x85b@example.com")[1:-1]),
        ("a@b", "a@b"),
        ('"x y"@example.com', r"\"x y\"@example.com"),
        ("müller@exämple.com", "MÜLLER@EXÄMPLE.COM"),
        ("müller@exämple.com", json.dumps("müller@exämple.com")[1:-1]),
        ("müller@exämple.com", "m%C3%BCller%40ex%C3%A4mple.com"),
        ("müller@exämple.com", "M%C3%9CLLER%40EX%C3%84MPLE.COM"),
        ("İlker@example.com", "İlker@example.com"),
        ("İlker@example.com", "İlker@example.com".lower()),
        ("straße@example.com", "STRASSE@EXAMPLE.COM"),
        ("straße@example.com", "strasse@example.com"),
        ("STRAẞE@example.com", "strasse@example.com"),
        ("ada@bücher.example", "ada@xn--bcher-kva.example"),
        ("ada@bücher.example", "ADA@XN--BCHER-KVA.EXAMPLE"),
        ("o'brien@bücher.example", "o%27brien%40xn--bcher-kva.example"),
        ('"é y"@example.com', json.dumps("&#34;é y&#34;@example.com")[1:-1]),  # as the request to SendGrid encodes it
        ("o'brien@exämple.com", json.dumps("o&#39;brien@exämple.com")[1:-1]),
    ],
)
def test_an_address_is_redacted_in_any_encoding(lines: Lines, address: str, text: str) -> None:
    with log.context():
        log.redact_address(address, "user 0123")
        log.write("INFO", f"to {text}, and {text}!", cause=text)

    assert lines() == [{"severity": "INFO", "message": "to user 0123, and user 0123!", "cause": "user 0123"}]


def test_an_address_is_redacted_only_in_its_context(lines: Lines) -> None:
    with log.context():
        log.redact_address("a@example.com", "user")
    with log.context():
        log.redact_address(None, "user")
        log.redact_address("", "user")
        log.write("INFO", "a@example.com")

    assert lines()[0]["message"] == "a@example.com"


def test_an_address_of_two_letters_is_not_redacted(lines: Lines) -> None:
    with log.context():
        log.redact_address("in", "user")
        log.write("INFO", "in")

    assert lines() == [{"severity": "INFO", "message": "in"}]


def test_a_secret_is_redacted_everywhere_in_any_case(lines: Lines) -> None:
    log.redact_secret("S3cret-Value")
    with log.context():
        log.write("INFO", "S3cret-Value s3cret-value", cause="xS3CRET-VALUEx")
    log.write("INFO", "S3cret-Value")

    first, second = lines()
    assert first["message"] == "[secret] [secret]"
    assert first["cause"] == "x[secret]x"
    assert second["message"] == "[secret]"


@pytest.mark.parametrize(
    "text", ['pa"ss+w/rd', json.dumps('pa"ss+w/rd')[1:-1], "pa&quot;ss+w/rd", "pa&#34;ss+w/rd", "pa%22ss%2Bw%2Frd"]
)
def test_a_secret_is_redacted_in_any_encoding(text: str) -> None:
    log.redact_secret('pa"ss+w/rd')

    assert log.redact(f"<{text}>") == "<[secret]>"


@pytest.mark.parametrize("prefix", ["SG.", "whsec_"])
def test_a_key_is_redacted_with_and_without_its_prefix(prefix: str) -> None:
    log.redact_secret(f"{prefix}c2VjcmV0/dmFsdWU=")

    assert log.redact(f"{prefix}c2VjcmV0/dmFsdWU=, c2VjcmV0/dmFsdWU=") == "[secret], [secret]"
    assert log.redact("c2VjcmV0%2FdmFsdWU%3D") == "[secret]"


def test_only_a_prefix_at_the_start_is_optional() -> None:
    log.redact_secret("my-SG.secret")

    assert log.redact("my-SG.secret and my-secret") == "[secret] and my-secret"


def test_a_key_of_which_little_remains_without_its_prefix_is_redacted_only_as_a_whole() -> None:
    log.redact_secret("SG.short")

    assert log.redact("SG.short and short") == "[secret] and short"


def test_a_short_secret_is_not_redacted() -> None:
    log.redact_secret("1234567")
    log.redact_secret("12345678")

    assert log.redact("1234567") == "1234567"
    assert log.redact("12345678") == "[secret]"


def test_the_last_hundred_secrets_are_remembered() -> None:
    for number in range(101):
        log.redact_secret(f"secret-{number:03}")

    assert log.redact("secret-000") == "secret-000"
    assert log.redact("secret-001 secret-100") == "[secret] [secret]"


@given(st.text(min_size=1), st.text(), st.text())
def test_a_redacted_text_never_contains_the_address(address: str, before: str, after: str) -> None:
    with log.context():
        log.redact_address(address := address + "@example.com", "user 0123")
        redacted = log.redact(before + address + after + address.lower() + address.upper())

    assert address not in redacted
    assert address.lower() not in redacted


@given(st.from_regex(r"[ -~]{8,40}", fullmatch=True), st.text(), st.text())
def test_a_redacted_text_never_contains_the_secret(secret: str, before: str, after: str) -> None:
    log.redact_secret(secret)
    redacted = log.redact(before + secret + after)
    log._secrets.clear()

    assert secret not in redacted or secret in "[secret]" or secret in before + after


# Console


def test_output_inside_a_context_becomes_log_lines(lines: Lines, console: Console) -> None:
    with console(), log.context(user="u"):
        print("one\ntwo")
        print("three", file=sys.stderr)

    assert lines() == [
        {"severity": "INFO", "message": "one", "user": "u", "console": True},
        {"severity": "INFO", "message": "two", "user": "u", "console": True},
        {"severity": "WARNING", "message": "three", "user": "u", "console": True},
    ]


def test_an_address_printed_in_parts_is_redacted(lines: Lines, console: Console) -> None:
    with console(), log.context():
        log.redact_address("a@example.com", "user")
        print("to a@exa", end="")
        print("mple.com")

    assert lines()[0]["message"] == "to user"


def test_a_printed_address_with_a_line_break_is_redacted(lines: Lines, console: Console) -> None:
    with console(), log.context():
        log.redact_address("x\nvictim@example.com", "user")
        print("to x\nvictim@example.com")

    assert [line["message"] for line in lines()] == ["to user"]


def test_an_unfinished_line_is_written_when_the_action_ends(lines: Lines, console: Console) -> None:
    with console(), log.context():
        print("out", end="")
        print("err", end="", file=sys.stderr)
        log.flush_console()
        log.flush_console()

    assert lines() == [
        {"severity": "INFO", "message": "out", "console": True},
        {"severity": "WARNING", "message": "err", "console": True},
    ]


def test_each_stream_has_its_own_unfinished_line(lines: Lines, console: Console) -> None:
    with console(), log.context():
        print("out", end="")
        print("err", file=sys.stderr)
        print("put")
        log.flush_console()

    assert [(line["severity"], line["message"]) for line in lines()] == [("WARNING", "err"), ("INFO", "output")]


def test_outside_a_context_text_is_written_as_it_is_to_its_stream(
    console: Console, capfd: pytest.CaptureFixture[str]
) -> None:
    with console():
        print("host", flush=True)
        print("é", file=sys.stderr, end="")

    assert capfd.readouterr() == ("host\n", "é")


def test_outside_a_context_a_secret_is_still_redacted(console: Console, capfd: pytest.CaptureFixture[str]) -> None:
    log.redact_secret("S3cret-Value")
    with console():
        print("a thread of an Action: S3cret-Value")

    assert capfd.readouterr().out == "a thread of an Action: [secret]\n"


def test_the_replaced_streams_attributes_are_available(console: Console) -> None:
    buffer = sys.stdout.buffer
    with console():
        assert sys.stdout.buffer is buffer


def test_threads_print_into_their_own_contexts(lines: Lines, console: Console) -> None:
    barrier = threading.Barrier(4)

    def act(number: int) -> None:
        with log.context(number=number):
            print(number, end="")
            barrier.wait(60)
            print(number)

    with console(), ThreadPoolExecutor(4) as pool:
        list(pool.map(act, range(4)))

    assert sorted((line["number"], line["message"]) for line in lines()) == [(n, f"{n}{n}") for n in range(4)]


def test_logging_becomes_log_lines_with_severity_and_logger(lines: Lines, console: Console) -> None:
    with console(), log.context(user="u"):
        for level in (logging.DEBUG, logging.INFO, 25, logging.WARNING, logging.ERROR, logging.CRITICAL):
            logging.getLogger("library").log(level, "at %d", level)

    assert lines() == [
        {"severity": "INFO", "message": "at 20", "user": "u", "logger": "library"},
        {"severity": "WARNING", "message": "at 25", "user": "u", "logger": "library"},
        {"severity": "WARNING", "message": "at 30", "user": "u", "logger": "library"},
        {"severity": "ERROR", "message": "at 40", "user": "u", "logger": "library"},
        {"severity": "CRITICAL", "message": "at 50", "user": "u", "logger": "library"},
    ]


def test_debug_output_of_a_logger_at_debug_level_is_written(
    lines: Lines, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    logger = logging.getLogger("verbose")
    monkeypatch.setattr(logger, "level", logging.DEBUG)

    with console():
        logger.debug("detail")

    assert lines() == [{"severity": "DEBUG", "message": "detail", "logger": "verbose"}]


def test_a_logged_exception_has_its_traceback_and_is_redacted(lines: Lines, console: Console) -> None:
    with console(), log.context():
        log.redact_address("a@example.com", "user")
        try:
            int("a@example.com")
        except ValueError:
            logging.getLogger("library").exception("failed")

    (line,) = lines()
    assert line["message"].startswith("failed\nTraceback")
    assert line["message"].endswith("invalid literal for int() with base 10: 'user'")


def test_a_malformed_logging_call_raises_nothing_and_leaks_nothing(lines: Lines, console: Console) -> None:
    with console(), log.context():
        log.redact_address("a@example.com", "user")
        logging.getLogger("library").warning("%d", "a@example.com")

    text = "\n".join(line["message"] for line in lines())
    assert "--- Logging error ---" in text
    assert "a@example.com" not in text


def test_an_existing_root_handler_is_replaced_so_that_nothing_bypasses_redaction(
    lines: Lines, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    existing, original = io.StringIO(), sys.stdout
    with console():
        monkeypatch.setattr(logging.getLogger(), "handlers", [logging.StreamHandler(existing)])
        monkeypatch.setattr(sys, "stdout", original)  # as before install
        log.install()
        with log.context():
            logging.getLogger("library").info("hello")
        monkeypatch.undo()

    assert [line["message"] for line in lines()] == ["hello"]
    assert existing.getvalue() == ""


def test_installing_again_has_no_effect(console: Console) -> None:
    with console():
        before = sys.stdout, sys.stderr, logging.getLogger().handlers[:]
        log.install()

        assert (sys.stdout, sys.stderr, logging.getLogger().handlers) == before


def test_a_formatted_error_has_its_traceback_and_cause() -> None:
    def fail() -> None:
        try:
            int("inner")
        except ValueError as error:
            raise KeyError("outer") from error

    with pytest.raises(KeyError) as caught:
        fail()

    text = log.format_error(caught.value)
    assert "ValueError: invalid literal" in text
    assert text.endswith("KeyError: 'outer'")


def chained_error(text: str) -> Exception:
    """Return a ValueError that was raised while a KeyError was handled; both contain `text`."""
    error = ValueError(text)
    error.__context__ = KeyError(text)
    return error


@pytest.mark.parametrize("length", [10, 2000, 5000, 9000, 60_000])
def test_a_line_has_the_type_and_the_start_of_the_message_of_an_error_however_long_it_is(
    lines: Lines, console: Console, length: int
) -> None:
    error = chained_error("message " + "x" * length)
    log.write("ERROR", log.format_error(error))
    with console(), log.context():
        logging.getLogger("library").error("%s", "y" * length, exc_info=error)

    for line in lines():
        assert "\nValueError: message x" in line["message"]
        assert len(line["message"]) < log.MAX_TEXT_CHARS + 100


def test_an_error_is_redacted_before_it_is_shortened() -> None:
    with log.context():
        log.redact_address("a@example.com", "user")
        text = log.format_error(ValueError("x" * 2026 + " a@example.com"))

    assert text.endswith("x user")


def test_a_logging_call_for_an_error_that_does_not_exist_is_written(lines: Lines, console: Console) -> None:
    with console(), log.context():
        logging.getLogger("library").exception("failed")  # noqa: LOG004
        logging.getLogger("library").error("where", stack_info=True)

    first, second = lines()
    assert first["message"] == "failed\nNoneType: None"
    assert second["message"].startswith("where\nStack (most recent call last):")
