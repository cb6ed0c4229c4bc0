"""Explains where a request is routed, and why."""
