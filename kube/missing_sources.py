"""What to do about a pod that waits for a Secret or ConfigMap, by what the kubelet says of it."""

from __future__ import annotations

import re

NO_OBJECT = re.compile(r'(?P<kind>secret|configmap) "(?:[^"/]+/)?(?P<name>[^"]+)" not found', re.IGNORECASE)
NO_KEY = re.compile(r"couldn't find key (?P<key>\S+) in (?P<kind>Secret|ConfigMap) [^/\s]+/(?P<name>[^\s,]+)")
NO_PATH = re.compile(r"references non-existent (?P<kind>secret|config) key: (?P<key>\S+)")
NO_PULL_SECRET = re.compile(r"Unable to retrieve some image pull secrets \((?P<names>[^)]+)\)")
NO_CLAIM = re.compile(r'persistentvolumeclaim "(?P<name>[^"]+)" not found')
KINDS = {"secret": "Secret", "configmap": "ConfigMap", "config": "ConfigMap"}


def fix_of(message: str, namespace: str) -> str | None:
    """Return what to do about a message of the kubelet or the scheduler, None if nothing is missing by it."""
    if found := NO_OBJECT.search(message):
        return f"create the {KINDS[found['kind'].lower()]} {found['name']} in namespace {namespace}, then it starts"
    if found := NO_KEY.search(message):
        return f"add the key {found['key']} to the {found['kind']} {found['name']} in namespace {namespace}"
    if found := NO_PATH.search(message):
        return f"add the key {found['key']} to the {KINDS[found['kind']]} in namespace {namespace}, or correct `items`"
    if found := NO_PULL_SECRET.search(message):
        return (
            f"create the Secret {found['names']} in namespace {namespace}, with kubectl create secret docker-registry"
        )
    if found := NO_CLAIM.search(message):
        return f"create the PersistentVolumeClaim {found['name']} in namespace {namespace}, then it is scheduled"
    return None
