"""The server that a pipeline runs for, GitHub or GitLab: comments on the change, and issues.

Which one it is, where it is and for which change is read from the variables that the server sets in every job. The
token goes only into a header. See GitHub's "REST API endpoints for issue comments" and "for issues", and GitLab's
"Notes API" and "Issues API".
"""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote

PAGE = 100
TIMEOUT = 30.0
"""Seconds for one request."""


class ForgeError(Exception):
    """The server refused a request or did not answer, or a variable of the job is missing."""


@dataclass(frozen=True)
class Post:
    """A comment or an issue: the number that the server knows it by, and its text."""

    number: int
    body: str


class Forge(Protocol):
    """The comments of one change and the issues of one project."""

    @property
    def longest(self) -> int:
        """The number of characters that a comment or an issue may have."""

    @property
    def run_url(self) -> str:
        """The page of the running pipeline."""

    def comments(self) -> Iterator[Post]:
        """The comments on the change that this job's own user wrote."""

    def add_comment(self, body: str) -> None:
        """Comment on the change."""

    def change_comment(self, number: int, body: str) -> None:
        """Replace the text of a comment."""

    def issues(self, label: str) -> Iterator[Post]:
        """The open issues with `label` that this job's own user wrote."""

    def open_issue(self, title: str, body: str, label: str) -> None:
        """Open an issue."""

    def change_issue(self, number: int, body: str) -> None:
        """Replace the text of an issue."""

    def close_issue(self, number: int, comment: str) -> None:
        """Comment on an issue and close it."""


def find_forge(env: Mapping[str, str]) -> Forge:
    """Return the server that this job runs for; raises ForgeError outside of both."""
    if env.get("GITHUB_ACTIONS") == "true":
        return GitHub(env)
    if env.get("GITLAB_CI") == "true":
        return GitLab(env)
    raise ForgeError("this is no job of GitHub Actions or GitLab CI: neither GITHUB_ACTIONS nor GITLAB_CI is true")


def main(work: Callable[[], None]) -> int:
    """Run a command's body; return its exit code, with the error on stderr."""
    try:
        work()
    except ForgeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


class GitHub:
    """GitHub, or a GitHub Enterprise Server."""

    longest = 65_000  # the limit is 65,536, and what counts as one character is not documented

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        self._api = _Api(
            f"{_variable(env, 'GITHUB_API_URL')}/repos/{_variable(env, 'GITHUB_REPOSITORY')}",
            {
                "Authorization": f"Bearer {_variable(env, 'GITHUB_TOKEN')}",
                "Accept": "application/vnd.github+json",
                "X-GitHub-Api-Version": "2022-11-28",
            },
        )

    @property
    def run_url(self) -> str:
        server, repository = _variable(self._env, "GITHUB_SERVER_URL"), _variable(self._env, "GITHUB_REPOSITORY")
        return f"{server}/{repository}/actions/runs/{_variable(self._env, 'GITHUB_RUN_ID')}"

    def comments(self) -> Iterator[Post]:
        found = self._api.pages(f"/issues/{_number(self._env, 'PULL_REQUEST')}/comments")
        yield from (Post(entry["id"], entry["body"] or "") for entry in found if _is_own(entry))

    def add_comment(self, body: str) -> None:
        self._api.call("POST", f"/issues/{_number(self._env, 'PULL_REQUEST')}/comments", {"body": body})

    def change_comment(self, number: int, body: str) -> None:
        self._api.call("PATCH", f"/issues/comments/{number}", {"body": body})

    def issues(self, label: str) -> Iterator[Post]:
        for entry in self._api.pages(f"/issues?state=open&labels={quote(label)}"):
            if _is_own(entry) and "pull_request" not in entry:  # GitHub lists pull requests as issues
                yield Post(entry["number"], entry["body"] or "")

    def open_issue(self, title: str, body: str, label: str) -> None:
        self._api.call("POST", "/issues", {"title": title, "body": body, "labels": [label]})

    def change_issue(self, number: int, body: str) -> None:
        self._api.call("PATCH", f"/issues/{number}", {"body": body})

    def close_issue(self, number: int, comment: str) -> None:
        self._api.call("POST", f"/issues/{number}/comments", {"body": comment})
        self._api.call("PATCH", f"/issues/{number}", {"state": "closed", "state_reason": "completed"})


