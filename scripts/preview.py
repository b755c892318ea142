"""Preview the email in every language, light and dark, 320 and 600 px wide, on one page: `make preview`."""

import argparse
import html
import json
import sys
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import settings
from emulator.web.language_gallery import in_theme, languages
from notice.compose import Message, password_changed
from notice.languages import TRANSLATIONS
from runtime import event
from runtime.callout import Callout
from runtime.secrets import ActionSecrets

ROOT = Path(__file__).parents[1]
PREVIEW = ROOT / ".work" / "preview"
EXAMPLE = ROOT / "emulator" / "auth0" / "samples" / "full.json"
THEMES, WIDTHS, HEIGHT = ("light", "dark"), (320, 600), 980
ENVIRONMENT = {
    "SENDER_EMAIL": "security@acme.example",
    "SUPPORT_CONTACT": "help@acme.example",
    "PRODUCT_NAME": "Acme",
    "SENDGRID_API_KEY_SECRET": "projects/p/secrets/s",
    "CALLOUT_SIGNING_KEY_SECRET": "projects/p/secrets/k",
}


def compose_example(language: str, default_language: str = "") -> Message:
    """Return the full example's email in `language`, followed by `default_language` if given and different."""
    raw: dict[str, Any] = json.loads(EXAMPLE.read_text())
    raw["request"]["language"] = language
    time = datetime(2026, 11, 23, 13, 5, tzinfo=UTC)
    callout = Callout("preview", f"{0x1A2B3C4D5E6F:x}{'0' * 52}", time, False, raw, 0.0)
    parsed = event.parse(callout, cast(ActionSecrets, None), print)
    return password_changed(parsed, settings.load({**ENVIRONMENT, "DEFAULT_LANGUAGE": default_language or language}))


def write_preview(folder: Path) -> Path:
    """Write the page and the emails that it frames. Return the page's path."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for tag, name in languages().items():
        file = TRANSLATIONS / f"{tag}.toml"
        about = tomllib.loads(file.read_text())["about"]
        message = compose_example(file.stem)
        for theme in THEMES:
            (folder / f"{file.stem}.{theme}.html").write_text(in_theme(message.html, theme))
        (folder / f"{file.stem}.txt").write_text(message.text)
        rows.append(_row(file.stem, f"{about['name']} · {name}", about, message.subject))
    index = folder / "index.html"
    index.write_text(PAGE.format(rows="\n".join(rows), languages=len(rows), height=HEIGHT))
    return index


def _row(tag: str, name: str, about: dict[str, str], subject: str) -> str:
    frames = "\n".join(
        f'<iframe loading="lazy" sandbox title="{tag}, {theme}" src="{tag}.{theme}.html" width="{width}"></iframe>'
        for theme in THEMES
        for width in WIDTHS
    )
    caption = html.escape(f"{tag} · {about['made']} · reviewed {about['reviewed']} · subject: {subject}")
    return (
        f'<section id="{tag}"><h2>{html.escape(name)}</h2>\n'
        f'<p>{caption} · <a href="{tag}.txt">text part</a></p>\n<div>{frames}</div></section>'
    )


PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>The email in {languages} languages</title>
<style>
body {{ margin: 24px; background: #777; color: #fff; font-family: sans-serif }}
a {{ color: inherit }}
div {{ display: flex; gap: 12px; overflow-x: auto }}
iframe {{ flex: none; height: {height}px; border: 0 }}
</style>
<h1>The email in {languages} languages: light and dark, 320 and 600 px</h1>
{rows}
</html>
"""

if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()  # rejects arguments
    sys.stdout.write(f"{write_preview(PREVIEW)}\n")
