"""Tests of the generated packages in sdks/."""
