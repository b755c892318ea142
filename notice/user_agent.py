"""Parse the User-Agent header into names from fixed lists. The email never shows text from the header itself.

Programs that identify themselves don't count as browsers: their changes come from a script or an administrator's tool,
whose place and address say nothing about the user.
"""

import re
from functools import lru_cache
from typing import NamedTuple

MAX_LENGTH = 1000  # how many characters of the header are examined

# Every browser's user agent starts with one of these; those of curl, Postman, SDKs, and most other programs don't.
BROWSER_PREFIXES = ("Mozilla/", "Opera/")

# Programs with a browser's prefix contain what browsers don't: a contact address or domain, or "compatible" (except
# Internet Explorer). Phones of the brand Cubot and the model "M bot 60" aren't bots.
BOT_PATTERN = re.compile(r"\.(com|org|io)\b|@[a-z]|compatible(?!; ?msie)|\w(?<!cu)bots?\b|agent(?!web)")
# Parts of programs' names, in lowercase.
BOT_MARKERS = (
    *("http:", "https:", "www.", "mailto:", "google-", "-google", "-user/"),
    *("crawl", "spider", "feed", "slurp", "scrap", "fetch", "archive", "thumbnail", "favicon", "preview", "proxy"),
    *("headless", "phantomjs", "slimerjs", "jsdom", "selenium", "webdriver", "puppeteer", "playwright", "cypress/"),
    *("powershell", "postman", "insomnia/", "python", "perl/", "httpclient", "http-client", "appengine"),
    *("scan", "check", "monitor", "uptime", "pingdom", "synthetic", "thousandeyes", "catchpoint", "statuscake"),
    *("verif", "inspect", "insight", "analy", "audit", "detect", "probe", "diagnos", "observatory", "research"),
    *("survey", "optimi", "securityheaders", "lighthouse", "ptst/", "gtmetrix", "pagespeed", "page speed", "prerender"),
    *("splash", "search console", "geedo", "rigor)", "silktide", "dareboost", "datanyze"),
    *("hardenize", "devin/", "watchtowr", "transcoder"),
)

# Each name with its markers. The first match wins: a browser that also sends another's marker comes before that one.
BROWSERS = (
    ("Samsung Internet", ("SamsungBrowser/",)),
    ("Yandex Browser", ("YaBrowser/", "YaSearchBrowser/")),
    ("Opera", ("OPR/", "OPT/", "OPX/", "OPiOS/", "Opera Mini/", "Opera/", "Opera ")),
    ("Vivaldi", ("Vivaldi/",)),
    ("UC Browser", ("UCBrowser/", "UBrowser/", "UCWEB/")),
    ("QQ Browser", ("QQBrowser/",)),
    ("Whale", ("Whale/",)),
    ("Huawei Browser", ("HuaweiBrowser/",)),
    ("Mi Browser", ("MiuiBrowser/",)),
    ("Vivo Browser", ("VivoBrowser/",)),
    ("Silk", ("Silk/",)),
    ("DuckDuckGo", ("DuckDuckGo/", "Ddg/")),
    ("Brave", ("Brave",)),
    ("Edge", ("Edg/", "EdgA/", "EdgiOS/", "EdgW/", "Edge/")),
    ("Google", ("GSA/",)),
    ("Firefox", ("Firefox/", "FxiOS/", "Focus/", "Klar/")),
    # A page embedded in another app: no browser is named.
    (None, ("; wv)", "Version/4.0 Chrome/", "Electron/", "FBAN/", "FBAV/", "FB_IAB/", "Instagram", "Snapchat/")),
    ("Chrome", ("Chrome/", "CriOS/", "Chromium/")),
    ("Internet Explorer", ("MSIE ", "Trident/", "IEMobile/")),
    (None, ("Android",)),  # the former Android browser, which also sends "Safari/"
    ("Safari", ("Safari/",)),
)
SYSTEMS = (
    ("Windows Phone", ("Windows Phone",)),
    ("Windows", ("Windows",)),
    ("iPhone", ("iPhone", "iPod")),
    ("iPad", ("iPad",)),
    ("Android", ("Android",)),
    ("ChromeOS", ("CrOS",)),
    ("macOS", ("Macintosh", "Mac OS X")),  # also an iPad that requests desktop websites
    ("Linux", ("Linux", "Ubuntu")),
)


class Device(NamedTuple):
    """Names from the lists above, or None if unknown."""

    browser: str | None
    system: str | None


def parse_device(user_agent: str | None) -> Device | None:
    """Return the browser and operating system, or None if the user agent isn't a known browser."""
    return _parse_device((user_agent or "")[:MAX_LENGTH])


@lru_cache(maxsize=256)
def _parse_device(user_agent: str) -> Device | None:
    if not user_agent.startswith(BROWSER_PREFIXES) or _is_bot(user_agent.lower()):
        return None
    device = Device(_find(BROWSERS, user_agent), _find(SYSTEMS, user_agent))
    return device if device.browser or device.system else None


def _is_bot(user_agent: str) -> bool:
    return any(marker in user_agent for marker in BOT_MARKERS) or BOT_PATTERN.search(user_agent) is not None


def _find(names: tuple[tuple[str | None, tuple[str, ...]], ...], user_agent: str) -> str | None:
    return next((name for name, markers in names if any(marker in user_agent for marker in markers)), None)
