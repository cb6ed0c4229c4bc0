"""Tests of rollout/gate_service."""
