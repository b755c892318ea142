import ipaddress
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import certifi
import pytest
from hypothesis import given
from hypothesis import strategies as st
from requests.utils import get_environ_proxies

from notice.languages import is_available
from settings import SettingError, Settings, SettingsError, exempt_loopback_from_proxies, load
from tests.conftest import MakeSettings

Errors = Callable[..., tuple[SettingError, ...]]
LANGUAGES = ("en", "de", "pt-BR")


@pytest.fixture
def errors(environment: dict[str, str]) -> Errors:
    """Return a function that loads the required settings with a test's values, and returns the errors."""

    def read(**more: str) -> tuple[SettingError, ...]:
        with pytest.raises(SettingsError) as caught:
            load({**environment, **more}, is_language=LANGUAGES.__contains__)
        return caught.value.errors

    return read


def test_required_settings_alone_have_the_documented_defaults(settings: Settings) -> None:
    assert settings.sender_email == "security@example.com"
    assert settings.sender_name == ""
    assert settings.support_contact == "help@example.com"
    assert settings.product_name == ""
    assert settings.default_language == "en"
    assert settings.context == {"time", "place", "device", "ip"}
    assert settings.own_addresses == ()
    assert settings.allowed_tenants == frozenset()
    assert settings.secrets == {"SENDGRID_API_KEY": "projects/p/secrets/sendgrid"}
    assert settings.signing_key_secret == "projects/p/secrets/callout"
    assert settings.sendgrid_url == "https://api.sendgrid.com"
    assert settings.secret_max_age_seconds == 300
    assert settings.delivery == "direct"
    assert settings.secret_manager_endpoint == ""
    assert settings.google_cloud_project == ""
    assert settings.threads >= 4
    assert settings.proxy == ""
    assert settings.ca_bundle == ""


