"""Measures the traffic split at the gateway."""
