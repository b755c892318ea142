"""The sender's domain in DNS: whether receivers can tell the notice from a forgery (DKIM by SendGrid, DMARC)."""

import re
from collections.abc import Iterator

import requests

from doctor.context import SECONDS, CheckContext
from doctor.finding import Finding

SELECTORS = ("s1", "s2")  # SendGrid's own, unless somebody chose others
PROVIDERS = re.compile(
    r"(aol|gmail|gmx|googlemail|hotmail|icloud|live|mail|me|msn|outlook|protonmail|qq|yahoo|zoho)\.com"
    r"|gmx\.(de|net)|(mail|yandex)\.ru|proton\.me|web\.de|yahoo\.co\.(jp|uk)"
)
AUTHENTICATE = (
    "authenticate a domain of your own (Sender Authentication > Authenticate Your Domain: three CNAME records) at "
    "https://app.sendgrid.com/settings/sender_auth, and set SENDER_EMAIL to an address in it"
)
SPAM = "receivers sort such mail out as forged, and a warning in the spam folder warns nobody"


def check(case: CheckContext) -> Iterator[Finding]:
    domain = case.settings.sender_email.rpartition("@")[2].lower()
    if PROVIDERS.fullmatch(domain):
        what = f"{case.settings.sender_email} is a single sender of a mail provider"
        why = f"{domain} allows only its own servers to send as it (DMARC): {SPAM}"
        yield Finding("warning", "domain", what, why, AUTHENTICATE)
        return
    try:
        signed = any(_is_sendgrids(case, f"{selector}._domainkey.{domain}") for selector in SELECTORS)
        policy = _dmarc(case, domain)
    except (requests.RequestException, ValueError) as error:
        yield Finding("note", "domain", f"DNS cannot be asked about {domain}: {type(error).__name__}")
        return
    if not signed:
        what = f"SendGrid does not sign for {domain} (no s1._domainkey CNAME): a single sender, or your own selectors"
        why = f"the mail is not {domain}'s by DKIM; its DMARC policy is {policy or 'none yet'}: {SPAM}"
        yield Finding("warning", "domain", what, why, AUTHENTICATE)
    elif not policy:
        what = f"{domain} has no DMARC policy"
        why = "large receivers ask for one, and without it anybody can write as you"
        fix = f'publish TXT _dmarc.{domain} "v=DMARC1; p=none; rua=mailto:you@{domain}", then tighten it'
        yield Finding("warning", "domain", what, why, fix)
    else:
        yield Finding("ok", "domain", f"SendGrid signs for {domain}, and DMARC says {policy}")


def _is_sendgrids(case: CheckContext, name: str) -> bool:
    return any(answer.rstrip(".").endswith(".sendgrid.net") for answer in _ask(case, name, "CNAME"))


def _dmarc(case: CheckContext, domain: str) -> str:
    """The policy of the domain, or of the one above it, such as `p=reject`; empty: there is none."""
    labels = domain.split(".")
    for start in range(len(labels) - 1):
        for text in _ask(case, "_dmarc." + ".".join(labels[start:]), "TXT"):
            tags = [tag.strip() for tag in text.strip('"').split(";")]
            if tags[0].replace(" ", "").lower() == "v=dmarc1":
                return next((tag for tag in tags if tag.lower().startswith("p=")), "p=none")
    return ""


def _ask(case: CheckContext, name: str, kind: str) -> list[str]:
    answer = requests.get(case.resolver, params={"name": name, "type": kind}, timeout=SECONDS)
    answer.raise_for_status()
    return [str(record["data"]) for record in answer.json().get("Answer", [])]
