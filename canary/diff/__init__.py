"""What a change of the stacks' files does to traffic, versions and settings."""
