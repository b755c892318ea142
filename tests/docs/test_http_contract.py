"""docs/http-contract.md shows requests and responses as they are, and lists the same codes as docs/codes.md."""

import json
import re
from pathlib import Path

from werkzeug.datastructures import Headers

from emulator.testing import EmulatorFixture, emulator  # noqa: F401  (pytest finds fixtures by name)
from runtime.callout import parse
from runtime.signature import has_valid_signature, parse_headers, parse_signing_key

DOCS = Path(__file__).parents[2] / "docs"
PAGE, CODES = ((DOCS / name).read_text("utf-8") for name in ("http-contract.md", "codes.md"))


def test_the_request_is_signed_with_the_key() -> None:
    [(head, body)] = re.findall(r"```http\nPOST / HTTP/1.1\n(.*?)\n\n(.*?)\n```", PAGE, re.DOTALL)
    headers = Headers([tuple(line.split(": ", 1)) for line in head.splitlines()])
    [key] = re.findall(r"`(whsec_\S+)`", PAGE)
    signed = parse_headers(headers)

    assert has_valid_signature(signed, body.encode(), [parse_signing_key(key)])
    warnings: list[str] = []
    assert parse(signed, body.encode(), 0.0, warnings.append).time.timestamp() == signed.timestamp
    assert not warnings


def test_the_response_has_the_fields_of_a_real_one(emulator: EmulatorFixture) -> None:  # noqa: F811  (the fixture)
    [example] = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    documented = json.loads(example)
    [response] = emulator.responses(emulator.run())

    assert response.keys() == {*documented, "http_status"}
    assert response["stats"].keys() == documented["stats"].keys()
    assert response["actions"][0].keys() == documented["actions"][0].keys()


def test_both_pages_list_the_same_codes_and_statuses() -> None:
    contract = set(re.findall(r"^\| ([45]\d\d) \| `(\w+)` \|", PAGE, re.MULTILINE))
    explained = {
        pair
        for statuses, names in re.findall(r"^\| ([\d, ]+) \| ([`\w, ]+) \|", CODES, re.MULTILINE)
        for pair in pairs(statuses.split(", "), re.findall(r"\w+", names))
    }

    assert contract == explained


def pairs(statuses: list[str], codes: list[str]) -> list[tuple[str, str]]:
    """Pair the statuses with the codes; a single status belongs to every code."""
    return list(zip(statuses * len(codes) if len(statuses) == 1 else statuses, codes, strict=True))
