"""Measuring the split at the gateway."""
