"""A stand-in for the plugin pulumi-resource-kubernetes, used in the sandbox where the official one is not installed."""

from __future__ import annotations
