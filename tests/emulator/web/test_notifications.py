"""New emails while the page is in the background: the unread count in the title, and notifications on request."""

from playwright.sync_api import Page, expect

from emulator.emulator import example
from tests.emulator.browser_page import BrowserPage

# Headless Chromium neither hides pages nor shows notifications.
FAKES = """
Object.defineProperty(document, 'hidden', { get: () => window.isInBackground ?? false });
window.shown = [];
window.Notification = class extends EventTarget {
  static permission = 'default';
  static async requestPermission() { return Notification.permission = 'granted'; }
  constructor(title, { body }) { super(); window.shown.push(`${title}: ${body}`); }
};
"""


def set_background(page: Page, *, is_in_background: bool) -> None:
    page.evaluate(f"window.isInBackground = {str(is_in_background).lower()}")
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


def test_emails_are_counted_in_the_title_and_notified_on_request(browser_page: BrowserPage) -> None:
    browser_page.page.add_init_script(FAKES)
    page = browser_page.open("/inbox")
    button = page.get_by_role("button", name="Notify me of new emails")
    expect(button).to_have_attribute("aria-pressed", "false")
    set_background(page, is_in_background=True)
    browser_page.harness.emulator.run(example("full"))
    expect(page).to_have_title("(1) Inbox · password-notice emulator")
    assert page.evaluate("window.shown") == []

    set_background(page, is_in_background=False)
    expect(page).to_have_title("Inbox · password-notice emulator")
    button.press("Enter")
    expect(button).to_have_attribute("aria-pressed", "true")
    set_background(page, is_in_background=True)
    browser_page.harness.emulator.run(example("full"))
    expect(page).to_have_title("(1) Inbox · password-notice emulator")
    assert page.evaluate("window.shown") == ["Ditt lösenord har ändrats: ada@example.com"]
