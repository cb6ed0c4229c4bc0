"""The website canary: two versions of an echo server, the second for testers who send the header `qa: canary-test`."""

from __future__ import annotations

from typing import Any

IMAGE = "hashicorp/http-echo:1.0.0"
PORT = 5678  # the image's user may not listen on port 80


def _version(name: str, text: str, replicas: int) -> dict[str, Any]:
    args = [f"-listen=:{PORT}", f"-text={text}"]
    return {"name": name, "image": IMAGE, "args": args, "port": PORT, "replicas": replicas}


SETTINGS: dict[str, Any] = {
    "services": {
        "website": {
            "namespace": "website-istio-ns",
            "hosts": ["*"],
            "port": 80,
            "versions": {
                "version-1": _version("web-v1", "echo-v1", replicas=4),
                "version-2": _version("web-v2", "echo-v2", replicas=1),
            },
            "route": [
                {"match": [{"headers": {"qa": {"exact": "canary-test"}}}], "to": "version-2"},
                {"to": "version-1"},
            ],
        }
    }
}
