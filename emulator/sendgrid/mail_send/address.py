"""One e-mail address as SendGrid's mail/send takes it.

Exactly one address: a dot-atom or quoted local part of at most 64 octets, `@`, a host name, 254 octets in all
[SendGrid: Invalid email addresses, after RFC 5321 § 4.5.3.1]. A host name of one label passes (`a@gmailcom` does
in public reports), an address literal (`a@[192.0.2.1]`) does not [SendGrid's Japanese help pages].

Letters that are not ASCII are taken, as the v3 API takes them. Its reports (sendgrid-ruby #91, sendgrid-csharp #255 and
#656) say that such a mail is dropped later as "Invalid": SendGrid has no SMTPUTF8. A domain is safe in its `xn--` form.
"""

import re

LENGTH_LIMIT = 320  # characters; longer ones get a message of their own
ADDRESS_LIMIT, LOCAL_LIMIT = 254, 64  # octets

_WORD = r"[^\W_]"  # a letter or digit of any script
_LABEL = rf"{_WORD}(?:(?:{_WORD}|-){{0,61}}{_WORD})?"
_ATOM = r"[\w!#$%&'*+/=?^`{|}~-]+"
_QUOTED = r'"(?:[ !#-\[\]-~]|\\[ -~])*"'
_ADDRESS = re.compile(rf"(?P<local>{_ATOM}(?:\.{_ATOM})*|{_QUOTED})@(?P<domain>{_LABEL}(?:\.{_LABEL})*)")


def is_address(text: str) -> bool:
    found = _ADDRESS.fullmatch(text)
    return found is not None and _octets(text) <= ADDRESS_LIMIT and _octets(found["local"]) <= LOCAL_LIMIT


def _octets(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))
