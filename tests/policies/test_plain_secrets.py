"""A secret in plain text is reported with the command that encrypts it, and an encrypted one is not."""

from __future__ import annotations

import yaml

from policies import configuration, engine
from policies.resource import from_recorded
from stacks.recording import record
from stacks.settings.loading import load

STACK = """
services:
  shop:
    hosts: [shop.example.com]
    versions:
      stable:
        image: shop:1
        port: 8080
        env: {DB_PASSWORD: VALUE}
        configFiles: {/etc/shop: {shop.properties: FILE}}
"""
ENCRYPTED = '{secure: "v1:YWJjZGVmZ2hpams=:bm90IGEgcGFzc3dvcmQ="}'


def fixes(value: str, file: str) -> list[str]:
    settings = load(yaml.safe_load(STACK.replace("VALUE", value).replace("FILE", file)))
    found = engine.findings(from_recorded(record(settings, "dev")), configuration.read())
    return [one.fix for one in found if one.rule == "secrets-not-plain"]


def test_the_fix_is_the_command_that_encrypts_it() -> None:
    variable, file = fixes("hunter2", "token=hunter2")

    assert "pulumi config set --secret --path '<the version>.env.DB_PASSWORD'" in variable
    assert """pulumi config set --secret --path '<the version>.configFiles["<folder>"]["shop.properties"]'""" in file
    assert "hunter2" not in variable + file


def test_encrypted_values_and_references_are_no_finding() -> None:
    assert fixes(ENCRYPTED, ENCRYPTED) == []
    assert fixes("{valueFrom: {secretKeyRef: {name: shop, key: password}}}", ENCRYPTED) == []