def _is_own(entry: Mapping[str, Any]) -> bool:
    """Whether the user of GITHUB_TOKEN wrote it: a person's comment may quote ours, and must not be overwritten."""
    return bool((entry.get("user") or {}).get("login") == "github-actions[bot]")


class GitLab:
    """GitLab. CI_JOB_TOKEN cannot write notes, so GITLAB_TOKEN is a project access token with the scope `api`."""

    longest = 1_000_000

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        root = _variable(env, "CI_API_V4_URL")
        headers = {"PRIVATE-TOKEN": _variable(env, "GITLAB_TOKEN")}
        self._server = _Api(root, headers)
        self._api = _Api(f"{root}/projects/{_variable(env, 'CI_PROJECT_ID')}", headers)

    @property
    def run_url(self) -> str:
        return _variable(self._env, "CI_PIPELINE_URL")

    @property
    def _notes(self) -> str:
        return f"/merge_requests/{_number(self._env, 'CI_MERGE_REQUEST_IID')}/notes"

    def comments(self) -> Iterator[Post]:
        user = self._user()
        found = self._api.pages(self._notes)
        yield from (Post(entry["id"], entry["body"] or "") for entry in found if entry["author"]["id"] == user)

    def add_comment(self, body: str) -> None:
        self._api.call("POST", self._notes, {"body": body})

    def change_comment(self, number: int, body: str) -> None:
        self._api.call("PUT", f"{self._notes}/{number}", {"body": body})

    def issues(self, label: str) -> Iterator[Post]:
        user = self._user()
        for entry in self._api.pages(f"/issues?state=opened&labels={quote(label)}"):
            if entry["author"]["id"] == user:
                yield Post(entry["iid"], entry["description"] or "")

    def open_issue(self, title: str, body: str, label: str) -> None:
        self._api.call("POST", "/issues", {"title": title, "description": body, "labels": label})

    def change_issue(self, number: int, body: str) -> None:
        self._api.call("PUT", f"/issues/{number}", {"description": body})

    def close_issue(self, number: int, comment: str) -> None:
        self._api.call("POST", f"/issues/{number}/notes", {"body": comment})
        self._api.call("PUT", f"/issues/{number}", {"state_event": "close"})

    def _user(self) -> int:
        return int(self._server.call("GET", "/user")["id"])


@dataclass(frozen=True)
class _Api:
    """A REST API: JSON in, JSON out."""

    root: str
    headers: Mapping[str, str]

    def call(self, method: str, path: str, document: Mapping[str, Any] | None = None) -> Any:
        """Return the answer to one request; raises ForgeError with what the server said."""
        content = None if document is None else json.dumps(document).encode()
        headers = {**self.headers, "Content-Type": "application/json", "User-Agent": "istio-canary"}
        request = urllib.request.Request(self.root + path, content, headers, method=method)  # noqa: S310 - the server's own
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT) as response:  # noqa: S310
                return json.load(response)
        except urllib.error.HTTPError as error:
            said = error.read(2000).decode(errors="replace")
            raise ForgeError(f"{method} {self.root}{path}: {error.code} {error.reason}\n{said}") from None
        except (OSError, ValueError) as error:
            raise ForgeError(f"{method} {self.root}{path}: {error}") from None

    def pages(self, path: str) -> Iterator[dict[str, Any]]:
        """The entries of a list, page by page."""
        joint = "&" if "?" in path else "?"
        number = 1
        while True:
            entries = self.call("GET", f"{path}{joint}per_page={PAGE}&page={number}")
            yield from entries
            if len(entries) < PAGE:
                return
            number += 1


def _variable(env: Mapping[str, str], name: str) -> str:
    value = env.get(name)
    if not value:
        raise ForgeError(f"the variable {name} is not set; fix: set it in the job (docs/review.md)")
    return value


def _number(env: Mapping[str, str], name: str) -> int:
    value = _variable(env, name)
    if not value.isdecimal():
        raise ForgeError(f"the variable {name} is {value!r}, not the number of a change")
    return int(value)
