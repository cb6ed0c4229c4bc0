"""Tests of `canary undo`."""
