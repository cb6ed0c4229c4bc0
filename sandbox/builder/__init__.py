"""What the sandbox runs, built from public sources into a cache; and whether this machine can build and run it."""
