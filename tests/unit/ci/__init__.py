"""Tests of the pipelines' scripts, and of the laws that the pipelines' files keep."""
