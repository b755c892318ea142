"""Check the email's accessibility in Chromium with axe-core, and its features in email clients with caniemail."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, sync_playwright

from scripts.screenshots import CHROMIUM_ARGUMENTS
from tests.notice.sample import TAGS, email
from tests.support.npm import node, npm_package

AXE, CANIEMAIL = "4.14.1", "2.0.2"
CHROMIUM = shutil.which("chromium")
# Runs all rules, including best practices; returns the violations and the number of elements with measured contrast.
RUN_AXE = """async () => {
    const results = await axe.run(document, {resultTypes: ['violations', 'incomplete', 'passes']});
    const contrast = results.passes.find(rule => rule.id === 'color-contrast');
    return {
        violations: [...results.violations, ...results.incomplete].map(
            rule => rule.id + ': ' + rule.nodes.map(node => node.html + ' ' + node.failureSummary).join('; ')),
        contrasts: contrast ? contrast.nodes.length : 0,
    };
}"""
COLORS = "() => [...document.querySelectorAll('.card, .steps')].map(box => getComputedStyle(box).backgroundColor)"


@pytest.fixture(scope="module")
def browser_page() -> Iterator[Page]:
    """Yield a page with axe loaded. Each test replaces the page's content."""
    if CHROMIUM is None:
        pytest.skip("Chromium isn't installed")
    axe = npm_package("axe-core", AXE) / "axe-core" / "axe.min.js"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGUMENTS)
        page = browser.new_page(viewport={"width": 600, "height": 900})
        page.evaluate(axe.read_text())
        yield page
        browser.close()


def _run_axe(page: Page, html: str, theme: Any) -> dict[str, Any]:
    page.emulate_media(color_scheme=theme)
    page.set_content(html)
    results: dict[str, Any] = page.evaluate(RUN_AXE)
    return results


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("tag", TAGS)
def test_axe_reports_no_violations(browser_page: Page, tag: str, theme: str) -> None:
    """Each email also has the English section, as most tenants send it, and every optional part."""
    html = email(options={"PRODUCT_NAME": "Acme"}, request__language=tag).html
    results = _run_axe(browser_page, html, theme)
    assert results["violations"] == []
    assert results["contrasts"] >= (10 if tag == "en" else 20)


def test_axe_measures_contrast_in_the_dark_theme(browser_page: Page) -> None:
    html = email(request__language="en").html
    colors = []
    for theme in ("light", "dark"):
        _run_axe(browser_page, html, theme)
        colors.append(browser_page.evaluate(COLORS))
    light, dark = colors
    assert light == ["rgb(255, 255, 255)", "rgb(255, 247, 230)"]
    assert dark == ["rgb(30, 34, 38)", "rgb(46, 36, 16)"]
    low_contrast = html.replace(".text { color: #e8eaed", ".text { color: #3a4149")
    assert low_contrast != html
    assert _run_axe(browser_page, low_contrast, "light")["violations"] == []
    assert "color-contrast" in "".join(_run_axe(browser_page, low_contrast, "dark")["violations"])


@pytest.mark.parametrize("width", [320, 600])
@pytest.mark.parametrize("tag", ["en", "de", "fi", "ta", "ar", "ja", "ko", "ur"])
def test_the_email_fits_the_viewport_width(browser_page: Page, tag: str, width: int) -> None:
    browser_page.set_viewport_size({"width": width, "height": 900})
    message = email(options={"PRODUCT_NAME": "x" * 80}, request__language=tag, connection__name="x" * 200)
    browser_page.set_content(message.html)
    assert browser_page.evaluate("() => document.documentElement.scrollWidth") <= width


# Email clients --------------------------------------------------------------------------------------------------------

CLIENTS = ["gmail.*", "outlook.*", "apple-mail.*"]
# Features that some of these clients support partly or not at all, and why the email doesn't need them there.
OPTIONAL_FEATURES = {
    # The dark theme. Without it, the client shows the light theme or inverts the colors.
    "color-scheme CSS property": "enables the dark theme",
    "color-scheme meta tag": "enables the dark theme",
    "<style> element": "contains only the dark theme; all other styles are inline",
    "@media": "selects the dark theme; no other media query is used",
    # Decoration.
    "border-radius": "rounded corners",
    "border": "unreliable on a <div> in Outlook for Windows; color and headings also separate the boxes",
    "background": "only color is used, which is supported",
    "max-width": "lines are longer in Outlook for Windows",
    "padding": "ignored on a <div> by Outlook for Windows; the text touches the edge of the box",
    "margin": "no negative values are used; without auto, the column isn't centered",
    "line-height": "slightly different in Outlook for Windows",
    "font-size": "no unsupported units are used",
    "font-weight": "only bold is used, which is supported",
    "word-break": "only affects words wider than the screen, and where lines break in Korean",
    "overflow-wrap": "only affects words wider than the screen, in Korean",
    "overflow": "not used: caniemail takes overflow-wrap for it",
    "white-space": "keeps the reference on one line; it is readable without",
    "list-style": "no list image is used",
    # Structure.
    "<body> element": "replaced by a <div>; each section also sets language and direction",
    "<ul>, <ol> and <dl>": "no unsupported attributes are used",
    "dir attribute": "unreliable only on the contact's <a> in Outlook for Windows; an address is readable without",
}
SCRIPT = """
import('caniemail').then(({caniemail}) => {
    const [html, clients] = [require('fs').readFileSync(process.argv[2], 'utf8'), JSON.parse(process.argv[3])];
    const {errors, warnings} = caniemail({html, clients}).issues;
    const issues = [...errors.values(), ...warnings.values()].flat();
    console.log(JSON.stringify([...new Set(issues.map(issue => issue.title))]));
});
"""


def test_email_clients_support_every_required_feature(tmp_path: Path) -> None:
    file = tmp_path / "email.html"
    options = {"PRODUCT_NAME": "Acme", "DEFAULT_LANGUAGE": "ko"}
    file.write_text(email(options=options, request__language="ur").html)  # these have their own styles
    done = node(SCRIPT, str(file), json.dumps(CLIENTS), modules=npm_package("caniemail", CANIEMAIL))
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout)) == set(OPTIONAL_FEATURES), "review new features, and delete obsolete ones"
