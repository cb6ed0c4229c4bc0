"""A large stack: 1,000 services with 10 rules each are checked, rendered, and decide 10,000 requests.

`python -m benchmarks.limits` measures on one core and prints CPU seconds and peak memory as JSON. Starting Python,
imports and generating the table are not counted. `from_file` is the additional time for reading the same table from a
`Pulumi.<stack>.yaml`.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import yaml

from stacks.settings.loading import load
from stacks.settings.model import Settings
from stacks.settings.stack_file import read_stack_file
from traffic.render import destination_rule, own_gateway, virtual_services
from traffic.simulate import Request, Simulator

SERVICES, REQUESTS = 1_000, 10_000
WITH_RETRIES = {"timeout": "10s", "retries": {"attempts": 2, "perTryTimeout": "2s"}}
SHARED = {"v1": 95, "v2": 5}
T = TypeVar("T")


def main() -> int:
    """Measure, and print the figures."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    seconds: dict[str, float] = {}
    values = {"services": {f"shop-{number}": _service(number) for number in range(SERVICES)}}
    requests = [_request(number) for number in range(REQUESTS)]

    def timed(name: str, run: Callable[[], T]) -> T:
        began = time.process_time()
        result = run()
        seconds[name] = round(time.process_time() - began, 3)
        return result

    settings = timed("load", lambda: load(values))
    timed("render", lambda: _render(settings))
    timed("simulate", lambda: _simulate(settings, requests))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "Pulumi.limits.yaml"
        file.write_text(_as_file(values))
        from_file = {"keys": 0, "seconds": 0.0}
        began = time.process_time()
        from_file["keys"] = len(read_stack_file(file).lines)
        from_file["seconds"] = round(time.process_time() - began, 3)
    total = round(sum(seconds.values()), 3)
    print(json.dumps({"seconds": seconds, "total": total, "peak_mib": round(peak), "from_file": from_file}))
    return 0


def _service(number: int) -> dict[str, Any]:
    version = {"image": "shop:1", "port": 8080}
    return {
        "hosts": [f"shop-{number}.example.com"],
        "versions": {"v1": version, "v2": version},
        "route": [*_rules(number), {"to": SHARED}],
    }


def _rules(number: int) -> list[dict[str, Any]]:
    """Nine rules, each of a different kind."""
    return [
        {"match": [{"headers": {"x-cohort": {"exact": f"c{number}"}}}], "to": "v2", **WITH_RETRIES},
        {"match": [{"cookies": {"beta": {"exact": "on"}}, "method": {"exact": "POST"}}], "to": SHARED, **WITH_RETRIES},
        {"match": [{"uri": {"prefix": "/old/"}}], "redirect": {"uri": "/new", "redirectCode": 302}},
        {
            "match": [{"headers": {"user-agent": {"regex": ".*Firefox/[0-9]+.*"}}, "uri": {"exact": "/beta"}}],
            "to": {"v1": 50, "v2": 50},
            "sticky": {"cookie": "shop-version", "ttl": "1h"},
        },
        {"match": [{"uri": {"regex": "/items/[0-9]+/parts"}}], "to": "v1", **WITH_RETRIES},
        {
            "match": [{"withoutHeaders": {"x-internal": {"present": True}}, "uri": {"exact": "/health"}}],
            "directResponse": {"status": 200, "body": "ok"},
        },
        {
            "match": [{"uri": {"prefix": "/Shop"}, "ignoreUriCase": True}],
            "to": "v2",
            "rewrite": {"uri": "/shop"},
            "headers": {"request": {"set": {"x-from": "gateway"}}},
        },
        {
            "match": [{"queryParams": {"debug": {"exact": "1"}}}],
            "to": "v1",
            "mirrors": [{"to": "v2", "percentage": {"value": 5}}],
        },
        {"match": [{"method": {"exact": "DELETE"}, "uri": {"prefix": "/admin"}}], "to": "v1", "timeout": "5s"},
    ]


def _request(number: int) -> Request:
    paths = ("/", "/items/3/parts", "/SHOP/a", "/x?debug=1", "/old/x", "/health", "/beta")
    headers = {"user-agent": "Mozilla/5.0 Firefox/130.0", "cookie": "a=b; beta=on", "accept": "*/*"}
    return Request(headers=headers, path=paths[number % len(paths)], authority=f"shop-{number % SERVICES}.example.com")


def _render(settings: Settings) -> int:
    """Return the number of rendered objects."""
    objects = 0
    for name, service in settings.services.items():
        objects += len(virtual_services(settings.services, name, gateway_namespace="istio-ingress"))
        objects += bool(destination_rule(name, service)) + bool(own_gateway(service, {"istio": "ingressgateway"}))
    return objects


def _simulate(settings: Settings, requests: list[Request]) -> int:
    """Return the number of requests that match a rule."""
    simulator = Simulator(settings.services, settings.gateways)
    return sum(simulator.decide(request) is not None for request in requests)


def _as_file(values: dict[str, Any]) -> str:
    class Plain(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    config = {f"istio-canary:{key}": value for key, value in values.items()}
    return yaml.dump({"config": config}, Dumper=Plain, sort_keys=False)


if __name__ == "__main__":
    sys.exit(main())
