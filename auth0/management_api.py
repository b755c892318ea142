"""Connect to a tenant's Management API, with only the standard library.

    AUTH0_DOMAIN                            the tenant's domain, or its https URL (plain http is only for loopback)
    AUTH0_TOKEN                             a Management API token, or else
    AUTH0_CLIENT_ID, AUTH0_CLIENT_SECRET    the credentials of a Machine to Machine application, to request a token

HTTPS_PROXY, and REQUESTS_CA_BUNDLE or SSL_CERT_FILE, are honored. docs/deploy.md says how to get a token.
"""

import json
import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, HTTPSHandler, Request, build_opener

from auth0.deadline import within
from settings import parse_origin

TIMEOUT_SECONDS = 30.0  # for one response; Auth0's test of an Action may take 20
SCOPES = "read:actions, create:actions, and update:actions"
REQUIRED = "set AUTH0_DOMAIN, and AUTH0_TOKEN or AUTH0_CLIENT_ID and AUTH0_CLIENT_SECRET: docs/deploy.md"
CHECK_DOMAIN = "check AUTH0_DOMAIN, which is the tenant's own domain, such as TENANT.eu.auth0.com"
TRY_LATER = "check https://status.auth0.com, and try again later"
CHECK_NETWORK = f"{CHECK_DOMAIN}, and this machine's internet access: firewall, HTTPS_PROXY, REQUESTS_CA_BUNDLE"
GRANT_SCOPES = f"grant it the scopes {SCOPES} for the Auth0 Management API: docs/deploy.md"
FIXES = {
    401: "get a new token: docs/deploy.md",
    403: f"get a token for an application that has the permission; {GRANT_SCOPES}",
    404: CHECK_DOMAIN,
    429: "wait a minute, and run it again",
}
CREDENTIALS_FIXES = {
    401: "check AUTH0_CLIENT_ID and AUTH0_CLIENT_SECRET: the application's Settings tab shows both",
    403: f"authorize the application; {GRANT_SCOPES}",
    404: CHECK_DOMAIN,
    429: FIXES[429],
}

_TENANT_URL = re.compile(r"https://(?P<tenant>[a-z0-9-]+)(\.[a-z0-9-]+)?\.auth0\.com(:[0-9]{1,5})?")


class ManagementApiError(Exception):
    """A setting is missing, or there is no usable response. `fix` says what to do."""

    def __init__(self, message: str, fix: str) -> None:
        super().__init__(message)
        self.fix = fix


@dataclass(frozen=True)
class ManagementApi:
    """A connection to the API; `url` is the tenant's, without a path."""

    url: str
    token: str = field(repr=False)

    def request(self, method: str, path: str, body: object = None) -> Any:
        """Return the JSON of the response; `path` is, for example, `actions/actions`. Raise ManagementApiError."""
        headers = {"Authorization": f"Bearer {self.token}"}
        return _request(method, f"{self.url}/api/v2/{path}", headers, body, FIXES)


def is_configured(environment: Mapping[str, str]) -> bool:
    """Return whether the environment names a tenant and how to get access to it."""
    given = {name for name, value in environment.items() if value.strip()}
    return "AUTH0_DOMAIN" in given and ("AUTH0_TOKEN" in given or {"AUTH0_CLIENT_ID", "AUTH0_CLIENT_SECRET"} <= given)


def connect(environment: Mapping[str, str]) -> ManagementApi:
    """Return the tenant's Management API; without AUTH0_TOKEN, request a token. Raise ManagementApiError."""
    if not is_configured(environment):
        raise ManagementApiError("access to the Auth0 tenant isn't configured", REQUIRED)
    url = tenant_url(environment["AUTH0_DOMAIN"])
    token = environment.get("AUTH0_TOKEN", "").strip() or _request_token(url, environment)
    if not re.fullmatch(r"[!-~]+", token):  # urllib quotes an invalid header, and so the token
        raise ManagementApiError("AUTH0_TOKEN contains a character that isn't allowed there", "copy it again")
    return ManagementApi(url, token)


def tenant_url(domain: str) -> str:
    """Return the URL of a tenant's domain or URL, without a path. Raise ManagementApiError if it is neither."""
    url = domain.strip()
    try:
        return parse_origin(url if "://" in url else f"https://{url}")
    except ValueError:
        raise ManagementApiError("AUTH0_DOMAIN isn't a domain or an https URL", CHECK_DOMAIN) from None


def tenant_name(domain: str) -> str:
    """Return the tenant's name (event.tenant.id), or "" if `domain` doesn't reveal it, such as a custom domain."""
    try:
        match = _TENANT_URL.fullmatch(tenant_url(domain).lower())
    except ManagementApiError:
        return ""
    return match["tenant"] if match else ""


def _request_token(url: str, environment: Mapping[str, str]) -> str:
    """Return a token for the client credentials (RFC 6749, section 4.4)."""
    grant = {
        "grant_type": "client_credentials",
        "client_id": environment["AUTH0_CLIENT_ID"].strip(),
        "client_secret": environment["AUTH0_CLIENT_SECRET"].strip(),
        "audience": f"{url}/api/v2/",
    }
    response = _request("POST", f"{url}/oauth/token", {}, grant, CREDENTIALS_FIXES)
    token = response.get("access_token") if isinstance(response, dict) else None
    if not isinstance(token, str):
        raise ManagementApiError(f"{url} returned no access token", CHECK_DOMAIN)
    return token


def _request(method: str, url: str, headers: Mapping[str, str], body: object, fixes: Mapping[int, str]) -> Any:
    content = None if body is None else json.dumps(body).encode()
    request = Request(url, content, {**headers, "Content-Type": "application/json"}, method=method)  # noqa: S310
    try:
        return within(TIMEOUT_SECONDS, lambda: _exchange(request, fixes))
    except (OSError, HTTPException) as error:
        reason = error.reason if isinstance(error, URLError) else error
        raise ManagementApiError(f"no response from {request.host}: {reason}", CHECK_NETWORK) from error
    except ValueError as error:
        raise ManagementApiError(f"{request.host} didn't respond with JSON", CHECK_NETWORK) from error


def _exchange(request: Request, fixes: Mapping[int, str]) -> Any:
    opener = build_opener(_NoRedirect, HTTPSHandler(context=_ssl_context()))
    try:
        with opener.open(request, timeout=TIMEOUT_SECONDS) as response:
            return json.loads(response.read())
    except HTTPError as error:
        raise _error_response(error, fixes) from error


def _ssl_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca_bundle := os.environ.get("REQUESTS_CA_BUNDLE"):
        context.load_verify_locations(ca_bundle)
    return context


def _error_response(error: HTTPError, fixes: Mapping[int, str]) -> ManagementApiError:
    try:
        value = json.loads(error.read())
        reason = value.get("message") or value.get("error_description") or error.reason
    except (OSError, HTTPException, ValueError, AttributeError):
        reason = error.reason
    fix = CHECK_DOMAIN if error.code < 400 else fixes.get(error.code, TRY_LATER)
    return ManagementApiError(f"{error.code} {reason}", fix)


class _NoRedirect(HTTPRedirectHandler):
    """Rejects redirects, so that the token isn't sent to another host."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None
