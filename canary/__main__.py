"""`python -m canary`: the same as the command `canary`."""

from canary.app import main

main()
