"""The texts of tables and requests: few, so that requests match rules, and similar to each other."""

from __future__ import annotations

from tests.differential.place import DOMAIN

HEADERS = ("qa", "x-user", "x-tier", "user-agent", "x_under.score")
VALUES = ("canary-test", "canary", "Canary-Test", "canary-test-2", "beta", "a", "a,b", "b", "100%", "é", "(x)", "0")
VALUE_REGEXES = (
    "canary-.*", "canary|beta", ".*", ".+", "^canary$", "(?i)CANARY-TEST", "[a-z]+", "canary-test(-\\d+)?", "a,b|b,a",
    "\\w*-\\w*", "[^a]*", "()", "b?", "\\S{2,6}",
)  # fmt: skip
COOKIES = ("user", "website-version", "a.b")
COOKIE_VALUES = ("anna", "Anna", "annabell", "version-1", "1+1", "users/version-1")
PATHS = (
    "/", "/shop", "/shop/", "/Shop", "/shop/cart", "/shop/cart/7", "/shopping", "/api/v1", "/api/v1/users", "/API/v1",
    "/a.b", "/axb", "/shop%20x", "/caf%C3%A9", "/a+b", "/shop;v=1", "/~x", "/_", "/*", "/shop//cart", "/$1",
)  # fmt: skip
ODD_PATHS = (
    "//shop", "/shop/../api/v1", "/shop/./cart", "/shop/..", "/%73hop", "/shop%2Fcart", "/shop%2fcart", "/shop?",
    "/shop/%2e%2e/api/v1", "/shop?q", "/shop?q=1#shop", "/shop#x", "/shop/cart?q=/api", "/shop\\cart",
    "/shop/cart%3Fq=1", "/..", "/shop%00", "/a%2Eb", "///", "/?/shop", "/shop/..;x/api/v1", "/shop{1}",
)  # fmt: skip
PATH_REGEXES = (
    "/shop/.*", "/(shop|api)/.*", "/shop|/api/v1", ".*", "/api/v[0-9]+(/.*)?", "(?i)/shop", "^/shop$", "/[a-z]+",
    "/[^/]+/[^/]+", ".*cart.*", "/shop/?", "\\/a\\.b", "/(?P<what>\\w+)/.*", "/.{4,8}", "/.*/",
)  # fmt: skip
METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD")
METHOD_REGEXES = ("GET|POST", "P.*", "[A-Z]{3}", "(?i)get")
PARAMETERS = ("q", "version", "Q", "a b")
PARAMETER_VALUES = ("1", "canary", "Canary", "", "1 2", "a&b", "v1", "v10")
PARAMETER_REGEXES = ("[0-9]+", "canary|beta", ".*", "v1.?", "(?i)CANARY")
AUTHORITIES = tuple(f"{name}.{DOMAIN}" for name in ("shop", "www", "api", "eu.api", "users", "deep.er.api"))
AUTHORITY_REGEXES = (f".*\\.{DOMAIN}", f"(shop|www)\\.{DOMAIN}", f".*{DOMAIN}(:\\d+)?", "shop.*", f"[a-z]+\\.{DOMAIN}")
REWRITES = ("/", "/new", "/new/", "/shop", "/a/b/c")
REGEX_REWRITES = (
    {"match": "/shop", "rewrite": "/store"},
    {"match": "^/shop(/.*)?$", "rewrite": "/s\\1"},
    {"match": "/([a-z]+)/([a-z]+)", "rewrite": "/\\2/\\1"},
    {"match": "o", "rewrite": "0"},
    {"match": "[aeiou]*$", "rewrite": "/end"},
    {"match": "nothing-like-it", "rewrite": "/x"},
    {"match": "^/", "rewrite": "/v2/"},
    {"match": "^/shop", "rewrite": "shop"},
    {"match": "^/api", "rewrite": "/<a b>"},
    {"match": "/[a-z]+", "rewrite": "/../\\\\\\0"},
    {"match": "^/shop(.*)$", "rewrite": "\\1"},
)
CHANGED = ("x-tier", "x-new", "x-user", "x-color")
"""Headers that rules set, add and remove on requests and answers."""
CHANGED_BY_SHARES = ("x-share", "x-part")
"""Headers that destinations set, add and remove by themselves; a rule may not change them too."""
CHANGES = ("blue", "red", "a,b", "100 %%", "canary")
ORIGINS = (f"https://www.{DOMAIN}", f"https://shop.{DOMAIN}", "https://evil.test", "null")
ORIGIN_MATCHES = (
    {"exact": f"https://www.{DOMAIN}"},
    {"prefix": "https://shop."},
    {"regex": f"https://.*\\.{DOMAIN}"},
    {"exact": "null"},
    {"exact": "*"},
)
BODIES = ("", "no", "grün", "100 %", '{"a": 1}', "two\nlines")
