"""Telling what becomes of a request, in words."""
