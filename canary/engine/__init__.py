"""Drives Pulumi's engine: runs, events, locks, state, and recovery after an interrupted run."""
