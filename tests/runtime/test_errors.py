import pytest

from runtime.errors import InvalidCallout, NoticeError, Rejected, Unavailable


def test_each_class_has_its_status() -> None:
    assert NoticeError("internal", "m").status == 500
    assert InvalidCallout("invalid_json", 400, "m").status == 400
    assert Rejected("m").status == 502
    assert Unavailable("queue_unavailable", "m").status == 503


def test_a_rejection_has_one_code_and_does_not_blame_the_recipient_by_default() -> None:
    error = Rejected("no", cause="c")

    assert (error.code, error.message, error.cause, error.recipient_rejected) == ("mail_rejected", "no", "c", False)


def test_unavailable_has_no_retry_after_and_no_possible_acceptance_by_default() -> None:
    error = Unavailable("mail_unavailable", "m")

    assert (error.code, error.retry_after, error.maybe_accepted) == ("mail_unavailable", 0, False)


@pytest.mark.parametrize(
    "error",
    [NoticeError("c", "m", cause="inner"), InvalidCallout("c", 400, "m", cause="inner"), Rejected("m", cause="inner")],
)
def test_the_text_of_an_error_is_its_message_without_the_cause(error: NoticeError) -> None:
    assert str(error) == "m"
    assert "inner" not in repr(error)
