"""URLs are read as Go reads them; each of these was also given to Go's parser."""

from __future__ import annotations

import pytest

from kube.crd_schemas import urls


@pytest.mark.parametrize(
    ("url", "scheme"),
    [
        ("https://a", "https"), ("HTTP://a", "http"), ("http:", "http"), ("oci://a/b:1.0", "oci"), ("a:5000/b", "a"),
        ("/a", ""), ("//a/b", ""), ("*", ""), ("http://a:/", "http"), ("http://a:80?b#c", "http"),
        ("http://u:p@a", "http"), ("http://", "http"),
        ("http://[::1]:80/", "http"), ("http://[::1%25en0]/", "http"), ("http://[::ffff:1.2.3.4]", "http"),
        ("http://%c3%bc/", "http"), ("http://ü/", "http"), ("http://a/b c", "http"), ("oci://a:1:2", "oci"),
    ],
)  # fmt: skip
def test_a_url_has_a_scheme(url: str, scheme: str) -> None:
    assert urls.is_url(url)
    assert urls.scheme_of(url) == scheme


@pytest.mark.parametrize(
    "text",
    [
        "", "a", "a/b", ":", "://a", "1a://b", "?a", "#a", "http://a b", "http://a:b", "http://a:1:2", "http://::1",
        "http://[::1", "http://[::1]a", "http://[1.2.3.4]", "http://[::1%25]", "http://a[b", "http://%41", "http://a/%4",
        "http://a/%zz", "http://a\n", "http://a[@b", "http://{", "http://a|b",
    ],
)  # fmt: skip
def test_other_text_is_no_url(text: str) -> None:
    assert not urls.is_url(text)
    with pytest.raises(ValueError, match="URL parse error"):
        urls.scheme_of(text)


@pytest.mark.parametrize("path", ["//a b", "//a:b", "/a?#%zz"])
def test_a_path_that_is_no_reference_is_a_url_without_a_scheme(path: str) -> None:
    assert urls.is_url(path)
    with pytest.raises(ValueError, match="URL parse error"):
        urls.scheme_of(path)
