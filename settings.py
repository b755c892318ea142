"""Settings: every environment name that the product reads, in one frozen object, with all faults told at once."""

import ipaddress
import os
import re
import ssl
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar
from urllib.parse import urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined,unused-ignore]

IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
Delivery = Literal["direct", "queue"]
T = TypeVar("T")

FACTS = ("time", "place", "device", "ip")
LANGUAGES = Path(__file__).parent / "notice" / "translations"
SECRET_RESOURCE = re.compile(r"projects/[^/\s]+(/locations/[^/\s]+)?/secrets/[\w-]+(/versions/[\w-]+)?")
HOST = r"(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:(?P<port>[0-9]{1,5}))?/?"
ORIGIN = re.compile(rf"(?P<scheme>https?)://{HOST}")
PROXY = re.compile(rf"(https?://)?([^\s/@]+@)?{HOST}")
QUEUE = re.compile(r"projects/[^/\s]+/locations/[^/\s]+/queues/[\w-]+")
ADDRESS = re.compile(r"[^@\s,;<>()\"\x00-\x1f]+@[^@\s,;<>()\"\x00-\x1f]+")


class SettingError(NamedTuple):
    """One thing wrong with one setting, and how to mend it."""

    name: str
    problem: str
    fix: str

    def __str__(self) -> str:
        return f"{self.name} {self.problem}: {self.fix}"


class SettingsError(Exception):
    """The settings cannot be worked with; `faults` lists everything that is wrong."""

    def __init__(self, faults: Iterable[SettingError]) -> None:
        self.errors = tuple(faults)
        super().__init__("; ".join(map(str, self.errors)))


class Settings(NamedTuple):
    """What the environment says, checked. The README's table tells what each name means."""

    sender_email: str
    sender_name: str
    support_contact: str
    product_name: str
    default_language: str
    context: frozenset[str]
    own_addresses: tuple[IpNetwork, ...]
    allowed_tenants: frozenset[str]  # empty: any
    secrets: Mapping[str, str]  # an Action secret's name → where its value is
    signing_key_secret: str
    sendgrid_url: str
    secret_max_age_seconds: int
    delivery: Delivery
    tasks_queue: str
    deliver_url: str
    deliver_invoker: str
    cloud_tasks_endpoint: str  # empty: Google's
    secret_manager_endpoint: str  # empty: Google's
    google_cloud_project: str
    threads: int
    proxy: str  # for SENDGRID_URL; empty: none
    ca_bundle: str  # empty: the one that requests brings


def load(environment: Mapping[str, str] | None = None) -> Settings:
    """The settings of this process.

    Raises SettingsError, with every fault, where one is missing, malformed or contradicts another.
    """
    reader = _Reader(os.environ if environment is None else environment)
    settings = _read(reader)
    if reader.errors:
        raise SettingsError(reader.errors)
    return settings


