"""Every mistake in a stack's file is reported with its line, its key's path, what is allowed and the fix."""

from __future__ import annotations

from pathlib import Path

import pytest

from stacks.settings.loading import load_stack
from stacks.settings.problems import SettingsError
from tests.unit.problems import (
    HERE,
    HOSTS,
    LONG,
    MATCH,
    ONE,
    ROUTE,
    SECURITY,
    SHOP,
    TWO,
    V1,
    Case,
    assert_is_reported,
    assert_is_reported_once,
    config,
    matching,
    only,
    problems_of,
    routed,
    security,
    service,
    told,
    version,
)

CASES = [
    # Shape: keys, types, bounds.
    Case("unknown key", config(f"sampels: [website] {HERE}"), "istio-canary:sampels",
         ("no such key", "nearest is `samples`", "rename it to `samples`")),
    Case("a path as a key", config(f"mesh.mtls: STRICT {HERE}"), "istio-canary:mesh.mtls",
         ("a dot does not separate keys", "write istio-canary:mesh: {mtls: STRICT}",
          "pulumi config set --path 'istio-canary:mesh.mtls' STRICT")),
    Case("a block at a path as a key", config(f"mesh.gateway: {{ports: [80]}} {HERE}"), "istio-canary:mesh.gateway",
         ('write istio-canary:mesh: {gateway: {"ports": [80]}}',)),
    Case("unknown key of a version", version("replica: 3"), f"{V1}.replica", ("nearest is `replicas`",)),
    Case("a field's Python name", config(f"ready_within: 300 {HERE}"), "istio-canary:ready_within",
         ("nearest is `readyWithin`",)),
    Case("key without namespace", f"config:\n  services: {{}} {HERE}\n", "config.services",
         ("no namespace", "rename it to `istio-canary:services`")),
    Case("misspelt namespace", f"config:\n  istio-canery:services: {{}} {HERE}\n", "config.istio-canery:services",
         ("'istio-canery' is not 'istio-canary'", "rename it to `istio-canary:services`")),
    Case("misspelt top level", f"config: {{}}\nsecretprovider: x {HERE}\n", "secretprovider",
         ("nearest is `secretsprovider`",)),
    Case("a list instead of a mapping", config(f"services: [1] {HERE}"), "istio-canary:services",
         ("this is a list, but must be a mapping",)),
    Case("text instead of a list", only("hosts: shop.example.com"), f"{SHOP}.hosts",
         ("this is text, but must be a list", 'write it as a list: ["shop.example.com"]')),
    Case("text instead of a number", version("replicas: four"), f"{V1}.replicas",
         ('given:   "four"', "a whole number from 0 to 1000")),
    Case("quoted number", version('replicas: "4"'), f"{V1}.replicas",
         ("this is text", "remove the quotes: 4")),
    Case("a boolean instead of a number", version("minReadySeconds: true"), f"{V1}.minReadySeconds",
         ("this is true, but must be a whole number",)),
    Case("negative replicas", version("replicas: -1"), f"{V1}.replicas", ("-1 is less than 0", "from 0 to 1000")),
    Case("a number as environment variable", version("env: {RATE: 1.0}"), f"{V1}.env.RATE",
         ("a number with a decimal point, but must be text", 'put it in quotes: "1.0"')),
    Case("a boolean as environment variable", version("env: {DEBUG: true}"), f"{V1}.env.DEBUG",
         ("this is true, but must be text", 'put it in quotes: "true"')),
    Case("a date as environment variable", version("env: {DAY: 2026-01-31}"), f"{V1}.env.DAY",
         ("YAML reads this as a date", 'put it in quotes: "2026-01-31"')),
    Case("a rule's name in two lines",
         routed(f'- {{name: "a\\nb", to: {{v1: 50, v2: 50}}}} {HERE}\n'), f"{ROUTE}[0].name",
         ("cannot be printed", "write 'a b'")),
    Case("a destination in upper case", routed(f"- {{to: {{v1: 50, V2: 50}}}} {HERE}\n"), f"{ROUTE}[0].to.V2",
         ("'V2' is not a destination", "fix:     write v2")),
    Case("a version between two others",
         routed(f"- {{to: {{v1: 50, v3: 50}}}} {HERE}\n"), f"{ROUTE}[0].to.v3",
         ("there is no version 'v3'", "fix:     define v3 in")),
    Case("a number as image", only("versions: {v1: {image: 3, port: 80}}"), f"{V1}.image", ('put it in quotes: "3"',)),
    Case("a number as argument", version("args: [5678]"), f"{V1}.args[0]", ('put it in quotes: "5678"',)),
    Case("a key that is a number", version("env: {1: a}"), f"{V1}.env.1", ("the key 1 is not text",)),
    Case("a key with no value", config(f"mesh: {HERE}"), "istio-canary:mesh",
         ("the key has no value", "remove the key")),
    Case("no versions", only("versions: {}"), f"{SHOP}.versions",
         ('fix:     add an entry, for example {"version-1": ',)),
    Case("a required key with no value", only("versions:"), f"{SHOP}.versions",
         ("the key has no value", "fix:     give it a value, for example {")),
    Case("a missing key", service(f"{HOSTS}versions:\n  v1: {HERE}\n    image: shop:1\n"), f"{V1}.port",
         ("this key is missing", "add `port: 8080`")),
    Case("port 0", only("port: 0"), f"{SHOP}.port", ("0 is less than 1", "from 1 to 65535")),
    Case("port 65536", only("gatewayPort: 65536"), f"{SHOP}.gatewayPort", ("65536 is more than 65535",)),
    Case("port as text", only("versions: {v1: {image: a, port: http}}"), f"{V1}.port",
         ("this is text, but must be a whole number",)),
    Case("a port of Istio's", only("versions: {v1: {image: a, port: 15001}}"), f"{V1}.port",
         ("used by Istio's proxy",)),
    # Values with a form of their own.
    Case("no DNS label as service", config(f"services:\n  My_Shop: {HERE}\n    {HOSTS}    {ONE}"),
         "istio-canary:services.My_Shop", ("'My_Shop' is not a DNS label", "write 'my-shop'")),
    Case("no DNS label as version", only("versions: {V1.0: {image: a, port: 1}}"), f'{SHOP}.versions["V1.0"]',
         ("'V1.0' is not a DNS label", "write 'v1-0'")),
    Case("no DNS label as namespace", only("namespace: -x-"), f"{SHOP}.namespace", ("'-x-' is not a DNS label",)),
    Case("a list as the mesh's namespace", config(f"mesh: {{namespace: []}} {HERE}"), "istio-canary:mesh.namespace",
         ("the value is empty",)),
    Case("no DNS label as Deployment", version("name: Shop One"), f"{V1}.name", ("write 'shop-one'",)),
    Case("a name of 64 characters", version(f"name: {'a' * 64}"), f"{V1}.name", ("64 characters", "1 to 63")),
    Case("a label of 81 characters",
         config(f"services:\n  {LONG}:\n    {HOSTS}    versions: {{{LONG}: {{image: a, port: 1}}}} {HERE}\n"),
         f"istio-canary:services.{LONG}.versions.{LONG}", ("81 characters", "shorten the name")),
    Case("mtls", config(f"mesh: {{mtls: strict}} {HERE}"), "istio-canary:mesh.mtls",
         ("nearest is STRICT", "one of STRICT, PERMISSIVE, DISABLE", "write STRICT")),
    Case("Istio's version as number", config(f"mesh: {{version: 1.31}} {HERE}"), "istio-canary:mesh.version",
         ("a number with a decimal point", 'write "1.31.4", for example')),
    Case("Istio's version with two parts", config(f'mesh: {{version: "1.31"}} {HERE}'), "istio-canary:mesh.version",
         ("'1.31' is not a release of Istio", "all three numbers")),
    Case("a too old Istio", config(f"mesh: {{version: 1.17.2}} {HERE}"), "istio-canary:mesh.version",
         ("does not serve networking.istio.io/v1",)),
    Case("charts", config(f"mesh: {{charts: istio/charts}} {HERE}"), "istio-canary:mesh.charts",
         ("neither a chart repository nor a folder", "https://")),
    Case("pushDebounce as number", config(f"mesh: {{pushDebounce: 10}} {HERE}"), "istio-canary:mesh.pushDebounce",
         ("this is a number, but must be text",)),
    Case("pushDebounce without unit", config(f'mesh: {{pushDebounce: "10"}} {HERE}'), "istio-canary:mesh.pushDebounce",
         ("'10' is not a duration", "write 10ms")),
    Case("nodePort of a port that is not open",
         config(f"mesh: {{gateway: {{nodePort: {{80: 30080, 9191: 30091}}}}}} {HERE}"),
         "istio-canary:mesh.gateway.nodePort.9191",
         told("9191 is not one of the gateway's ports", "30091", "the ports 80",
              "remove it, or add 9191 to istio-canary:mesh.gateway.ports")),
    Case("nodePort of a port of Istio's own",
         config(f"mesh: {{gateway: {{nodePort: {{80: 30080, 15021: 30022}}}}}} {HERE}"),
         "istio-canary:mesh.gateway.nodePort.15021", ("fix:     remove it",)),
    Case("nodePort of what is no port", config(f"mesh: {{gateway: {{nodePort: {{eighty: 30080}}}}}} {HERE}"),
         "istio-canary:mesh.gateway.nodePort.eighty", ("write one of istio-canary:mesh.gateway.ports",)),
    Case("one nodePort for two ports",
         config(f"mesh: {{gateway: {{ports: [80, 81], nodePort: {{80: 30080, 81: 30080}}}}}} {HERE}"),
         "istio-canary:mesh.gateway.nodePort.81", ("30080 is already the node port of 80",)),
    Case("a nodePort out of range", config(f"mesh: {{gateway: {{nodePort: {{80: 80}}}}}} {HERE}"),
         "istio-canary:mesh.gateway.nodePort.80", ("80 is less than 30000",)),
    Case("a nodePort that is text", config(f"mesh: {{gateway: {{nodePort: first}}}} {HERE}"),
         "istio-canary:mesh.gateway.nodePort", ("must be a whole number or a mapping", "write 30080, for example")),
    Case("nodePort of a ClusterIP", config(f"mesh: {{gateway: {{serviceType: ClusterIP, nodePort: 30080}}}} {HERE}"),
         "istio-canary:mesh.gateway.nodePort", ("ClusterIP has no nodePort",)),
    Case("unknown sample", config(f"samples: [webiste] {HERE}"), "istio-canary:samples[0]",
         ("nearest is website", "write website")),
    Case("a sample twice", config(f"samples: [website, website] {HERE}"), "istio-canary:samples",
         ("website is given twice",)),
    Case("versionHeader", config(f"versionHeader: X Version {HERE}"), "istio-canary:versionHeader",
         ("not a header name", "write 'x-version'")),
    Case("host with scheme", only("hosts: ['http://shop.example.com']"), f"{SHOP}.hosts[0]",
         ("not a host that a gateway can claim", "write 'shop.example.com'")),
    Case("host without a dot", only("hosts: [shop]"), f"{SHOP}.hosts[0]",
         ("a name with a dot", "fix:     write shop.example.com, for example")),
    Case("host with scheme and without a dot", only("hosts: ['http://x']"), f"{SHOP}.hosts[0]",
         ("fix:     write x.example.com, for example: 'x' with its domain",)),
    Case("host with an underscore", only("hosts: [my_shop.example.com]"), f"{SHOP}.hosts[0]",
         ("fix:     write shop.example.com, for example",)),
    Case("image", only("versions: {v1: {image: My Shop, port: 1}}"), f"{V1}.image",
         ("'My Shop' is not an image reference", "docker pull")),
    Case("quantity", version("resources: {limits: {memory: 64MB}}"), f"{V1}.resources.limits.memory",
         ("not a Kubernetes quantity", "64Mi")),
    Case("resource", version("resources: {limits: {mem: 64Mi}}"), f"{V1}.resources.limits.mem",
         ("'mem' is not a container resource", "memory")),
    Case("request above the limit", version("resources: {requests: {cpu: 2}, limits: {cpu: 500m}}"),
         f"{V1}.resources.requests.cpu", ("the request 2 is above the limit 500m",)),
    Case("probe without a handler", version("readinessProbe: {periodSeconds: 2}"), f"{V1}.readinessProbe",
         ("exactly one of exec, grpc, httpGet and tcpSocket",)),
    Case("liveness probe with two successes", version("livenessProbe: {tcpSocket: {port: 1}, successThreshold: 2}"),
         f"{V1}.livenessProbe", ("successThreshold 1",)),
    Case("strategy that cannot update", version("strategy: {maxSurge: 0, maxUnavailable: 0}"), f"{V1}.strategy",
         ("no pod can be replaced",)),
    Case("strategy Recreate with maxSurge", version("strategy: {type: Recreate, maxSurge: 2}"), f"{V1}.strategy",
         ("Recreate supports neither",)),
    Case("a budget without a limit", version("podDisruptionBudget: {}"), f"{V1}.podDisruptionBudget",
         ("the budget has no limit", "write maxUnavailable: 1")),
    Case("a budget with two limits", version("podDisruptionBudget: {minAvailable: 1, maxUnavailable: 1}"),
         f"{V1}.podDisruptionBudget", ("both set", "exactly one of minAvailable and maxUnavailable")),
    *(Case(f"a budget of {limit} for {pods}, which allows no eviction",
           version(f"replicas: {pods}, podDisruptionBudget: {{{limit}}}"),
           f"{V1}.podDisruptionBudget.{limit.split(':')[0]}", (f"none of the {pods} pods of v1", "maxUnavailable: 1"))
      for pods, limit in ((3, "minAvailable: 3"), (3, "minAvailable: 70%"), (2, "maxUnavailable: 0"))),
    Case("a service's budget that allows no eviction of a version", only("podDisruptionBudget: {minAvailable: 1}"),
         f"{SHOP}.podDisruptionBudget.minAvailable", ("none of the 1 pods of v1", "with at least 2 replicas")),
    Case("preStop longer than the grace period", version("preStopSeconds: 30"), V1, ("killed after 30 s",)),
    Case("minReadySeconds as long as an up waits", version("minReadySeconds: 300"), f"{V1}.minReadySeconds",
         ("waits 300 s", "no pod is available before 300 s", "raise istio-canary:readyWithin above 300")),
    Case("minReadySeconds above readyWithin",
         version("minReadySeconds: 20").replace("config:\n", "config:\n  istio-canary:readyWithin: 20\n"),
         f"{V1}.minReadySeconds", ("waits 20 s", "below istio-canary:readyWithin, which is 20")),
    Case("mtls of an existing mesh", config(f"mesh:\n  install: false\n  mtls: STRICT {HERE}"),
         "istio-canary:mesh.mtls", ("no effect when mesh.install is false", "decides on mutual TLS", "remove it")),
    *(Case(f"{key} of an existing mesh", config(f"mesh:\n  install: false\n  {key}: {value} {HERE}"),
           f"istio-canary:mesh.{key}", ("no effect when mesh.install is false", "the installer", "remove it"))
      for key, value in (("version", "1.31.4"), ("charts", "/charts"), ("hub", "registry.example.com/istio"),
                         ("values", "{istiod: {}}"), ("pushDebounce", "10ms"))),
    *(Case(f"gateway.{key} of an existing mesh",
           config(f"mesh:\n  install: false\n  gateway: {{namespace: edge, {key}: {value}}} {HERE}"),
           f"istio-canary:mesh.gateway.{key}", ("no effect when mesh.install is false", "the gateway's Service"))
      for key, value in (("serviceType", "NodePort"), ("nodePort", "30080"))),
    *(Case(f"a service in {name}", only(f"namespace: {name}"), f"{SHOP}.namespace",
           (f"turn on sidecar injection in {name}", "fix:     write namespace: shop, for example"))
      for name in ("kube-system", "kube-public", "kube-node-lease", "istio-system", "istio-ingress")),
    Case("a service with the name of the mesh's namespace",
         config(f"mesh: {{namespace: shop}}\nservices:\n  shop: {HERE}\n    {HOSTS}    {ONE}"), f"{SHOP}.namespace",
         ("turn on sidecar injection in shop, which is Istio's own", "write namespace: shop-apps, for example")),
    # What a container may do.
    Case("root despite runAsNonRoot", security("runAsUser: 0, runAsNonRoot: true"), SECURITY,
         ("runAsUser 0 is root, but runAsNonRoot is true:", "fix:     use another user, such as 65532")),
    Case("root with the default", security("runAsUser: 0"), SECURITY, ("is true, which is the default",)),
    Case("the user of Istio's proxy", security("runAsUser: 1337"), f"{SECURITY}.runAsUser",
         ("user and group of Istio's proxy", "such as 1338")),
    Case("a user by name", security("runAsUser: nginx"), f"{SECURITY}.runAsUser",
         ("this is text, but must be a whole number", "from 0 to 2147483647")),
    Case("a capability with CAP_", security("capabilities: {add: [CAP_CHOWN]}"), f"{SECURITY}.capabilities.add[0]",
         ("'CAP_CHOWN' is not a capability", "write CHOWN")),
    Case("a capability added and dropped", security("capabilities: {add: [KILL], drop: [KILL]}"),
         f"{SECURITY}.capabilities", ("KILL is added, but also dropped", "remove KILL")),
    Case("all capabilities added and dropped", security("capabilities: {add: [ALL]}"), f"{SECURITY}.capabilities",
         ("also dropped, which is the default", "write in add only what the container needs")),
    Case("seccomp profile", security("seccompProfile: {type: Unconfind}"), f"{SECURITY}.seccompProfile.type",
         ("nearest is Unconfined",)),
    Case("a privileged container", security("privileged: true"), f"{SECURITY}.privileged", ("no such key",)),
    # Routes.
    Case("weights of 99", routed(f"- to: {{v1: 89, v2: 10}} {HERE}\n"), f"{ROUTE}[0].to",
         ("sum to 99, not 100", "given:   {v1: 89, v2: 10}", "write {v1: 90, v2: 10}")),
    Case("weights of 101", routed(f"- to: {HERE}\n    v1: 91\n    v2: 10\n"), f"{ROUTE}[0].to",
         ("sum to 101, not 100", "write {v1: 90, v2: 10}")),
    Case("negative weight", routed(f"- to:\n    v1: 100\n    v2: -10 {HERE}\n"), f"{ROUTE}[0].to.v2",
         ("-10 is less than 0", "from 0 to 100")),
    Case("weight above 100", routed(f"- to: {HERE}\n    v1: 110\n    v2: 0\n"), f"{ROUTE}[0].to",
         ("sum to 110, not 100", "write {v1: 100, v2: 0}")),
    Case("weight with a fraction", routed(f"- to: {{v1: 99.5, v2: 0}} {HERE}\n"), f"{ROUTE}[0].to",
         ("sum to 99.5, not 100", "write {v1: 100, v2: 0}")),
    Case("a list as destination", routed(f"- to: [v1, v2] {HERE}\n"), f"{ROUTE}[0].to",
         ("this is a list, but must be text or a mapping",)),
    Case("rule after a catch-all", routed(f"- to: v1\n- to: v2 {HERE}\n"), f"{ROUTE}[1]",
         ("no request reaches this rule", "route[0] matches every request", "to the end")),
    Case("rule like an earlier one", routed("- {match: [{headers: {a: {exact: b}}}], to: v2}\n"
         f"- {{match: [{{headers: {{a: {{exact: b}}}}}}], to: v1}} {HERE}\n- to: v1\n"), f"{ROUTE}[1]",
         ("route[0] has the same matches",)),
    Case("rule within an earlier one", routed("- {match: [{headers: {a: {prefix: b}}}], to: v2}\n"
         f"- {{match: [{{headers: {{a: {{exact: bc}}}}}}], to: v1}} {HERE}\n- to: v1\n"), f"{ROUTE}[1]",
         ("route[0] matches all of its requests", "move this rule before")),
    Case("version that is not defined", routed(f"- to: {{v1: 90, v22: 10}} {HERE}\n"), f"{ROUTE}[0].to.v22",
         ("there is no version 'v22'", "nearest is 'v2'", "v1, v2")),
    Case("version without any rule",
         service(f"{HOSTS}{TWO}route: [{{to: v1}}]\n").replace("shop:2, port: 8080}", f"shop:2, port: 8080}} {HERE}"),
         f"{SHOP}.versions.v2", ("no rule of the route sends requests", "weight of 0")),
    Case("no route between two versions", service(f"{HOSTS}{TWO}").replace("shop:\n", f"shop: {HERE}\n", 1), ROUTE,
         ("no route between the 2 versions", "add `route: [{to: {v1: 100, v2: 0}}]`")),
    Case("no route, and no pods of the first version",
         service(f"{HOSTS}versions:\n  v1: {{image: a, port: 1, replicas: 0}}\n  v2: {{image: a, port: 1}}\n").replace(
             "shop:\n", f"shop: {HERE}\n", 1), ROUTE, ("add `route: [{to: {v1: 0, v2: 100}}]`",)),
    Case("empty route", only("route: []"), ROUTE, ("the value is empty",)),
    Case("route without a default", only("route: [{match: [{uri: {prefix: /a}}], to: v1}]"), ROUTE,
         ("would get 404", "add a last rule", "`- to: v1`")),
    Case("empty match", matching("{}"), MATCH, ("the match has no condition", "omit `match`")),
    Case("empty list of matches", matching(""), f"{ROUTE}[0].match",
         ("the value is empty", "fix:     add an entry")),
    Case("exact and prefix together", matching("{headers: {a: {exact: b, prefix: b}}}"), f"{MATCH}.headers.a",
         ("exact and prefix are set together",)),
    Case("nothing to compare with", matching("{headers: {a: {}}}"), f"{MATCH}.headers.a",
         ("no value to compare with", "{present: true}")),
    Case("a header that must be absent", matching("{headers: {a: {present: false}}}"), f"{MATCH}.headers.a.present",
         ("this is false, but must be true", "withoutHeaders")),
    Case("bad regex", matching("{headers: {a: {regex: 'a(b'}}}"), f"{MATCH}.headers.a.regex",
         ("RE2, which Envoy uses, cannot parse 'a(b'", "missing )")),
    Case("regex with look-ahead", matching("{headers: {a: {regex: '(?=b)'}}}"), f"{MATCH}.headers.a.regex",
         ("invalid perl operator", "no look-ahead")),
    Case("a too long regex", matching(f"{{headers: {{a: {{regex: {'a' * 1025}}}}}}}"), f"{MATCH}.headers.a.regex",
         ("has 1025 characters", "at most 1024")),
    Case("header in upper case", matching("{headers: {X-Qa: {exact: b}}}"), f"{MATCH}.headers.X-Qa",
         ("in lower case", "write 'x-qa'")),
    Case("header with a space", matching("{headers: {x qa: {exact: b}}}"), f'{MATCH}.headers["x qa"]',
         ("not a header name", "write 'x-qa'")),
    Case("the path as a header", matching("{headers: {uri: {prefix: /a}}}"), f"{MATCH}.headers.uri",
         ("Istio ignores 'uri' in `headers`", "`uri:`")),
    Case("uri without a slash", matching("{uri: {prefix: a}}"), f"{MATCH}.uri",
         ("no request's path is or begins with 'a'", "write {prefix: /a}")),
    Case("an exact uri without a slash", matching("{uri: {exact: about}}"), f"{MATCH}.uri", ("write {exact: /about}",)),
    Case("ignoreUriCase with a regex", matching("{uri: {regex: /a}, ignoreUriCase: true}"), MATCH,
         ("ignoreUriCase has no effect", "(?i)")),
    Case("method in lower case", matching("{method: {exact: get}}"), f"{MATCH}.method", ("upper case", "write GET")),
    # Between services.
    Case("a host of two services",
         config(f"samples: [website]\nservices:\n  shop:\n    hosts: ['*'] {HERE}\n    {ONE}"), f"{SHOP}.hosts[0]",
         ("host '*' on gateway port 80 is already claimed by the service 'website'", "another host")),
    Case("a host twice", service(f"hosts:\n  - a.b\n  - a.b {HERE}\n{ONE}"), f"{SHOP}.hosts[1]",
         ("already claimed by this service",)),
    Case("a host twice with a match",
         service(f"hosts:\n  - a.b\n  - a.b {HERE}\n{TWO}"
                 "route: [{match: [{uri: {prefix: /x}}], to: v2}, {to: v1}]\n"), f"{SHOP}.hosts[1]",
         ("already claimed by this service", "fix:     remove it")),
    Case("a host twice with a match and another mistake",
         service(f"hosts:\n  - a.b\n  - a.b {HERE}\n{TWO}port: 0\n"
                 "route: [{match: [{uri: {prefix: /x}}], to: v2}, {to: v1}]\n"), f"{SHOP}.hosts[1]",
         ("already claimed by this service",)),
    Case("a Deployment's name twice", service(f"{HOSTS}versions:\n  v1: {{image: a, port: 1, name: x}}\n"
         f"  v2: {{image: a, port: 1, name: x}} {HERE}\nroute: [{{to: {{v1: 50, v2: 50}}}}]\n"), f"{SHOP}.versions.v2",
         ("Deployment 'x' in namespace 'shop' is already created by", "versions.v1")),
    Case("a name of the gateway's",
         config(f"services:\n  istio-ingressgateway: {HERE}\n    namespace: istio-ingress\n    {HOSTS}    {ONE}"),
         "istio-canary:services.istio-ingressgateway",
         ("Service 'istio-ingressgateway'", "created by istio-canary:mesh")),
    # The file itself.
    Case("encrypted value", config(f"versionHeader: {{secure: AAABAOhw}} {HERE}"), "istio-canary:versionHeader",
         ("the value is encrypted, and settings are read without a passphrase", "encrypted values in env",
          "if it is no secret, write it in plain text; a secret belongs into env or configFiles of the version")),
    Case("encrypted value deep in a block", version("args: [a, {secure: AAABAOhw}]"), f"{V1}.args[1]",
         ("the value is encrypted, and arguments are in the pod's spec", "fix:     encrypt a variable of env")),
    Case("a key that is given twice", config(f"readyWithin: 20\nreadyWithin: 30 {HERE}"), "istio-canary:readyWithin",
         ("is given twice, first in line 2",)),
    Case("a leading zero", config(f"readyWithin: 0300 {HERE}"), "istio-canary:readyWithin", ("as octal",)),
    Case("not YAML", f"config:\n  istio-canary:samples: [website\n  istio-canary:mesh: {{}} {HERE}\n", "",
         ("the file is not YAML (column", "indentation")),
    Case("a tab", f"config:\n\tistio-canary:samples: [] {HERE}\n", "", ("the file is not YAML (column 1)",)),
    Case("an alias that contains itself", config(f"samples: &a [*a] {HERE}"), "", ("too large", "aliases")),
    Case("no config", f"encryptionsalt: v1:x {HERE}\n", "",
         ("the file has no `config:`", "istio-canary:samples: [website]")),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_mistake_is_reported_with_its_line_path_and_fix(case: Case, tmp_path: Path) -> None:
    assert_is_reported(case, tmp_path)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_one_mistake_is_not_reported_many_times(case: Case, tmp_path: Path) -> None:
    assert_is_reported_once(case, tmp_path)


def test_all_mistakes_of_a_file_are_reported_at_once_in_the_files_order(tmp_path: Path) -> None:
    text = """\
config:
  istio-canary:mesh: {version: 1.31, mtls: strict}
  istio-canary:readyWithin: "long"
  istio-canary:sampels: [website]
  istio-canary:versionHeader: {secure: AAABAOhw}
  istio-canary:services:
    shop:
      hosts: ["*", "http://shop"]
      port: 0
      versions:
        v1: {image: shop:1, port: 8080, replicas: four}
        v2: {image: shop:2, port: 8080, name: shop-v1}
        v3: {image: shop:2, port: 8080}
      route:
        - match: [{headers: {X-Canary: {regex: "("}}}]
          to: v2
        - to: {v1: 90, v2: 11}
        - to: v4
    cart:
      hosts: ["*"]
      versions: {v1: {image: Cart, port: 65536}}
"""
    error = problems_of(tmp_path, text)

    assert [(problem.line, problem.path.removeprefix("istio-canary:")) for problem in error.problems] == [
        (2, "mesh.mtls"),
        (2, "mesh.version"),
        (3, "readyWithin"),
        (4, "sampels"),
        (5, "versionHeader"),
        (8, "services.shop.hosts[1]"),
        (9, "services.shop.port"),
        (11, "services.shop.versions.v1.replicas"),
        (12, "services.shop.versions.v2"),
        (13, "services.shop.versions.v3"),
        (15, "services.shop.route[0].match[0].headers.X-Canary"),
        (15, "services.shop.route[0].match[0].headers.X-Canary.regex"),
        (17, "services.shop.route[1].to"),
        (18, "services.shop.route[2]"),
        (18, "services.shop.route[2].to"),
        (20, "services.cart.hosts[0]"),
        (21, "services.cart.versions.v1.image"),
        (21, "services.cart.versions.v1.port"),
    ], "no mistake may hide another"
    assert str(error).startswith("18 problems in Pulumi.dev.yaml (nothing was touched)")


def test_the_error_for_an_unknown_stack_names_the_nearest_and_how_to_create_one(tmp_path: Path) -> None:
    for stack in ("dev", "staging"):
        (tmp_path / f"Pulumi.{stack}.yaml").write_text("config: {}\n")

    with pytest.raises(SettingsError) as caught:
        load_stack(tmp_path / "Pulumi.stagin.yaml")

    message = str(caught.value)
    assert "did you mean 'staging'?" in message
    assert "dev, staging" in message, "the stacks that exist must be named"
    assert "cp Pulumi.staging.yaml Pulumi.stagin.yaml && pulumi stack init stagin" in message


def test_a_problem_in_a_samples_default_names_the_sample_and_no_line(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, "config:\n  istio-canary:samples: [java-service]\n").problems

    assert problem.path == "istio-canary:gateways.java-service-istio-lb.servers[0].port"
    assert (problem.file, problem.line, problem.sample) == (None, None, "java-service"), "the line is not in the file"
    assert str(problem).startswith("from sample java-service: istio-canary:gateways.java-service-istio-lb.servers[0]")
