"""The client of Auth0's Management API: which tenants and tokens it accepts, and how long it waits."""

import json
import time
from collections.abc import Iterator

import pytest

from auth0 import management_api
from auth0.management_api import ManagementApiError, connect, is_configured, tenant_url
from emulator.core.faults import Fault
from emulator.core.stub import Stub


@pytest.fixture
def tenant() -> Iterator[Stub]:
    with Stub("tenant", response=json.dumps({"access_token": "a-token"}).ljust(1000)) as tenant:
        yield tenant


@pytest.mark.parametrize("fault", [Fault("slow", seconds=0.05), Fault("hang")])
def test_a_response_that_arrives_slowly_is_abandoned(
    tenant: Stub, monkeypatch: pytest.MonkeyPatch, fault: Fault
) -> None:
    monkeypatch.setattr(management_api, "TIMEOUT_SECONDS", 0.3)
    tenant.faults.add(fault)
    started = time.monotonic()
    with pytest.raises(ManagementApiError, match=r"no response from .*: it took longer than 0\.3 s") as raised:
        connect({"AUTH0_DOMAIN": tenant.url, "AUTH0_TOKEN": "a-token"}).request("GET", "actions/actions")
    assert time.monotonic() - started < 20  # the whole response takes more than 50 s
    assert raised.value.fix == management_api.CHECK_NETWORK


@pytest.mark.parametrize("token", ["a token", "a\ntoken", "ключ"])
def test_a_token_that_no_header_can_hold_is_an_error_that_does_not_show_it(token: str) -> None:
    with pytest.raises(ManagementApiError, match="AUTH0_TOKEN contains a character that isn't allowed there") as raised:
        connect({"AUTH0_DOMAIN": "tenant.eu.auth0.com", "AUTH0_TOKEN": token})
    assert token not in str(raised.value)


@pytest.mark.parametrize(
    ("domain", "url"),
    [
        ("tenant.eu.auth0.com", "https://tenant.eu.auth0.com"),
        (" https://tenant.eu.auth0.com/ ", "https://tenant.eu.auth0.com"),
        ("http://127.0.0.1:8123", "http://127.0.0.1:8123"),
        ("http://localhost", "http://localhost"),
        ("http://[::1]:8123/", "http://[::1]:8123"),
    ],
)
def test_a_domain_or_its_https_url_names_the_tenant(domain: str, url: str) -> None:
    assert tenant_url(domain) == url


@pytest.mark.parametrize(
    "domain",
    [
        "",
        "https://",
        "http://tenant.eu.auth0.com",
        "http://127.0.0.1.example.com",
        "https://tenant.eu.auth0.com/api/v2",
        "https://user@tenant.eu.auth0.com",
        "tenant.eu.auth0.com:99999999",
    ],
)
def test_anything_else_is_an_error(domain: str) -> None:
    with pytest.raises(ManagementApiError, match="AUTH0_DOMAIN isn't a domain or an https URL"):
        tenant_url(domain)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"AUTH0_TOKEN": " "}, True),
        ({"AUTH0_CLIENT_ID": " "}, True),
        ({"AUTH0_DOMAIN": " "}, False),
        ({"AUTH0_TOKEN": " ", "AUTH0_CLIENT_ID": "\n"}, False),
    ],
)
def test_a_variable_that_is_blank_is_not_set(changes: dict[str, str], *, expected: bool) -> None:
    client = {"AUTH0_CLIENT_ID": "an-id", "AUTH0_CLIENT_SECRET": "a-secret"}
    assert is_configured({"AUTH0_DOMAIN": "a", "AUTH0_TOKEN": "a", **client, **changes}) == expected
