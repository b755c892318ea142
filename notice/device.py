"""The device: a User-Agent in words from a closed vocabulary; nothing of the header itself is ever shown.

What programs say of themselves is not taken for a browser: the change then came from a script or an administrator's
tool, whose place and address say nothing about the user.
"""

from dataclasses import dataclass

LONGEST = 1000  # characters that are looked at

# Programs, by the words that they use of themselves, in lower case. With one of them it is no person's browser.
PROGRAMS = (
    *(
        "bot/",
        "bot;",
        "bot)",
        "bot ",
        "crawl",
        "spider",
        "headless",
        "phantomjs",
        "selenium",
        "puppeteer",
        "playwright",
    ),
    *("lighthouse", "curl", "wget", "postman", "insomnia", "httpie", "python", "java/", "jakarta", "okhttp", "axios"),
    *("node", "undici", "go-http", "ruby", "perl", "php", "guzzle", "libwww", "apache-http", "httpclient"),
    *(
        "restsharp",
        "cfnetwork",
        "alamofire",
        "powershell",
        "terraform",
        "auth0",
        "scrapy",
        "slurp",
        "monitor",
        "preview",
    ),
    *("facebookexternalhit", "feed", "validator", "electron/", "mediapartners", "googleother", "inspectiontool"),
)

# A name and the marks by which it is known; the first that fits. Those that also carry another's mark stand before it.
BROWSERS = (
    ("Samsung Internet", ("SamsungBrowser/",)),
    ("Yandex Browser", ("YaBrowser/",)),
    ("Opera", ("OPR/", "OPT/", "OPiOS/", "Opera Mini/", "Opera/")),
    ("Vivaldi", ("Vivaldi/",)),
    ("UC Browser", ("UCBrowser/", "UBrowser/")),
    ("Huawei Browser", ("HuaweiBrowser/",)),
    ("Mi Browser", ("MiuiBrowser/",)),
    ("Silk", ("Silk/",)),
    ("DuckDuckGo", ("DuckDuckGo/", "Ddg/")),
    ("Brave", ("Brave/",)),
    ("Edge", ("Edg/", "EdgA/", "EdgiOS/", "Edge/")),
    ("Firefox", ("Firefox/", "FxiOS/", "Focus/")),
    ("Chrome", ("Chrome/", "CriOS/", "Chromium/")),
    ("Internet Explorer", ("MSIE ", "Trident/")),
    ("Safari", ("Safari/",)),
)
SYSTEMS = (
    ("Windows", ("Windows",)),
    ("iPhone", ("iPhone", "iPod")),
    ("iPad", ("iPad",)),
    ("Android", ("Android",)),
    ("ChromeOS", ("CrOS",)),
    ("macOS", ("Macintosh", "Mac OS X")),
    ("Linux", ("Linux", "X11")),
)


@dataclass(frozen=True)
class Device:
    """Names from the lists above; None where it is not known."""

    browser: str | None
    system: str | None


def device(user_agent: str | None) -> Device | None:
    """What a person sat at; None where the agent is no browser, or says nothing."""
    agent = (user_agent or "")[:LONGEST]
    if not agent.startswith(("Mozilla/", "Opera/")) or _has(agent.lower(), PROGRAMS):
        return None
    found = Device(_first(BROWSERS, agent), _first(SYSTEMS, agent))
    return found if found.browser or found.system else None


def _first(known: tuple[tuple[str, tuple[str, ...]], ...], agent: str) -> str | None:
    return next((name for name, marks in known if _has(agent, marks)), None)


def _has(agent: str, marks: tuple[str, ...]) -> bool:
    return any(mark in agent for mark in marks)
