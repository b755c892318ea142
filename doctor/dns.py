"""Check the sender's domain in DNS: whether receivers can authenticate the notice (DKIM by SendGrid, DMARC)."""

import re
from collections.abc import Iterator

import requests

from doctor.context import CheckContext
from doctor.finding import Finding
from doctor.http import request

RESOLVER = "https://dns.google/resolve"  # DNS over HTTPS, JSON API
SELECTORS = ("s1", "s2")  # SendGrid's default DKIM selectors
EMAIL_PROVIDERS = re.compile(
    r"(aol|gmail|gmx|googlemail|hotmail|icloud|live|mail|me|msn|outlook|protonmail|qq|yahoo|zoho)\.com"
    r"|gmx\.(de|net)|(mail|yandex)\.ru|proton\.me|web\.de|yahoo\.co\.(jp|uk)"
)
AUTHENTICATE_DOMAIN = (
    "authenticate your own domain (Sender Authentication > Authenticate Your Domain: three CNAME records) at "
    "https://app.sendgrid.com/settings/sender_auth, and set SENDER_EMAIL to an address in it"
)
MAY_BE_SPAM = "receivers may treat such email as spoofed and file it as spam"


def check(context: CheckContext) -> Iterator[Finding]:
    domain = context.settings.sender_email.rpartition("@")[2].lower()
    if EMAIL_PROVIDERS.fullmatch(domain):
        what = f"{context.settings.sender_email} is an address at an email provider"
        why = f"only the provider's servers may send as {domain} (DMARC): {MAY_BE_SPAM}"
        yield Finding("warning", "domain", what, why, AUTHENTICATE_DOMAIN)
        return
    try:
        is_signed = any(_is_sendgrid_cname(f"{selector}._domainkey.{domain}") for selector in SELECTORS)
        policy = _get_dmarc_policy(domain)
    except (requests.RequestException, ValueError, AttributeError, KeyError, TypeError) as error:
        yield Finding("skipped", "domain", f"couldn't look up {domain} in DNS: {type(error).__name__}")
        return
    if not is_signed:
        what = (
            f"{domain} has no SendGrid DKIM record (s1._domainkey or s2._domainkey CNAME): SENDER_EMAIL is a single "
            "sender, or the domain uses custom selectors"
        )
        why = f"without DKIM for {domain} (its DMARC policy: {policy or 'none'}), {MAY_BE_SPAM}"
        yield Finding("warning", "domain", what, why, AUTHENTICATE_DOMAIN)
    elif not policy:
        what = f"{domain} has no DMARC policy"
        why = "large receivers require one, and without it anyone can send email as you"
        fix = f'publish the TXT record _dmarc.{domain} "v=DMARC1; p=none; rua=mailto:you@{domain}", then tighten it'
        yield Finding("warning", "domain", what, why, fix)
    else:
        yield Finding("ok", "domain", f"SendGrid signs for {domain}, and its DMARC policy is {policy}")


def _is_sendgrid_cname(name: str) -> bool:
    return any(target.rstrip(".").endswith(".sendgrid.net") for target in _resolve(name, "CNAME"))


def _get_dmarc_policy(domain: str) -> str:
    """Return the policy of the domain or its nearest parent, such as `p=reject`; empty if there is none."""
    labels = domain.split(".")
    for start in range(len(labels) - 1):
        for text in _resolve("_dmarc." + ".".join(labels[start:]), "TXT"):
            tags = [tag.strip() for tag in text.strip('"').split(";")]
            if tags[0].replace(" ", "").lower() == "v=dmarc1":
                return next((tag for tag in tags if tag.lower().startswith("p=")), "p=none")
    return ""


def _resolve(name: str, record_type: str) -> list[str]:
    response = request("GET", RESOLVER, params={"name": name, "type": record_type})
    response.raise_for_status()
    return [str(record["data"]) for record in response.json().get("Answer", [])]
