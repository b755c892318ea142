import pytest

from actions.callout import Signed
from actions.errors import CalloutRefused, Unavailable
from actions.secrets import Outage, Refused, Secrets
from actions.signing import SigningKeys
from settings import Settings
from tests.conftest import SIGNING_KEY, FakeTime, Lines, Sign

OTHER_KEY = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
BODY = b"{}"
LONG = 1e9


class Store:
    """What holds the keys; a reading takes a moment."""

    def __init__(self, time: FakeTime) -> None:
        self.text, self.asked, self.time = SIGNING_KEY, 0, time
        self.error: Exception | None = None

    def __call__(self, source: str) -> str:
        self.asked += 1
        self.time.go_on(0.05)
        if self.error:
            raise self.error
        return self.text


@pytest.fixture
def store(time: FakeTime) -> Store:
    return Store(time)


@pytest.fixture
def keys(settings: Settings, store: Store, time: FakeTime) -> SigningKeys:
    return SigningKeys(settings, Secrets(settings, fetch=store, clock=time.clock), clock=time.clock)


@pytest.fixture
def good(sign: Sign) -> Signed:
    return signed_by(sign, SIGNING_KEY)


@pytest.fixture
def other(sign: Sign) -> Signed:
    return signed_by(sign, OTHER_KEY)


def signed_by(sign: Sign, *keys: str) -> Signed:
    headers = sign(BODY, keys=keys)
    signatures = headers["webhook-signature"].split(" ")
    return Signed(headers["webhook-id"], int(headers["webhook-timestamp"]), tuple(signatures))


def refused(keys: SigningKeys, signed: Signed) -> CalloutRefused:
    with pytest.raises(CalloutRefused) as caught:
        keys.verify(signed, BODY, LONG)
    assert (caught.value.code, caught.value.status) == ("invalid_signature", 401)
    return caught.value


def test_known_signature_holds_and_the_keys_are_read_once(keys: SigningKeys, store: Store, good: Signed) -> None:
    keys.verify(good, BODY, LONG)
    keys.verify(good, BODY, LONG)

    assert store.asked == 1


def test_any_of_several_keys_will_do(keys: SigningKeys, store: Store, good: Signed, other: Signed) -> None:
    store.text = f"{OTHER_KEY}\n\t{SIGNING_KEY} "

    keys.verify(good, BODY, LONG)
    keys.verify(other, BODY, LONG)


def test_new_key_works_at_once_though_the_old_one_was_just_read(
    keys: SigningKeys, store: Store, good: Signed, other: Signed
) -> None:
    keys.verify(good, BODY, LONG)
    store.text = OTHER_KEY

    keys.verify(other, BODY, LONG)
    assert store.asked == 2


def test_unknown_signature_makes_us_read_at_most_once_in_ten_seconds(
    keys: SigningKeys, store: Store, time: FakeTime, good: Signed, other: Signed
) -> None:
    keys.verify(good, BODY, LONG)
    for _ in range(5):
        refused(keys, other)
    assert store.asked == 2

    time.go_on(9.9)
    refused(keys, other)
    assert store.asked == 2

    time.go_on(0.2)
    refused(keys, other)
    assert store.asked == 3


def test_key_that_came_just_after_a_stranger_works_ten_seconds_later(
    keys: SigningKeys, store: Store, time: FakeTime, other: Signed
) -> None:
    refused(keys, other)
    store.text = OTHER_KEY
    refused(keys, other)
    time.go_on(10)

    keys.verify(other, BODY, LONG)


def test_stranger_hears_the_same_in_an_outage(
    keys: SigningKeys, store: Store, time: FakeTime, good: Signed, other: Signed
) -> None:
    keys.verify(good, BODY, LONG)
    store.error = Outage("503")

    assert refused(keys, other).cause == "no signature of a known key"
    keys.verify(good, BODY, LONG)


def test_malformed_key_beside_a_good_one_is_skipped_and_told_once(
    keys: SigningKeys, store: Store, good: Signed, time: FakeTime, lines: Lines
) -> None:
    store.text = f"whsec_short nonsense-of-a-key {SIGNING_KEY}"
    keys.verify(good, BODY, LONG)
    time.go_on(300)
    keys.verify(good, BODY, LONG)

    first, second = lines()
    assert (first["severity"], first["code"]) == ("ERROR", "signing_key_malformed")
    assert first["message"].startswith("key 1 of CALLOUT_SIGNING_KEY is skipped: ")
    assert second["message"].startswith("key 2 of CALLOUT_SIGNING_KEY is skipped: ")
    assert "nonsense" not in second["message"]


@pytest.mark.parametrize("text", ["", "nonsense", "whsec_AAAA"])
def test_no_usable_key_is_unavailable_and_lets_nobody_in(
    keys: SigningKeys, store: Store, good: Signed, text: str
) -> None:
    store.text = text

    with pytest.raises(Unavailable) as caught:
        keys.verify(good, BODY, LONG)
    assert (caught.value.code, caught.value.cause) == ("secret_unavailable", "no usable signing key")


def test_refused_secret_is_unavailable(keys: SigningKeys, store: Store, good: Signed) -> None:
    store.error = Refused("403")

    with pytest.raises(Unavailable):
        keys.verify(good, BODY, LONG)
