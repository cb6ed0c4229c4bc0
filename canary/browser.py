"""Opens a page in the user's browser, where there is one."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

MAY_BE_SET_AND_MEAN_NO = ("", "0", "false")
WITH_A_DESKTOP = ("darwin", "win32")


def show(url: str) -> bool:
    """Open `url` in the user's browser, and return whether one was opened."""
    import webbrowser

    return has_browser(os.environ, sys.platform) and webbrowser.open(url)


def has_browser(environment: Mapping[str, str], platform: str) -> bool:
    """Return whether a user sits in front of a browser: not in CI, and not over ssh without a display."""
    if environment.get("CI", "").lower() not in MAY_BE_SET_AND_MEAN_NO:
        return False
    if platform in WITH_A_DESKTOP and "SSH_CONNECTION" not in environment:
        return True
    return any(environment.get(name) for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY"))
