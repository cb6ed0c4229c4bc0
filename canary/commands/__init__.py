"""One file a command: what it takes, what it prints, how it ends."""