def test_settings_are_frozen(settings: Settings) -> None:
    with pytest.raises(AttributeError):
        settings.sender_email = "other@example.com"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "text", "field", "value"),
    [
        ("SENDER_EMAIL", " a@b.example \n", "sender_email", "a@b.example"),
        ("SENDER_EMAIL", "x" * 308 + "@example.com", "sender_email", "x" * 308 + "@example.com"),
        ("SENDER_NAME", "Käse & Söhne", "sender_name", "Käse & Söhne"),
        ("SUPPORT_CONTACT", "https://example.com/help?x=1", "support_contact", "https://example.com/help?x=1"),
        ("PRODUCT_NAME", "x" * 100, "product_name", "x" * 100),
        ("DEFAULT_LANGUAGE", "de", "default_language", "de"),
        ("DEFAULT_LANGUAGE", "pt_BR", "default_language", "pt_BR"),
        ("DEFAULT_LANGUAGE", "de-AT", "default_language", "de-AT"),
        ("CONTEXT", "ip, time", "context", {"ip", "time"}),
        ("ALLOWED_TENANTS", "acme,acme-dev  acme-test,", "allowed_tenants", {"acme", "acme-dev", "acme-test"}),
        ("SENDGRID_URL", "https://api.eu.sendgrid.com/", "sendgrid_url", "https://api.eu.sendgrid.com"),
        ("SENDGRID_URL", "http://127.0.0.1:8123", "sendgrid_url", "http://127.0.0.1:8123"),
        ("SENDGRID_URL", "http://localhost:1", "sendgrid_url", "http://localhost:1"),
        ("SENDGRID_URL", "http://[::1]:65535", "sendgrid_url", "http://[::1]:65535"),
        ("SECRET_MAX_AGE_SECONDS", "0", "secret_max_age_seconds", 0),
        ("SECRET_MAX_AGE_SECONDS", "86400", "secret_max_age_seconds", 86400),
        ("DELIVERY", "direct", "delivery", "direct"),
        ("SECRET_MANAGER_ENDPOINT", "http://127.0.0.1:9", "secret_manager_endpoint", "http://127.0.0.1:9"),
        ("GOOGLE_CLOUD_PROJECT", "my-project", "google_cloud_project", "my-project"),
        ("THREADS", "1", "threads", 1),
        ("THREADS", "1000", "threads", 1000),
        ("CALLOUT_SIGNING_KEY_SECRET", "/secrets/key", "signing_key_secret", "/secrets/key"),
        ("REQUESTS_CA_BUNDLE", certifi.where(), "ca_bundle", certifi.where()),
    ],
)
def test_a_value_is_read(make_settings: MakeSettings, name: str, text: str, field: str, value: object) -> None:
    assert getattr(make_settings(**{name: text}), field) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("SENDER_EMAIL", "Security <security@example.com>"),
        ("SENDER_EMAIL", "a@b.example, c@d.example"),
        ("SENDER_EMAIL", "a@b.example\x00"),
        ("SENDER_EMAIL", "x" * 309 + "@example.com"),
        ("SENDER_NAME", "x" * 101),
        ("SENDER_NAME", "two\nlines"),
        ("PRODUCT_NAME", "right\u202eleft"),
        ("SUPPORT_CONTACT", "http://example.com"),
        ("SUPPORT_CONTACT", "https://"),
        ("SUPPORT_CONTACT", 'https://example.com/">'),
        ("SUPPORT_CONTACT", "https://[x"),
        ("SUPPORT_CONTACT", "ask Bob"),
        ("DEFAULT_LANGUAGE", "tlh"),
        ("CONTEXT", "time,shoesize"),
        ("CONTEXT", ","),
        ("OWN_ADDRESSES", "192.0.2.1/24"),
        ("OWN_ADDRESSES", "example.com"),
        ("OWN_ADDRESSES", ", ,"),
        ("ALLOWED_TENANTS", ","),
        ("ALLOWED_TENANTS", "acme, acme.eu.auth0.com"),
        ("SENDGRID_API_KEY_SECRET", "SG.not-a-name"),
        ("CALLOUT_SIGNING_KEY_SECRET", "whsec_not-a-name"),
        ("SENDGRID_URL", "http://api.sendgrid.com"),
        ("SENDGRID_URL", "http://10.0.0.1"),
        ("SENDGRID_URL", "http://127.0.0.1.example.com"),
        ("SENDGRID_URL", "https://api.sendgrid.com/v3"),
        ("SENDGRID_URL", "https://api.sendgrid.com?x=1"),
        ("SENDGRID_URL", "https://api.sendgrid.com?"),
        ("SENDGRID_URL", "https://api.sendgrid.com#"),
        ("SENDGRID_URL", "https://user@api.sendgrid.com"),
        ("SENDGRID_URL", "https://api.sendgrid.com:"),
        ("SENDGRID_URL", "https://api.sendgrid.com:0"),
        ("SENDGRID_URL", "https://api.sendgrid.com:65536"),
        ("SENDGRID_URL", "https://api send grid"),
        ("SENDGRID_URL", "https://"),
        ("SENDGRID_URL", "api.sendgrid.com"),
        ("SENDGRID_URL", "ftp://127.0.0.1"),
        ("SECRET_MAX_AGE_SECONDS", "-1"),
        ("SECRET_MAX_AGE_SECONDS", "86401"),
        ("SECRET_MAX_AGE_SECONDS", "5 minutes"),
        ("SECRET_MAX_AGE_SECONDS", "٣"),
        ("THREADS", "0"),
        ("THREADS", "1001"),
        ("SECRET_MANAGER_ENDPOINT", "http://secretmanager.example.com"),
        ("REQUESTS_CA_BUNDLE", "/nowhere/ca.pem"),
        ("HTTPS_PROXY", "http://proxy:port"),
        ("HTTPS_PROXY", "socks5://proxy:1080"),
        ("https_proxy", "two words"),
        ("DELIVERY", "carrier pigeon"),
    ],
)
def test_a_malformed_value_is_one_error_with_a_fix(errors: Errors, name: str, text: str) -> None:
    (error,) = errors(**{name: text})

    assert error.name == name
    assert error.problem
    assert error.fix


def test_a_language_that_is_not_available_is_reported_with_other_errors(errors: Errors) -> None:
    found = errors(DEFAULT_LANGUAGE="tlh", THREADS="many")

    assert [error.name for error in found] == ["DEFAULT_LANGUAGE", "THREADS"]
    assert found[0].problem == "isn't an available language"