class _Reader:
    """Reads one name after the other and collects what is wrong. An empty value counts as absent."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = environment
        self.errors: list[SettingError] = []

    def get(self, name: str, default: T, parse: Callable[[str], T], fix: str) -> T:
        """The parsed value; `parse` raises ValueError with the problem, to which `fix` adds what to do."""
        text = self.environment.get(name, "").strip()
        if not text:
            return default
        try:
            return parse(text)
        except ValueError as error:
            self.errors.append(SettingError(name, str(error), fix))
            return default

    def when(self, needed: bool) -> Callable[[str, Callable[[str], str], str], str]:
        """`require` where this side needs a setting; where it does not, whatever is there is left alone."""
        return self.require if needed else lambda _name, _parse, _fix: ""

    def require(self, name: str, parse: Callable[[str], str], fix: str) -> str:
        if not self.environment.get(name, "").strip():
            self.errors.append(SettingError(name, "is missing", fix))
        return self.get(name, "", parse, fix)


def _read(reader: _Reader) -> Settings:
    private = reader.environment.get("FUNCTION_TARGET") == "deliver"
    delivery: Delivery = "direct"
    if not private:
        delivery = reader.get("DELIVERY", delivery, _delivery, "use direct or queue")
    queues, sends_mail = delivery == "queue", delivery == "direct"
    need, need_queue = reader.when(sends_mail), reader.when(queues)
    sendgrid_url = reader.get(
        "SENDGRID_URL",
        "https://api.sendgrid.com",
        _origin,
        "use https://api.sendgrid.com, or https://api.eu.sendgrid.com for an EU account",
    )
    tasks_endpoint = reader.get("CLOUD_TASKS_ENDPOINT", "", _origin, EMULATOR_FIX) if queues else ""
    return Settings(
        sender_email=need("SENDER_EMAIL", _address, "set it to your verified sender identity, security@example.com"),
        sender_name=reader.get("SENDER_NAME", "", _label, "set it to one line of at most 100 characters"),
        support_contact=need(
            "SUPPORT_CONTACT", _contact, "set it to an e-mail address or an https URL where users get help"
        ),
        product_name=reader.get("PRODUCT_NAME", "", _label, "set it to one line of at most 100 characters"),
        default_language=reader.get("DEFAULT_LANGUAGE", "en", _language, "use one of the files in notice/languages"),
        context=reader.get("CONTEXT", frozenset(FACTS), _facts, f"list some of {', '.join(FACTS)}"),
        own_addresses=reader.get("OWN_ADDRESSES", (), _networks, "list CIDRs, such as 192.0.2.0/24, 2001:db8::/32"),
        allowed_tenants=reader.get("ALLOWED_TENANTS", frozenset(), _words, "list Auth0 tenant names"),
        secrets=_secrets(reader, need) if sends_mail else {},
        signing_key_secret=reader.require("CALLOUT_SIGNING_KEY_SECRET", _secret, SECRET_FIX),
        sendgrid_url=sendgrid_url,
        secret_max_age_seconds=reader.get("SECRET_MAX_AGE_SECONDS", 300, _seconds, "use 0 to 86400"),
        delivery=delivery,
        tasks_queue=need_queue("TASKS_QUEUE", _queue, "name it as projects/P/locations/L/queues/Q"),
        deliver_url=need_queue("DELIVER_URL", _origin, "set it to the private service's https address"),
        deliver_invoker=need_queue("DELIVER_INVOKER", _address, "name the service account that may call deliver"),
        cloud_tasks_endpoint=tasks_endpoint,
        secret_manager_endpoint=reader.get("SECRET_MANAGER_ENDPOINT", "", _origin, EMULATOR_FIX),
        google_cloud_project=reader.get("GOOGLE_CLOUD_PROJECT", "", str, ""),
        threads=reader.get("THREADS", 4 * (os.cpu_count() or 1), _threads, "use the service's concurrency, 1 to 1000"),
        proxy=_proxy(reader, tasks_endpoint or CLOUD_TASKS_URL if queues else sendgrid_url),
        ca_bundle=reader.get("REQUESTS_CA_BUNDLE", "", _bundle, "name a PEM file, or leave it out"),
    )


CLOUD_TASKS_URL = "https://cloudtasks.googleapis.com"
EMULATOR_FIX = "leave it out for Google's own, or name the emulator's"
SECRET_FIX = "name it as projects/P/secrets/S, or as the path where it is mounted"  # noqa: S105


def _secrets(reader: _Reader, need: Callable[[str, Callable[[str], str], str], str]) -> dict[str, str]:
    """Every Action secret NAME that NAME_SECRET declares. A value of no known form is not ours."""
    found = {"SENDGRID_API_KEY": need("SENDGRID_API_KEY_SECRET", _secret, SECRET_FIX)}
    for variable, value in reader.environment.items():
        name = variable.removesuffix("_SECRET")
        if name not in (variable, "", "CALLOUT_SIGNING_KEY", "SENDGRID_API_KEY") and _is_secret(value.strip()):
            found[name] = value.strip()
    return found


def _is_secret(value: str) -> bool:
    return SECRET_RESOURCE.fullmatch(value) is not None or (value.startswith("/") and not value.endswith("/"))


def _secret(text: str) -> str:
    if not _is_secret(text):
        raise ValueError("has none of the known forms")
    return text


def _address(text: str) -> str:
    if not ADDRESS.fullmatch(text) or len(text) > 320:
        raise ValueError("is not one e-mail address")
    return text


def _contact(text: str) -> str:
    url = urlsplit(text)
    if ADDRESS.fullmatch(text) or (url.scheme == "https" and url.hostname and not re.search(r"[\s\"<>]", text)):
        return text
    raise ValueError("is neither an e-mail address nor an https URL")


def _label(text: str) -> str:
    if len(text) > 100 or not text.isprintable():
        raise ValueError("is too long or has control characters")
    return text


def _language(text: str) -> str:
    found = sorted(file.stem for file in LANGUAGES.glob("*.toml"))
    primary = text.replace("_", "-").split("-")[0].lower()
    if primary not in {tag.split("-")[0] for tag in found}:
        raise ValueError(f"is no language of the notice ({', '.join(found)})")
    return text


def _words(text: str) -> frozenset[str]:
    words = frozenset(re.findall(r"[^\s,]+", text))
    if not words:
        raise ValueError("lists nothing")
    return words


def _facts(text: str) -> frozenset[str]:
    unknown = _words(text) - set(FACTS)
    if unknown:
        raise ValueError(f"has the unknown word {', '.join(sorted(unknown))}")
    return _words(text)


def _networks(text: str) -> tuple[IpNetwork, ...]:
    try:
        return tuple(ipaddress.ip_network(word) for word in sorted(_words(text)))
    except ValueError as error:
        raise ValueError(f"is malformed ({error})") from error


def _origin(text: str) -> str:
    """An https address of scheme, host and port alone; plain http on loopback only."""
    found = ORIGIN.fullmatch(text)
    if not found or not 0 < int(found["port"] or 443) < 65_536:
        raise ValueError("is not an address of the form https://host")
    if found["scheme"] == "https" or _is_loopback(found["host"].strip("[]")):
        return text.rstrip("/")
    raise ValueError("is not https (plain http is for loopback only)")


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _whole(text: str, low: int, high: int) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text) or not low <= int(text) <= high:
        raise ValueError(f"is not a whole number from {low} to {high}")
    return int(text)


def _seconds(text: str) -> int:
    return _whole(text, 0, 86_400)


def _threads(text: str) -> int:
    return _whole(text, 1, 1000)


def _delivery(text: str) -> Delivery:
    if text not in ("direct", "queue"):
        raise ValueError("is neither direct nor queue")
    return "queue" if text == "queue" else "direct"


def _queue(text: str) -> str:
    if not QUEUE.fullmatch(text):
        raise ValueError("is no queue's full name")
    return text


def _bundle(text: str) -> str:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(text)
    except OSError:
        raise ValueError("is no file of certificates") from None
    return text


def _proxy(reader: _Reader, url: str) -> str:
    """The proxy that HTTPS_PROXY and NO_PROXY ask for on the way to `url`; never for loopback. Lower case wins."""
    host = urlsplit(url).hostname or ""
    passed_by = reader.get("no_proxy", "", str, "") or reader.get("NO_PROXY", "", str, "")
    if _is_loopback(host) or proxy_bypass_environment(host, {"no": passed_by}):
        return ""
    fix = "set it to http://HOST:PORT"
    return reader.get("https_proxy", "", _proxy_url, fix) or reader.get("HTTPS_PROXY", "", _proxy_url, fix)


def _proxy_url(text: str) -> str:
    if not PROXY.fullmatch(text):
        raise ValueError("is no proxy's address")
    return text
