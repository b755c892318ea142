"""A finding: what a check found, why it matters, and how to fix it."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Literal

Level = Literal["ok", "skipped", "warning", "error"]


@dataclass(frozen=True)
class Finding:
    """An `error` prevents notices, a `warning` is a risk, and `skipped` means that something couldn't be checked."""

    level: Level
    check: str
    what: str
    why: str = ""
    fix: str = ""

    def __str__(self) -> str:
        lines = [f"{self.level:<8}{self.check}: {self.what}"]
        lines += [f"        {label}: {text}" for label, text in (("why", self.why), ("fix", self.fix)) if text]
        return "\n".join(lines)


def to_json(findings: Iterable[Finding]) -> str:
    listed = list(findings)
    return json.dumps({"ok": is_healthy(listed), "findings": [asdict(finding) for finding in listed]}, indent=1)


def is_healthy(findings: Iterable[Finding]) -> bool:
    return all(finding.level != "error" for finding in findings)


def summarize(findings: Iterable[Finding]) -> str:
    """Return what all checks together show. What the audit can't read doesn't affect notices."""
    listed = list(findings)
    errors = sum(finding.level == "error" for finding in listed)
    skipped = sum(finding.level == "skipped" and finding.check != "logs" for finding in listed)
    if errors:
        return f"{errors} error{'s' * (errors > 1)}: fix {'them' if errors > 1 else 'it'}, and run the doctor again"
    if skipped:
        return "no errors, but whether a password change sends an email wasn't checked completely: see what was skipped"
    return "healthy: a password change sends an email"
