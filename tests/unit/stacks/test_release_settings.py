"""A record keeps what the old version was in the stack's file, without its secrets."""

from __future__ import annotations

import json

from stacks.release_settings import LONGEST, release_settings
from stacks.settings.loading import load
from stacks.with_rollouts import with_rollouts
from tests.unit.stacks.rollout_stacks import FILE, NEW, OLD, stack, state, version

CIPHER = "v1:jvIsyoCyE7Mnlm3g:dc1WwZ+Rrp2+aWgwF6nJxEDMLg=="


def test_a_versions_keys_are_those_of_the_file() -> None:
    given = {**version(1), "replicas": 3, "env": {"LEVEL": "debug"}, "args": ["-v"]}
    settings = stack(versions={OLD: given, NEW: version(2)})

    found = release_settings(settings, "shop", OLD)

    assert found.items() >= given.items()
    again = load({"services": {"shop": {"hosts": ["a.example"], "versions": {OLD: found}}}})
    assert again.services["shop"].deployed[OLD] == settings.services["shop"].deployed[OLD]


def test_neither_a_secret_nor_what_encrypts_it_is_kept() -> None:
    given = {**version(1), "env": {"PASSWORD": {"secure": CIPHER}}}
    found = release_settings(stack(versions={OLD: given, NEW: version(2)}), "shop", OLD)

    assert found["env"]["PASSWORD"].startswith("[secret]")
    assert CIPHER not in json.dumps(found)


def test_long_files_are_left_out() -> None:
    given = {**version(1), "configFiles": {"/etc/shop": {"shop.conf": "x" * LONGEST}}}
    found = release_settings(stack(versions={OLD: given, NEW: version(2)}), "shop", OLD)
    assert found == release_settings(stack(), "shop", OLD)


def test_a_version_that_the_stack_does_not_deploy_has_none() -> None:
    assert release_settings(stack(), "shop", "version-0") == {}


def test_the_record_of_a_rollout_that_begins_has_them() -> None:
    settings = stack()
    (ask,) = with_rollouts(settings, {"shop": state(settings, None)}, FILE).asks
    assert ask.from_ is not None
    assert ask.from_.settings == release_settings(settings, "shop", OLD)
    assert ask.from_.settings["image"] == "shop:1"
