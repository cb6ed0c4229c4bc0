"""Checks of what a strategy names outside the stack: time zones, and the URLs of hooks and of receivers of events."""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from stacks.settings.problems import Finding, Location, shown
from traffic.model import RolloutStrategy
from traffic.model.rollout import RolloutNotify

URLS = (
    "a URL that begins with https://, or with http:// for this machine (localhost, 127.0.0.1, ::1); without a user and "
    "password"
)
EXAMPLE = "write https://hooks.example.com/canary, for example"
MARKS = "a URL, with {secret} where the text of the receiver's Secret belongs"
_RIGHT_MARK = "write {secret}, with the receiver's secret: {name: rollout-hooks, key: token}; or remove it"
SECRET_MARK = "{secret}"  # noqa: S105 - the mark in a URL, no secret
SLACK, SLACK_PARTS = "hooks.slack.com", 4
"""The host of Slack's incoming webhooks, and how many parts the path of one has: /services/T…/B…/…"""
ZONES = "a name of the IANA database, such as Europe/Berlin or UTC"


def check_places(strategy: RolloutStrategy, location: Location) -> Iterator[Finding]:
    """Yield time zones that do not exist, and URLs that nothing is sent to."""
    for index, window in enumerate(strategy.windows):
        mistake = _zone_mistake(window.zone)
        if mistake is not None:
            place = (*location, "windows", index, "zone")
            yield Finding(place, mistake[0], ZONES, mistake[1], shown(window.zone))
    yield from _check_marks(strategy, location)
    urls = [("hooks", index, hook.url) for index, hook in enumerate(strategy.hooks)]
    urls += [("notify", index, receiver.url) for index, receiver in enumerate(strategy.notify)]
    for key, index, url in urls:
        mistake = _url_mistake(url)
        if mistake is not None:
            yield Finding((*location, key, index, "url"), mistake[0], URLS, mistake[1], shown(url))


def is_open_webhook(receiver: RolloutNotify) -> bool:
    """Return whether a receiver's URL itself lets everybody post: an incoming webhook of Slack, with its path."""
    parts = urlsplit(receiver.url)
    return parts.hostname == SLACK and len(parts.path.strip("/").split("/")) >= SLACK_PARTS


def _check_marks(strategy: RolloutStrategy, location: Location) -> Iterator[Finding]:
    """What stands in braces in a URL is sent as it is, unless it is the mark of the receiver's secret."""
    urls = [("hooks", index, hook.url, False) for index, hook in enumerate(strategy.hooks)]
    urls += [("notify", index, one.url, one.secret is not None) for index, one in enumerate(strategy.notify)]
    for key, index, url, has_secret in urls:
        others = [mark for mark in re.findall(r"\{[^{}/]*\}", url) if mark != SECRET_MARK]
        place = (*location, key, index, "url")
        if others and key == "notify":
            yield Finding(place, f"{others[0]} is sent as it is: it stands for nothing", MARKS, _RIGHT_MARK, shown(url))
        elif SECRET_MARK in url and key == "hooks":
            what = "{secret} is sent as it is: a hook has no secret"
            yield Finding(place, what, "a URL without {secret}; only receivers have one", "remove it", shown(url))
        elif SECRET_MARK in url and not has_secret:
            what = "the URL has {secret}, but no Secret is named: no event would arrive"
            fix = "add secret: {name: rollout-hooks, key: token}, for example"
            yield Finding(place, what, MARKS, fix, shown(url))
        elif SECRET_MARK in url.partition("://")[2].partition("/")[0]:
            what = "the secret would decide about the host, which nothing is sent to"
            yield Finding(place, what, "{secret} in the path or in the query", "write the host as it is", shown(url))


def _zone_mistake(name: str) -> tuple[str, str] | None:
    """What is wrong with a time zone, and the fix; None if it exists."""
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: a folder of the database, such as Europe
        cities = {zone.lower().rpartition("/")[2]: zone for zone in sorted(available_timezones())}
        bare = re.sub(r"\s+", "_", name.strip().lower())
        close = difflib.get_close_matches(bare.rpartition("/")[2], cities, n=1, cutoff=0.8)
        near = cities[close[0]] if close else None
        what = f"{name!r} is not a time zone{f'; the nearest is {near}' if near else ''}"
        return what, f"write {near}" if near else "write UTC, or the zone of the people who watch"
    return None


def _url_mistake(url: str) -> tuple[str, str] | None:
    """Why nothing is sent to a URL, and the fix; None if it is."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError as error:
        return f"this is not a URL: {error}", EXAMPLE
    if re.search(r"\s", url) or not host or parts.scheme not in ("http", "https"):
        return "this is not a URL of HTTP", EXAMPLE
    if parts.username is not None or parts.password is not None:
        return "the URL has a user or a password, which everybody who reads the file sees", "remove them"
    if parts.scheme == "http" and not _is_this_machine(host):
        return f"{host} would be reached without TLS", f"write https://{url[len('http://') :]}"
    return None


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost"
