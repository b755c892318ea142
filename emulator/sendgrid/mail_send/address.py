"""Validate an email address as SendGrid's mail/send does.

Exactly one address: a dot-atom or quoted local part of at most 64 octets, `@`, and a host name; 254 octets in total
[SendGrid: Invalid email addresses, after RFC 5321 § 4.5.3.1]. A host name of one label is accepted (`a@gmailcom` is in
public reports); an address literal (`a@[192.0.2.1]`) isn't [SendGrid's Japanese help pages].

Non-ASCII letters are accepted, as in the v3 API. According to reports (sendgrid-ruby #91, sendgrid-csharp #255 and
#656), SendGrid later drops such an email as "Invalid": it doesn't support SMTPUTF8. A domain in `xn--` form works.
"""

import re

MAX_CHARACTERS = 320  # longer addresses get a different error message
MAX_ADDRESS_OCTETS, MAX_LOCAL_OCTETS = 254, 64

_WORD = r"[^\W_]"  # a letter or digit in any script
_LABEL = rf"{_WORD}(?:(?:{_WORD}|-){{0,61}}{_WORD})?"
_ATOM = r"[\w!#$%&'*+/=?^`{|}~-]+"
_QUOTED = r'"(?:[ !#-\[\]-~]|\\[ -~])*"'
_ADDRESS = re.compile(rf"(?P<local>{_ATOM}(?:\.{_ATOM})*|{_QUOTED})@(?P<domain>{_LABEL}(?:\.{_LABEL})*)")


def is_address(text: str) -> bool:
    match = _ADDRESS.fullmatch(text)
    return match is not None and _octets(text) <= MAX_ADDRESS_OCTETS and _octets(match["local"]) <= MAX_LOCAL_OCTETS


def _octets(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))
