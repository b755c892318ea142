"""The mail in a real browser and in mail clients: axe-core's rules in every language, and caniemail's data."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, sync_playwright

from scripts.screenshots import CHROMIUM_ARGUMENTS
from tests.notice.sample import TAGS, mail
from tests.support.npm import node, npm_package

AXE, CANIEMAIL = "4.14.1", "2.0.2"
CHROMIUM = shutil.which("chromium")
# Whole rule set, best practices included; says what is wrong, and how many elements had their contrast measured.
RUN_AXE = """async () => {
    const results = await axe.run(document, {resultTypes: ['violations', 'incomplete', 'passes']});
    const contrast = results.passes.find(rule => rule.id === 'color-contrast');
    return {
        wrong: [...results.violations, ...results.incomplete].map(
            rule => rule.id + ': ' + rule.nodes.map(node => node.html + ' ' + node.failureSummary).join('; ')),
        contrasts: contrast ? contrast.nodes.length : 0,
    };
}"""
COLORS = "() => [...document.querySelectorAll('.card, .steps')].map(each => getComputedStyle(each).backgroundColor)"


@pytest.fixture(scope="module")
def browser_page() -> Iterator[Page]:
    """A page in which axe runs; the next mail replaces the last one."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium on this machine")
    axe = npm_package("axe-core", AXE) / "axe-core" / "axe.min.js"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGUMENTS)
        page = browser.new_page(viewport={"width": 600, "height": 900})
        page.evaluate(axe.read_text())
        yield page
        browser.close()


def _checked(page: Page, html: str, theme: Any) -> dict[str, Any]:
    page.emulate_media(color_scheme=theme)
    page.set_content(html)
    found: dict[str, Any] = page.evaluate(RUN_AXE)
    return found


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("tag", TAGS)
def test_axe_finds_nothing_wrong(browser_page: Page, tag: str, theme: str) -> None:
    """With English beside the language, as most tenants send it, and with every part that a mail can have."""
    html = mail(options={"PRODUCT_NAME": "Acme"}, request__language=tag).html
    found = _checked(browser_page, html, theme)
    assert found["wrong"] == []
    assert found["contrasts"] >= (10 if tag == "en" else 20)


def test_axe_measures_the_colors_of_the_dark_theme(browser_page: Page) -> None:
    html = mail(request__language="en").html
    seen = []
    for theme in ("light", "dark"):
        _checked(browser_page, html, theme)
        seen.append(browser_page.evaluate(COLORS))
    light, dark = seen
    assert light == ["rgb(255, 255, 255)", "rgb(255, 247, 230)"]
    assert dark == ["rgb(30, 34, 38)", "rgb(46, 36, 16)"]
    faint = html.replace(".text { color: #e8eaed", ".text { color: #3a4149")
    assert faint != html
    assert _checked(browser_page, faint, "light")["wrong"] == []
    assert "color-contrast" in "".join(_checked(browser_page, faint, "dark")["wrong"])


@pytest.mark.parametrize("width", [320, 600])
@pytest.mark.parametrize("tag", ["en", "de", "fi", "ta", "ar", "ja"])
def test_nothing_is_cut_off_at_the_side(browser_page: Page, tag: str, width: int) -> None:
    browser_page.set_viewport_size({"width": width, "height": 900})
    message = mail(options={"PRODUCT_NAME": "x" * 80}, request__language=tag, connection__name="x" * 200)
    browser_page.set_content(message.html)
    assert browser_page.evaluate("() => document.documentElement.scrollWidth") <= width


# Mail clients ---------------------------------------------------------------------------------------------------------

CLIENTS = ["gmail.*", "outlook.*", "apple-mail.*"]
# What some of these clients do not support, or in part, and why the mail does not need it there.
DISPENSABLE = {
    # The dark theme: without it the mail is the light one, or inverted by the client.
    "color-scheme CSS property": "asks for the dark theme",
    "color-scheme meta tag": "asks for the dark theme",
    "<style> element": "holds the dark theme alone; all else is inline",
    "@media": "chooses the dark theme; no other condition is asked",
    # Decoration.
    "border-radius": "round corners",
    "border": "unreliable on a <div> in Outlook for Windows: color and headings tell the boxes apart too",
    "background": "color alone is used, which is supported",
    "max-width": "long lines in Outlook for Windows",
    "padding": "ignored on a <div> by Outlook for Windows: the text stands at the edge of the box",
    "margin": "no negative one is used; without auto the column stands at the side",
    "line-height": "off by a little in Outlook for Windows",
    "font-size": "the missing units are not used",
    "font-weight": "bold alone is used, which is supported",
    "word-break": "breaks a word that is longer than the screen is wide, in one way or another",
    "white-space": "keeps the reference on one line; broken, it reads the same",
    "list-style": "an image for it is not used",
    # Structure.
    "<body> element": "replaced by a <div>: language and direction stand on each part too",
    "<ul>, <ol> and <dl>": "its unsupported attributes are not used",
    "dir attribute": "on the contact's <a> alone it is unreliable in Outlook for Windows; an address reads the same",
}
SCRIPT = """
import('caniemail').then(({caniemail}) => {
    const [html, clients] = [require('fs').readFileSync(process.argv[2], 'utf8'), JSON.parse(process.argv[3])];
    const {errors, warnings} = caniemail({html, clients}).issues;
    const issues = [...errors.values(), ...warnings.values()].flat();
    console.log(JSON.stringify([...new Set(issues.map(issue => issue.title))]));
});
"""


def test_mail_clients_support_all_that_the_mail_needs(tmp_path: Path) -> None:
    file = tmp_path / "mail.html"
    file.write_text(mail(options={"PRODUCT_NAME": "Acme"}, request__language="ar").html)
    done = node(SCRIPT, str(file), json.dumps(CLIENTS), modules=npm_package("caniemail", CANIEMAIL))
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout)) == set(DISPENSABLE), "what is new needs a thought, what is gone leaves the list"
