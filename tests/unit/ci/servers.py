"""A GitHub and a GitLab on loopback, as far as the scripts of ci/ talk to them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

ROOT = Path(__file__).parents[3]
TOKEN = "s3cret-token"  # noqa: S105 - of no server
OWN = "github-actions[bot]"
OWN_ID = 7


@dataclass
class Server:
    """What the server holds, and the requests that it got, as `METHOD path`."""

    comments: list[dict[str, Any]] = field(default_factory=list)
    issues: list[dict[str, Any]] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    refuse: str = ""
    """A method that is answered with 403."""
    url: str = ""

    def answer(self, method: str, path: str, query: Mapping[str, list[str]], document: dict[str, Any]) -> Any:
        raise NotImplementedError

    def env(self) -> dict[str, str]:
        raise NotImplementedError

    def headers_are_right(self, headers: Mapping[str, str]) -> bool:
        raise NotImplementedError

    def _page(self, entries: list[dict[str, Any]], query: Mapping[str, list[str]]) -> list[dict[str, Any]]:
        size, number = int(query["per_page"][0]), int(query["page"][0])
        return entries[(number - 1) * size : number * size]


class FakeGitHub(Server):
    """The comments of pull request 12 of the repository team/mesh, and its issues."""

    def env(self) -> dict[str, str]:
        return {
            "GITHUB_ACTIONS": "true",
            "GITHUB_API_URL": self.url,
            "GITHUB_SERVER_URL": "https://github.example",
            "GITHUB_REPOSITORY": "team/mesh",
            "GITHUB_RUN_ID": "99",
            "GITHUB_TOKEN": TOKEN,
            "PULL_REQUEST": "12",
        }

    def headers_are_right(self, headers: Mapping[str, str]) -> bool:
        return headers["Authorization"] == f"Bearer {TOKEN}"

    def comment(self, body: str, login: str = OWN) -> None:
        self.comments.append({"id": 100 + len(self.comments), "body": body, "user": {"login": login}})

    def issue(self, body: str, login: str = OWN, **more: Any) -> None:
        number = 1 + len(self.issues)
        self.issues.append({"number": number, "state": "open", "body": body, "user": {"login": login}, **more})

    def answer(self, method: str, path: str, query: Mapping[str, list[str]], document: dict[str, Any]) -> Any:
        local = path.removeprefix("/repos/team/mesh")
        match (method, local):
            case ("GET", "/issues/12/comments"):
                return self._page(self.comments, query)
            case ("POST", "/issues/12/comments"):
                self.comment(document["body"])
            case ("GET", "/issues"):
                assert query["labels"] == ["drift"]
                return self._page([issue for issue in self.issues if issue["state"] == query["state"][0]], query)
            case ("POST", "/issues"):
                self.issue(document["body"], title=document["title"], labels=document["labels"])
            case _ if found := re.fullmatch(r"/issues/comments/(\d+)", local):
                next(entry for entry in self.comments if entry["id"] == int(found[1])).update(document)
            case _ if found := re.fullmatch(r"/issues/(\d+)(/comments)?", local):
                issue = next(entry for entry in self.issues if entry["number"] == int(found[1]))
                issue.update({"said": document["body"]} if found[2] else document)
            case _:
                raise AssertionError(f"{method} {local}")
        return {}


class FakeGitLab(Server):
    """The notes of merge request 12 of project 5, and its issues."""

    def env(self) -> dict[str, str]:
        return {
            "GITLAB_CI": "true",
            "CI_API_V4_URL": self.url,
            "CI_PROJECT_ID": "5",
            "CI_PIPELINE_URL": "https://gitlab.example/team/mesh/-/pipelines/99",
            "CI_MERGE_REQUEST_IID": "12",
            "GITLAB_TOKEN": TOKEN,
        }

    def headers_are_right(self, headers: Mapping[str, str]) -> bool:
        return headers["PRIVATE-TOKEN"] == TOKEN

    def comment(self, body: str, author: int = OWN_ID) -> None:
        self.comments.append({"id": 100 + len(self.comments), "body": body, "author": {"id": author}})

    def issue(self, body: str, author: int = OWN_ID, **more: Any) -> None:
        number = 1 + len(self.issues)
        entry = {"iid": number, "state": "opened", "description": body, "author": {"id": author}, **more}
        self.issues.append(entry)

    def answer(self, method: str, path: str, query: Mapping[str, list[str]], document: dict[str, Any]) -> Any:
        local = path.removeprefix("/projects/5")
        match (method, local):
            case ("GET", "/user"):
                return {"id": OWN_ID}
            case ("GET", "/merge_requests/12/notes"):
                return self._page(self.comments, query)
            case ("POST", "/merge_requests/12/notes"):
                self.comment(document["body"])
            case ("GET", "/issues"):
                assert query["labels"] == ["drift"]
                return self._page([issue for issue in self.issues if issue["state"] == query["state"][0]], query)
            case ("POST", "/issues"):
                self.issue(document["description"], title=document["title"], labels=document["labels"])
            case ("PUT", _) if found := re.fullmatch(r"/merge_requests/12/notes/(\d+)", local):
                next(entry for entry in self.comments if entry["id"] == int(found[1])).update(document)
            case (_, _) if found := re.fullmatch(r"/issues/(\d+)(/notes)?", local):
                issue = next(entry for entry in self.issues if entry["iid"] == int(found[1]))
                if found[2]:
                    issue["said"] = document["body"]
                elif document.get("state_event") == "close":
                    issue["state"] = "closed"
                else:
                    issue.update(document)
            case _:
                raise AssertionError(f"{method} {local}")
        return {}


@contextmanager
def serving(server: Server) -> Iterator[None]:
    """Serve on a free port of loopback; `server.url` is the API's address meanwhile."""

    class Handler(BaseHTTPRequestHandler):
        def _handle(self) -> None:
            parts = urlsplit(self.path)
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            server.requests.append(f"{self.command} {parts.path}")
            if not server.headers_are_right(
                dict(self.headers.items()) | {"PRIVATE-TOKEN": self.headers["Private-Token"]}
            ):
                self._reply(401, {"message": "Bad credentials"})
            elif self.command == server.refuse:
                self._reply(403, {"message": "Resource not accessible by integration"})
            else:
                document = json.loads(content) if content else {}
                self._reply(200, server.answer(self.command, parts.path, parse_qs(parts.query), document))

        do_GET = do_POST = do_PATCH = do_PUT = _handle  # noqa: N815 - the names that http.server calls

        def _reply(self, code: int, document: Any) -> None:
            content = json.dumps(document).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        server.url = f"http://127.0.0.1:{listening.server_port}"
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield
        finally:
            listening.shutdown()
            thread.join()


def script(module: str, *arguments: str, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a script of ci/ as a job does, with nothing in its environment but `env`."""
    return subprocess.run(
        [sys.executable, "-m", f"ci.{module}", *arguments],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
