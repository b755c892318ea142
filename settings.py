"""Load and validate settings from the environment; report all errors at once."""

import ipaddress
import os
import re
import ssl
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, TypeVar
from urllib.parse import urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined,unused-ignore]

IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
T = TypeVar("T")

# The entry points in main.py; FUNCTION_TARGET names one of them.
PUBLIC_TARGET, PRIVATE_TARGET = "on_execute_post_change_password", "deliver"
CLOUD_TASKS_URL = "https://cloudtasks.googleapis.com"

FACTS = ("time", "place", "device", "ip")
LANGUAGE = re.compile(r"(?P<primary>[A-Za-z]{2,8})([-_][A-Za-z0-9]{1,8})*")
SECRET_RESOURCE = re.compile(r"projects/[^/\s]+(/locations/[^/\s]+)?/secrets/[\w-]+(/versions/[\w-]+)?")
HOST = r"(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:(?P<port>[0-9]{1,5}))?/?"
ORIGIN = re.compile(rf"(?P<scheme>https?)://{HOST}")
PROXY = re.compile(rf"(https?://)?([^\s/@]+@)?{HOST}")
QUEUE = re.compile(r"projects/[^/\s]+/locations/[^/\s]+/queues/[\w-]+")
TENANT_NAME = re.compile(r"[A-Za-z0-9_-]+")
ADDRESS = re.compile(r"[^@\s,;<>()\"\x00-\x1f]+@[^@\s,;<>()\"\x00-\x1f]+")


class SettingError(NamedTuple):
    """A problem with one setting, and how to fix it."""

    name: str
    problem: str
    fix: str

    def __str__(self) -> str:
        return f"{self.name} {self.problem}: {self.fix}"


class SettingsError(Exception):
    """Raised when settings are invalid; `errors` lists every problem."""

    def __init__(self, errors: Iterable[SettingError]) -> None:
        self.errors = tuple(errors)
        super().__init__("; ".join(map(str, self.errors)))


class Settings(NamedTuple):
    """The validated settings. docs/configuration.md explains each environment variable."""

    sender_email: str
    sender_name: str
    support_contact: str
    product_name: str
    default_language: str
    context: frozenset[str]
    own_addresses: tuple[IpNetwork, ...]
    allowed_tenants: frozenset[str]  # empty: any
    secrets: Mapping[str, str]  # an Action secret's name → a resource name or an absolute path
    signing_key_secret: str
    sendgrid_url: str
    secret_max_age_seconds: int
    delivery: str  # direct or queue
    tasks_queue: str
    deliver_url: str
    deliver_invoker: str
    cloud_tasks_endpoint: str  # empty: Google's
    secret_manager_endpoint: str  # empty: Google's
    google_cloud_project: str
    threads: int
    proxy: str  # for SENDGRID_URL; empty: none
    ca_bundle: str  # a file or a hashed directory; empty: the system's, or else certifi's


def load(environment: Mapping[str, str] | None = None, *, is_language: Callable[[str], bool] | None = None) -> Settings:
    """Return the settings in `environment` (default: the process's).

    `is_language`: whether a language is available, by its tag; without it, only the form of DEFAULT_LANGUAGE is
    validated.
    Raise SettingsError, with every problem, if a setting is missing, malformed, or contradicts another.
    """
    reader = _Reader(os.environ if environment is None else environment)
    settings = _read(reader, is_language)
    if reader.errors:
        raise SettingsError(reader.errors)
    return settings


