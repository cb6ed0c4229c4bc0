"""A stack: its settings, their checks, and the environment built from them."""
