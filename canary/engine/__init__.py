"""Driving Pulumi's engine: runs, events, locks, state, and recovery after a killed run."""