@pytest.mark.parametrize("text", ["kk-Arab", "en-US;q=1", "en us"])
def test_a_default_language_that_would_fall_back_to_english_is_an_error(environment: dict[str, str], text: str) -> None:
    with pytest.raises(SettingsError, match="DEFAULT_LANGUAGE isn't an available language"):
        load({**environment, "DEFAULT_LANGUAGE": text}, is_language=is_available)


def test_without_the_available_languages_only_the_form_of_the_tag_is_validated(environment: dict[str, str]) -> None:
    assert load({**environment, "DEFAULT_LANGUAGE": "tlh-Latn"}).default_language == "tlh-Latn"
    with pytest.raises(SettingsError, match="DEFAULT_LANGUAGE isn't a language tag"):
        load({**environment, "DEFAULT_LANGUAGE": "en, de"})


@pytest.mark.parametrize("text", ["SG.secret-pasted-by-mistake", "whsec_pasted"])
@pytest.mark.parametrize("name", ["SENDGRID_API_KEY_SECRET", "CALLOUT_SIGNING_KEY_SECRET"])
def test_a_secret_pasted_instead_of_its_resource_name_is_not_echoed(errors: Errors, name: str, text: str) -> None:
    (error,) = errors(**{name: text})

    assert text not in str(error)


def test_the_password_in_a_malformed_proxy_url_is_not_echoed(errors: Errors) -> None:
    (error,) = errors(HTTPS_PROXY="http://user:hunter2@proxy:port")

    assert "hunter2" not in str(error)


def test_all_errors_are_reported_at_once_each_with_a_fix() -> None:
    with pytest.raises(SettingsError) as caught:
        load({"SENDER_EMAIL": "nobody", "SUPPORT_CONTACT": " ", "THREADS": "many", "CONTEXT": "moon"})

    assert {(error.name, error.problem) for error in caught.value.errors} == {
        ("SENDER_EMAIL", "isn't one email address"),
        ("SUPPORT_CONTACT", "is missing"),
        ("SENDGRID_API_KEY_SECRET", "is missing"),
        ("CALLOUT_SIGNING_KEY_SECRET", "is missing"),
        ("THREADS", "isn't an integer from 1 to 1000"),
        ("CONTEXT", "contains the unknown fact moon"),
    }
    assert str(caught.value) == "; ".join(f"{e.name} {e.problem}: {e.fix}" for e in caught.value.errors)
    assert all(error.fix for error in caught.value.errors)


QUEUE_MODE = {
    "DELIVERY": "queue",
    "CALLOUT_SIGNING_KEY_SECRET": "projects/p/secrets/callout",
    "TASKS_QUEUE": "projects/p/locations/europe-west3/queues/notices",
    "DELIVER_URL": "https://deliver.example.com/",
    "DELIVER_INVOKER": "invoker@p.iam.gserviceaccount.com",
}


def test_the_public_service_in_queue_mode_needs_no_email_settings_and_has_no_secrets() -> None:
    settings = load({**QUEUE_MODE, "SENDGRID_API_KEY_SECRET": "/a/path", "SLACK_TOKEN_SECRET": "/a/path"})

    assert settings.delivery == "queue"
    assert settings.tasks_queue == "projects/p/locations/europe-west3/queues/notices"
    assert settings.deliver_url == "https://deliver.example.com"
    assert settings.deliver_invoker == "invoker@p.iam.gserviceaccount.com"
    assert settings.cloud_tasks_endpoint == ""
    assert settings.secrets == {}