class _Reader:
    """Reads variables one by one, and collects the errors. An empty value counts as absent."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = environment
        self.errors: list[SettingError] = []

    def get(self, name: str, default: T, parse: Callable[[str], T], fix: str) -> T:
        """Return the parsed value. `parse` raises ValueError with the problem; `fix` states what to do."""
        text = self.environment.get(name, "").strip()
        if not text:
            return default
        try:
            return parse(text)
        except ValueError as error:
            self.errors.append(SettingError(name, str(error), fix))
            return default

    def require_if(self, needed: bool) -> Callable[[str, Callable[[str], str], str], str]:
        """Return `require` if this service needs the settings in question; otherwise their values are ignored."""
        return self.require if needed else lambda _name, _parse, _fix: ""

    def require(self, name: str, parse: Callable[[str], str], fix: str) -> str:
        if not self.environment.get(name, "").strip():
            self.errors.append(SettingError(name, "is missing", fix))
        return self.get(name, "", parse, fix)


def _read(reader: _Reader, is_language: Callable[[str], bool] | None) -> Settings:
    is_private = reader.environment.get("FUNCTION_TARGET") == PRIVATE_TARGET
    delivery = "direct" if is_private else reader.get("DELIVERY", "direct", _delivery, "use direct or queue")
    enqueues, sends_email = delivery == "queue", delivery == "direct"
    need, need_queue = reader.require_if(sends_email), reader.require_if(enqueues)
    sendgrid_url = reader.get(
        "SENDGRID_URL",
        "https://api.sendgrid.com",
        parse_origin,
        "use https://api.sendgrid.com, or https://api.eu.sendgrid.com for an EU account",
    )
    tasks_endpoint = reader.get("CLOUD_TASKS_ENDPOINT", "", parse_origin, EMULATOR_FIX) if enqueues else ""
    return Settings(
        sender_email=need("SENDER_EMAIL", _address, "set it to your verified sender, such as security@example.com"),
        sender_name=reader.get("SENDER_NAME", "", _label, "set it to one line of at most 100 characters"),
        support_contact=need("SUPPORT_CONTACT", _contact, "set it to the email address or https URL of your support"),
        product_name=reader.get("PRODUCT_NAME", "", _label, "set it to one line of at most 100 characters"),
        default_language=reader.get(
            "DEFAULT_LANGUAGE", "en", _language(is_language), "use the tag of a file in notice/translations, such as en"
        ),
        context=reader.get("CONTEXT", frozenset(FACTS), _facts, f"list some of {', '.join(FACTS)}"),
        own_addresses=reader.get("OWN_ADDRESSES", (), _networks, "list CIDRs, such as 192.0.2.0/24, 2001:db8::/32"),
        allowed_tenants=reader.get(
            "ALLOWED_TENANTS", frozenset(), _tenants, "list tenant names, such as acme for acme.eu.auth0.com"
        ),
        secrets=_secrets(reader, need) if sends_email else {},
        signing_key_secret=reader.require("CALLOUT_SIGNING_KEY_SECRET", _secret, SECRET_FIX),
        sendgrid_url=sendgrid_url,
        secret_max_age_seconds=reader.get(
            "SECRET_MAX_AGE_SECONDS", 300, _integer(0, 86_400), "use a number from 0 to 86400"
        ),
        delivery=delivery,
        tasks_queue=need_queue("TASKS_QUEUE", _queue, "use the form projects/P/locations/L/queues/Q"),
        deliver_url=need_queue("DELIVER_URL", parse_origin, "set it to the private service's https URL"),
        deliver_invoker=need_queue("DELIVER_INVOKER", _address, "set it to the service account that may call deliver"),
        cloud_tasks_endpoint=tasks_endpoint,
        secret_manager_endpoint=reader.get("SECRET_MANAGER_ENDPOINT", "", parse_origin, EMULATOR_FIX),
        google_cloud_project=reader.get("GOOGLE_CLOUD_PROJECT", "", str, ""),
        threads=reader.get("THREADS", 4 * (os.cpu_count() or 1), _integer(1, 1000), "use the service's concurrency"),
        proxy=_proxy(reader, tasks_endpoint or CLOUD_TASKS_URL if enqueues else sendgrid_url),
        ca_bundle=reader.get(
            "REQUESTS_CA_BUNDLE", "", _ca_bundle, "set it to a PEM file or a hashed directory, or remove it"
        ),
    )


EMULATOR_FIX = "remove it to use Google's, or set it to the emulator's"
SECRET_FIX = "use the form projects/P/secrets/S, or the path where the secret is mounted"  # noqa: S105


def _secrets(reader: _Reader, need: Callable[[str, Callable[[str], str], str], str]) -> dict[str, str]:
    """Return the Action secrets that NAME_SECRET variables declare. A value that has no known form is ignored."""
    sources = {"SENDGRID_API_KEY": need("SENDGRID_API_KEY_SECRET", _secret, SECRET_FIX)}
    for variable, value in reader.environment.items():
        name = variable.removesuffix("_SECRET")
        if name not in (variable, "", "CALLOUT_SIGNING_KEY", "SENDGRID_API_KEY") and _is_secret(value.strip()):
            sources[name] = value.strip()
    return sources


def _is_secret(value: str) -> bool:
    return SECRET_RESOURCE.fullmatch(value) is not None or (value.startswith("/") and not value.endswith("/"))


def _is_address(text: str) -> bool:
    return ADDRESS.fullmatch(text) is not None and len(text) <= 320


def _is_support_url(text: str) -> bool:
    url = urlsplit(text)
    return url.scheme == "https" and bool(url.hostname) and not re.search(r"[\s\"<>]", text)


def _text(problem: str, is_valid: Callable[[str], object]) -> Callable[[str], str]:
    """Return a parser that returns a valid text unchanged."""

    def parse(text: str) -> str:
        if not is_valid(text):
            raise ValueError(problem)
        return text

    return parse


_secret = _text("isn't a Secret Manager resource name or an absolute path", _is_secret)
_address = _text("isn't one email address", _is_address)
_contact = _text("isn't an email address or an https URL", lambda text: _is_address(text) or _is_support_url(text))
_label = _text("is too long or contains control characters", lambda text: len(text) <= 100 and text.isprintable())
_delivery = _text("isn't direct or queue", ("direct", "queue").__contains__)
_queue = _text("isn't the full name of a queue", QUEUE.fullmatch)
_proxy_url = _text("isn't a valid proxy URL", PROXY.fullmatch)


def _language(is_available: Callable[[str], bool] | None) -> Callable[[str], str]:
    if is_available is None:
        return _text("isn't a language tag", LANGUAGE.fullmatch)
    return _text("isn't an available language", lambda text: LANGUAGE.fullmatch(text) and is_available(text))


def _split_list(text: str) -> frozenset[str]:
    items = frozenset(re.findall(r"[^\s,]+", text))
    if not items:
        raise ValueError("is an empty list")
    return items


def _tenants(text: str) -> frozenset[str]:
    names = _split_list(text)
    for name in sorted(names):
        if not TENANT_NAME.fullmatch(name):
            raise ValueError(f"contains {name!r}, which isn't the name of a tenant")
    return names


def _facts(text: str) -> frozenset[str]:
    facts = _split_list(text)
    unknown = facts - set(FACTS)
    if unknown:
        raise ValueError(f"contains the unknown fact {', '.join(sorted(unknown))}")
    return facts


def _networks(text: str) -> tuple[IpNetwork, ...]:
    try:
        return tuple(ipaddress.ip_network(item) for item in sorted(_split_list(text)))
    except ValueError as error:
        raise ValueError(f"is malformed ({error})") from error


def parse_origin(text: str) -> str:
    """Return an https URL of only scheme, host, and port; plain http is allowed for loopback. Raise ValueError."""
    match = ORIGIN.fullmatch(text)
    if not match or not 0 < int(match["port"] or 443) < 65_536:
        raise ValueError("isn't a URL of the form https://HOST")
    if match["scheme"] == "https" or is_loopback(match["host"].strip("[]")):
        return text.rstrip("/")
    raise ValueError("isn't https (plain http is only for loopback)")


def is_loopback(host: str) -> bool:
    """Return whether a host's name or IP address means this machine."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _integer(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text) or not low <= int(text) <= high:
            raise ValueError(f"isn't an integer from {low} to {high}")
        return int(text)

    return parse


