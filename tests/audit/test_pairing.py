"""Pairing: which email belongs to which change, and which failure does."""

from collections import Counter
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from audit.auth0_log import Change, Failure
from audit.pairing import MAX_CLOCK_SKEW, attribute, pair
from audit.sendgrid_log import Email
from tests.audit.conftest import START

ADDRESSES = ("a@example.com", "A@EXAMPLE.com", "b@example.com", "ü@bücher.example", "")
times = st.integers(0, 60).map(lambda seconds: START + timedelta(seconds=seconds))
addresses = st.sampled_from(ADDRESSES)
change_lists = st.lists(st.tuples(times, addresses), max_size=12).map(
    lambda rows: [Change(f"log-{number:02}", at, address) for number, (at, address) in enumerate(rows)]
)
email_lists = st.lists(st.tuples(times, addresses), max_size=12).map(
    lambda rows: [Email(f"message-{number:02}", at, address, "delivered") for number, (at, address) in enumerate(rows)]
)


def change(log_id: str, seconds: float, address: str = "user@example.com", user_id: str = "") -> Change:
    return Change(log_id, START + timedelta(seconds=seconds), address, user_id)


def email(message_id: str, seconds: float, address: str = "user@example.com") -> Email:
    return Email(message_id, START + timedelta(seconds=seconds), address, "delivered")


def failure(seconds: float, *, user_id: str = "", kind: str = "actions_execution_failed") -> Failure:
    return Failure(START + timedelta(seconds=seconds), kind, f"{kind} at {seconds}", user_id)


def ids(pairs: dict[str, Email]) -> dict[str, str]:
    return {log_id: email.message_id for log_id, email in pairs.items()}


@given(change_lists, email_lists)
def test_no_email_is_used_twice_and_none_is_invented(changes: list[Change], emails: list[Email]) -> None:
    pairs = pair(changes, emails)
    used = Counter(email.message_id for email in pairs.values())
    assert set(used.values()) <= {1}
    assert set(used) <= {email.message_id for email in emails}
    assert set(pairs) <= {change.log_id for change in changes}


@given(change_lists, email_lists, st.randoms())
def test_the_order_of_the_input_does_not_matter(
    changes: list[Change], emails: list[Email], random: st.DataObject
) -> None:
    expected = pair(changes, emails)
    random.shuffle(changes)  # type: ignore[attr-defined]  # a random.Random
    random.shuffle(emails)  # type: ignore[attr-defined]
    assert pair(changes, emails) == expected


@given(change_lists, email_lists)
def test_a_pair_has_one_address_and_no_email_long_before_its_change(changes: list[Change], emails: list[Email]) -> None:
    by_id = {change.log_id: change for change in changes}
    for log_id, email in pair(changes, emails).items():
        assert email.address.lower() == by_id[log_id].address.lower()
        assert email.address
        assert by_id[log_id].at - email.at <= MAX_CLOCK_SKEW


@given(change_lists, email_lists)
def test_no_email_is_left_over_that_a_change_without_one_could_take(changes: list[Change], emails: list[Email]) -> None:
    pairs = pair(changes, emails)
    used = {email.message_id for email in pairs.values()}
    waiting = [change for change in changes if change.log_id not in pairs and change.address]
    for left in (email for email in emails if email.message_id not in used):
        same = [change for change in waiting if change.address.lower() == left.address.lower()]
        assert all(change.at > left.at + MAX_CLOCK_SKEW for change in same)


def test_the_lost_notice_is_the_one_without_an_email_even_if_the_user_changed_again_later() -> None:
    changes = [change("lost", 0), change("later", 600)]
    assert ids(pair(changes, [email("m", 601)])) == {"later": "m"}


def test_a_duplicate_email_does_not_hide_a_later_loss() -> None:
    changes = [change("first", 0), change("lost", 600)]
    assert ids(pair(changes, [email("m1", 1), email("m2", 2)])) == {"first": "m1"}


def test_an_email_may_seem_ten_seconds_older_than_its_change_and_not_more() -> None:
    assert ids(pair([change("c", 10)], [email("m", 0)])) == {"c": "m"}
    assert pair([change("c", 10.001)], [email("m", 0)]) == {}


def test_equal_timestamps_are_paired_in_the_order_of_the_ids() -> None:
    pairs = pair([change("b", 0), change("a", 0)], [email("m2", 1), email("m1", 1)])
    assert ids(pairs) == {"b": "m1", "a": "m2"}


def test_an_international_domain_is_the_same_in_its_ascii_form() -> None:
    assert pair([change("c", 0, "User@Bücher.example")], [email("m", 1, "user@xn--bcher-kva.example")])


def test_a_failure_belongs_to_the_nearest_change_of_its_user() -> None:
    changes = [change("a", 0, user_id="1"), change("b", 5, user_id="2"), change("c", 30, user_id="1")]
    failures = attribute([failure(6, user_id="1"), failure(31, user_id="1")], changes)
    assert {log_id: each.cause for log_id, each in failures.items()} == {
        "a": "actions_execution_failed at 6",
        "c": "actions_execution_failed at 31",
    }


def test_a_failure_without_a_user_belongs_to_the_nearest_change() -> None:
    changes = [change("a", 0, user_id="1"), change("b", 20, user_id="2")]
    assert set(attribute([failure(18)], changes)) == {"b"}


def test_a_failure_long_after_or_before_a_change_is_not_its_own() -> None:
    assert attribute([failure(61, user_id="1"), failure(-11, user_id="1")], [change("a", 0, user_id="1")]) == {}


def test_both_records_of_one_failed_execution_belong_to_one_change() -> None:
    changes = [change("a", 0, user_id="1"), change("b", 5, user_id="2")]
    failures = attribute([failure(1, kind="fcph"), failure(1, user_id="1")], changes)
    assert {log_id: each.type for log_id, each in failures.items()} == {"a": "actions_execution_failed"}


def test_the_failures_of_a_mass_reset_are_attributed_without_comparing_each_with_all() -> None:
    """Doing that took 2 GB of memory."""
    changes = [change(f"{number:05}", number / 100) for number in range(5000)]
    failures = attribute([failure(each.at.timestamp() - START.timestamp()) for each in changes], changes)
    assert {log_id: each.at for log_id, each in failures.items()} == {each.log_id: each.at for each in changes}
