"""The form in which email addresses are sent to SendGrid."""

import idna


def ascii_domain(address: str) -> str:
    """Convert the domain to its `xn--` form, because SendGrid lacks SMTPUTF8. Return other addresses unchanged."""
    local, _, domain = address.rpartition("@")
    if domain.isascii() or not local.isascii():
        return address
    try:
        return f"{local}@{idna.encode(domain, uts46=True).decode()}"  # Python's own codec converts faß.de to fass.de
    except UnicodeError:
        return address
