"""Tests of rollout/engines."""
