"""docs/routing.md as data: its examples, each with the file that its config is an excerpt of, and its requests.

A request is written `GET /path  header: value  …`, with two spaces between its parts. `client: GET http://shop.shop/`
is sent by a pod of the service `client`, `outside: GET http://shop-version-1/` by the machine itself to a pod's
address, all others to the gateway. After `→` is what happens to it, with `, ` between the parts; an indented line
continues the one above it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"
PAGE = DOCS / "routing.md"
FOLDER = DOCS / "routing"
HOST = "shop.example.com"
"""Host of a request without one."""

REQUEST = re.compile(r"((?P<caller>[-a-z]+): )?(?P<method>[A-Z]+) (?P<url>\S+)")
SHARE = re.compile(r"(?P<percent>[0-9.]+) % (?P<rest>.+)")
AT_VERSION = re.compile(r"(?P<version>\S+) \(sees (?P<header>.+)\)")
STATUS = re.compile(r"[2-5][0-9][0-9]")
SECONDS = {"ms": 0.001, "s": 1.0}


@dataclass(frozen=True)
class Request:
    """A request as on the page. `url` is complete; `caller` is None at the gateway."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    caller: str | None
    has_certificate: bool


@dataclass(frozen=True)
class Answer:
    """What happens to a request, or to many: `outcomes` in percent, by version or by status.

    `headers` are response headers, `sees` those that the version receives: None means absent, "" any value, and a text
    one of the values. `copies` is in percent, by version that gets a copy; `after` is in seconds.
    """

    outcomes: dict[str, float]
    headers: dict[str, str | None]
    sees: tuple[tuple[str, str | None], ...]
    sees_path: str | None
    body: str | None
    copies: dict[str, float]
    after: float | None
    sees_at: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    """A header that one of several versions receives, by version."""


@dataclass(frozen=True)
class Example:
    """A section of the page: its title, file, snippets of config, and lines of requests with their outcomes."""

    title: str
    file: Path
    snippets: tuple[str, ...]
    lines: tuple[str, ...]

    def __str__(self) -> str:
        return self.title


def examples() -> list[Example]:
    """Return the examples of the page in order."""
    found = []
    for section in re.split(r"^##+ ", PAGE.read_text(), flags=re.MULTILINE)[1:]:
        title = section.split("\n", 1)[0]
        for table in re.findall(r"^<table>\n(.*?)^</table>", section, re.MULTILINE | re.DOTALL):
            (file,) = re.findall(r'<a href="routing/([-a-z0-9]+\.yaml)">\1</a>', table)
            requests = [line for block in _blocks(table, "text") for line in _joined(block)]
            found.append(Example(title, FOLDER / file, tuple(_blocks(table, "yaml")), tuple(requests)))
    return found


@dataclass(frozen=True)
class Mistake:
    """A file with a mistake that the page shows, an excerpt of it, and its message."""

    file: Path
    snippet: str
    message: str


def mistakes() -> list[Mistake]:
    """Return the mistakes of the page in order."""
    shown = r"\(routing/(mistakes/[-a-z0-9]+\.yaml)\):\n\n```yaml\n(.*?)^```\n\n```text\n(.*?)\n```"
    found = re.findall(shown, PAGE.read_text(), re.MULTILINE | re.DOTALL)
    return [Mistake(FOLDER / file.removeprefix("routing/"), snippet, message) for file, snippet, message in found]


def commands() -> list[tuple[str, str]]:
    """Return the commands of the page, each with its output."""
    return re.findall(r"^```text\n\$ (.*?)\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def parse(line: str) -> tuple[Request, Answer]:
    """Return the request of a line and what happens to it. Raises ValueError if it cannot be parsed."""
    request, arrow, answer = line.partition(" → ")
    if not arrow:
        raise ValueError(f"there is no → in {line!r}")
    return _request(request.strip()), _answer(answer.strip())


def _blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def _joined(block: str) -> list[str]:
    """The lines, with continuations joined: parts of a request are two spaces apart, those of an answer one."""
    lines: list[str] = []
    for line in block.splitlines():
        if not line.startswith(" "):
            lines.append(line)
        else:
            is_request = "→" not in lines[-1] + line
            lines[-1] += ("  " if is_request else " ") + line.strip()
    return lines


def _request(text: str) -> Request:
    first, *headers = re.split(r" {2,}", text)
    match = REQUEST.fullmatch(first)
    if match is None:
        raise ValueError(f"{first!r} is not a request")
    url = match["url"] if "://" in match["url"] else f"http://{HOST}{match['url']}"
    has_certificate = "with a certificate" in headers
    pairs = [_pair(header) for header in headers if header != "with a certificate"]
    return Request(match["method"], url, tuple(pairs), match["caller"], has_certificate)


def _pair(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(": ")
    if not colon:
        raise ValueError(f"{text!r} is not a header")
    return name, value


def _answer(text: str) -> Answer:
    outcomes: dict[str, float] = {}
    headers: dict[str, str | None] = {}
    sees: list[tuple[str, str | None]] = []
    copies: dict[str, float] = {}
    sees_at: dict[str, tuple[str, str | None]] = {}
    sees_path = body = after = None
    for part in text.split(", "):
        share = SHARE.fullmatch(part)
        percent, rest = (float(share["percent"]), share["rest"]) if share else (100.0, part)
        at_version = AT_VERSION.fullmatch(rest)
        if at_version:
            outcomes[at_version["version"]] = percent
            sees_at[at_version["version"]] = _expected_header(at_version["header"])
        elif rest.startswith("copied to "):
            copies[rest.removeprefix("copied to ")] = percent
        elif rest.startswith("sees /"):
            sees_path = rest.removeprefix("sees ")
        elif rest.startswith("sees "):
            sees.append(_expected_header(rest.removeprefix("sees ")))
        elif rest.startswith("after "):
            number, unit = rest.removeprefix("after ").split(" ")
            after = float(number) * SECONDS[unit]
        elif rest.startswith('"'):
            body = rest.strip('"')
        elif ": " in rest or (rest.startswith("no ") and rest != "no connection"):
            headers |= [_expected_header(rest)]
        else:
            outcomes[rest] = percent
    return Answer(outcomes, headers, tuple(sees), sees_path, body, copies, after, sees_at)


def _expected_header(text: str) -> tuple[str, str | None]:
    name, _, value = text.removeprefix("no ").partition(": ")
    return name, None if text.startswith("no ") else value