def _ca_bundle(text: str) -> str:
    try:
        if not os.path.isdir(text):  # noqa: PTH112  (pathlib isn't needed here otherwise)
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(text)
    except OSError:
        raise ValueError("isn't a file or directory of certificates") from None
    return text


def _proxy(reader: _Reader, url: str) -> str:
    """Return the proxy that HTTPS_PROXY and NO_PROXY specify for `url`, or an empty string; loopback is never proxied.

    Lowercase names take precedence.
    """
    host = urlsplit(url).hostname or ""
    no_proxy = reader.get("no_proxy", "", str, "") or reader.get("NO_PROXY", "", str, "")
    if is_loopback(host) or proxy_bypass_environment(host, {"no": no_proxy}):
        return ""
    fix = "set it to http://HOST:PORT"
    return reader.get("https_proxy", "", _proxy_url, fix) or reader.get("HTTPS_PROXY", "", _proxy_url, fix)


def exempt_loopback_from_proxies() -> None:
    """Add loopback to this process's NO_PROXY: Google's client and others read the environment's proxies themselves."""
    no_proxy = os.environ.get("no_proxy") or os.environ.get("NO_PROXY", "")
    if no_proxy != "*":
        os.environ["no_proxy"] = f"localhost,127.0.0.1,::1,{no_proxy}"