def test_the_public_service_in_queue_mode_needs_the_queue_settings(environment: dict[str, str]) -> None:
    with pytest.raises(SettingsError) as caught:
        load({**environment, "DELIVERY": "queue"})

    assert {error.name for error in caught.value.errors} == {"TASKS_QUEUE", "DELIVER_URL", "DELIVER_INVOKER"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("TASKS_QUEUE", "notices"),
        ("TASKS_QUEUE", "projects/p/locations/l/queues/q/tasks"),
        ("DELIVER_URL", "http://deliver.example.com"),
        ("DELIVER_URL", "https://deliver.example.com/path"),
        ("DELIVER_INVOKER", "nobody"),
        ("CLOUD_TASKS_ENDPOINT", "http://tasks.example.com"),
    ],
)
def test_a_malformed_queue_setting_is_one_error(name: str, text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load({**QUEUE_MODE, name: text})

    assert [error.name for error in caught.value.errors] == [name]


def test_deliver_ignores_delivery_and_the_queue_settings(environment: dict[str, str]) -> None:
    malformed = {"DELIVERY": "carrier pigeon", "TASKS_QUEUE": "x", "DELIVER_URL": "x", "CLOUD_TASKS_ENDPOINT": "x"}

    settings = load({**environment, **malformed, "FUNCTION_TARGET": "deliver"})

    assert settings.delivery == "direct"
    assert settings.tasks_queue == settings.deliver_url == settings.cloud_tasks_endpoint == ""


def test_deliver_needs_the_email_settings() -> None:
    with pytest.raises(SettingsError) as caught:
        load({**QUEUE_MODE, "FUNCTION_TARGET": "deliver"})

    assert {error.name for error in caught.value.errors} == {
        "SENDER_EMAIL",
        "SUPPORT_CONTACT",
        "SENDGRID_API_KEY_SECRET",
    }


def test_direct_mode_ignores_the_queue_settings(make_settings: MakeSettings, settings: Settings) -> None:
    assert make_settings(TASKS_QUEUE="x", DELIVER_URL="x", DELIVER_INVOKER="x", CLOUD_TASKS_ENDPOINT="x") == settings


def test_the_proxy_in_queue_mode_is_for_cloud_tasks() -> None:
    proxy = {"HTTPS_PROXY": "http://proxy:3128"}

    assert load({**QUEUE_MODE, **proxy}).proxy == "http://proxy:3128"
    assert load({**QUEUE_MODE, **proxy, "NO_PROXY": "googleapis.com"}).proxy == ""
    assert load({**QUEUE_MODE, **proxy, "CLOUD_TASKS_ENDPOINT": "http://127.0.0.1:1"}).proxy == ""


def test_an_empty_environment_reports_each_required_setting_once() -> None:
    with pytest.raises(SettingsError) as caught:
        load({})

    assert sorted(error.name for error in caught.value.errors) == [
        "CALLOUT_SIGNING_KEY_SECRET",
        "SENDER_EMAIL",
        "SENDGRID_API_KEY_SECRET",
        "SUPPORT_CONTACT",
    ]


def test_an_empty_value_counts_as_absent(make_settings: MakeSettings, settings: Settings) -> None:
    optional = ("SENDER_NAME", "CONTEXT", "OWN_ADDRESSES", "SENDGRID_URL", "THREADS", "DELIVERY", "REQUESTS_CA_BUNDLE")

    assert make_settings(**dict.fromkeys(optional, " ")) == settings


def test_without_an_argument_the_process_environment_is_read(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PRODUCT_NAME", "Shop")

    assert load().product_name == "Shop"


@pytest.mark.parametrize(
    "name",
    [
        "projects/p/secrets/S-1_x",
        "projects/p/secrets/s/versions/latest",
        "projects/p/secrets/s/versions/3",
        "projects/p/locations/europe-west3/secrets/s",
        "projects/p/locations/europe-west3/secrets/s/versions/3",
        "/a/path",
    ],
)
def test_each_form_of_a_secret_name_is_accepted(make_settings: MakeSettings, name: str) -> None:
    settings = make_settings(SENDGRID_API_KEY_SECRET=name, SLACK_TOKEN_SECRET=f" {name}\n")

    assert settings.secrets == {"SENDGRID_API_KEY": name, "SLACK_TOKEN": name}


@pytest.mark.parametrize(
    "name",
    [
        "projects/p/secrets/",
        "projects/p/secrets/s/versions/",
        "projects//secrets/s",
        "projects/p/secrets/s/versions/1/x",
        "projects/p/locations/secrets/s",
        "secrets/s",
        "x projects/p/secrets/s",
        "/a/path/",
        "a/path",
    ],
)
def test_other_forms_of_a_secret_name_are_rejected(errors: Errors, name: str) -> None:
    (error,) = errors(SENDGRID_API_KEY_SECRET=name)

    assert error.problem == "isn't a Secret Manager resource name or an absolute path"


def test_an_unrelated_variable_that_ends_in_secret_is_ignored(make_settings: MakeSettings) -> None:
    foreign = {"OAUTH_CLIENT_SECRET": "value-of-its-own", "_SECRET": "/a/path", "SECRET": "/a/path", "SECRETS": "/a/b"}

    assert set(make_settings(**foreign).secrets) == {"SENDGRID_API_KEY"}


def test_the_signing_key_is_not_an_action_secret(settings: Settings) -> None:
    assert "CALLOUT_SIGNING_KEY" not in settings.secrets


def test_own_addresses_are_ipv4_and_ipv6_networks(make_settings: MakeSettings) -> None:
    settings = make_settings(OWN_ADDRESSES="192.0.2.0/24, 2001:db8::/32 198.51.100.7")

    assert set(settings.own_addresses) == {
        ipaddress.ip_network("192.0.2.0/24"),
        ipaddress.ip_network("2001:db8::/32"),
        ipaddress.ip_network("198.51.100.7/32"),
    }


@pytest.mark.parametrize(
    ("more", "proxy"),
    [
        ({"HTTPS_PROXY": "http://proxy:3128"}, "http://proxy:3128"),
        ({"HTTPS_PROXY": "proxy.example:3128"}, "proxy.example:3128"),
        ({"https_proxy": "http://user:pass@low:1", "HTTPS_PROXY": "http://up:1"}, "http://user:pass@low:1"),
        ({"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "sendgrid.com"}, ""),
        ({"HTTPS_PROXY": "http://proxy:3128", "no_proxy": "*"}, ""),
        ({"HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": "example.com"}, "http://proxy:3128"),
        ({"HTTPS_PROXY": "http://proxy:3128", "SENDGRID_URL": "https://127.0.0.1:1"}, ""),
        ({"HTTPS_PROXY": "http://proxy:3128", "SENDGRID_URL": "http://localhost:1"}, ""),
        ({"HTTP_PROXY": "http://proxy:3128"}, ""),
    ],
)
def test_the_proxy_is_read_from_the_environment(make_settings: MakeSettings, more: dict[str, str], proxy: str) -> None:
    assert make_settings(**more).proxy == proxy


def test_the_proxy_of_the_process_is_not_used_with_another_environment(
    make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")

    assert make_settings().proxy == ""


@pytest.mark.parametrize("names", [("HTTP_PROXY", "NO_PROXY"), ("http_proxy", "no_proxy")])
@pytest.mark.parametrize(
    ("no_proxy", "direct"),
    [("", ()), ("example.com, example.org", ("example.com", "example.org")), ("*", ("anything.example",))],
)
def test_loopback_is_exempt_from_proxies_as_is_what_no_proxy_lists(
    monkeypatch: pytest.MonkeyPatch, names: tuple[str, str], no_proxy: str, direct: tuple[str, ...]
) -> None:
    monkeypatch.setattr("os.environ", dict(zip(names, ("http://proxy:3128", no_proxy), strict=True)))

    exempt_loopback_from_proxies()

    for host in ("127.0.0.1:1", "localhost:1", "[::1]:1", *direct):
        assert get_environ_proxies(f"http://{host}/") == {}
    if no_proxy != "*":
        assert get_environ_proxies("http://service.example/")["http"] == "http://proxy:3128"


@pytest.mark.parametrize(
    "text", ["", "no certificate\n", "-----BEGIN CERTIFICATE-----\nnone\n-----END CERTIFICATE-----\n"]
)
def test_a_ca_bundle_without_a_certificate_is_an_error(errors: Errors, tmp_path: Path, text: str) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.write_text(text)

    (error,) = errors(REQUESTS_CA_BUNDLE=str(bundle))

    assert error.problem == "isn't a file or directory of certificates"


NAMES = [
    "SENDER_EMAIL",
    "SENDER_NAME",
    "SUPPORT_CONTACT",
    "DEFAULT_LANGUAGE",
    "CONTEXT",
    "OWN_ADDRESSES",
    "ALLOWED_TENANTS",
    "SENDGRID_API_KEY_SECRET",
    "SENDGRID_URL",
    "SECRET_MAX_AGE_SECONDS",
    "THREADS",
    "HTTPS_PROXY",
    "NO_PROXY",
]


@given(st.dictionaries(st.sampled_from(NAMES), st.text(), min_size=1))
def test_any_environment_returns_settings_or_raises_settings_error(environment: dict[str, str]) -> None:
    with suppress(SettingsError):
        load(environment)
