"""The stacks' files of a git revision or of a folder. Nothing is checked out: git prints the files of a revision."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from canary.command_error import CommandError
from canary.exit_codes import ExitCode

if TYPE_CHECKING:
    from canary.project import Project
    from stacks.settings.stack_file import StackFile

PREFIX, SUFFIX = "Pulumi.", ".yaml"
WORKING_TREE = "working tree"


@dataclass(frozen=True)
class Revision:
    """One side of a comparison: its name in the output, its stacks, and how a stack's file is read."""

    name: str
    stacks: tuple[str, ...]
    read: Callable[[str], StackFile]
    """Returns the file of one of the stacks; raises SettingsError."""


def revision_of(project: Project, given: str | None) -> Revision:
    """Return the side that is named: a git revision, else a folder; None is the project's working tree.

    A name that is both is the revision; `./name` is the folder. Raises CommandError if it is neither.
    """
    if given is None:
        return _of_folder(project.root, WORKING_TREE)
    folder = Path(given).expanduser()
    is_path = given.startswith((".", "/", "~")) or given.endswith("/")
    commit = None if is_path else _commit(project.root, given)
    if commit is not None:
        return _of_commit(project.root, commit, given)
    if folder.is_dir():
        return _of_folder(folder, given)
    raise CommandError(
        f"{given!r} is neither a git revision nor a folder",
        ExitCode.CONFIG,
        fix="name a branch, tag or commit, such as main or HEAD~1 (in a shallow clone, fetch it first: "
        "git fetch origin main), or a folder with Pulumi.<stack>.yaml files",
    )


def _of_folder(folder: Path, name: str) -> Revision:
    from stacks.settings.stack_file import read_stack_file

    stacks = _stacks(path.name for path in folder.glob(f"{PREFIX}*{SUFFIX}"))
    if not stacks and name != WORKING_TREE:
        raise CommandError(f"{name} has no stacks", ExitCode.CONFIG, fix="name a folder with files Pulumi.<stack>.yaml")
    return Revision(name, stacks, lambda stack: read_stack_file(folder / _file(stack)))


def _of_commit(root: Path, commit: str, name: str) -> Revision:
    from stacks.settings.problems import Problem, SettingsError
    from stacks.settings.stack_file import parse_stack_file

    def read(stack: str) -> StackFile:
        file = _file(stack)
        try:
            text = _git(root, "show", f"{commit}:./{file}").decode()
        except UnicodeDecodeError:
            what = "the file cannot be read: it is not UTF-8 text"
            raise SettingsError([Problem("", what, "", "", "correct the file", file=file)], file) from None
        return parse_stack_file(root / file, text)

    names = _git(root, "ls-tree", "-z", "--name-only", commit, "./").decode(errors="replace").split("\0")
    return Revision(name, _stacks(names), read)


def _stacks(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(name[len(PREFIX) : -len(SUFFIX)] for name in names if _is_stack_file(name)))


def _is_stack_file(name: str) -> bool:
    return name.startswith(PREFIX) and name.endswith(SUFFIX) and len(name) > len(PREFIX) + len(SUFFIX)


def _file(stack: str) -> str:
    return f"{PREFIX}{stack}{SUFFIX}"


def _commit(root: Path, name: str) -> str | None:
    """The commit of a revision, None if git does not know it, or there is no git or repository."""
    try:
        words = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        return _git(root, *words).decode().strip()
    except CommandError:
        return None


def _git(root: Path, *words: str) -> bytes:
    try:
        done = subprocess.run(["git", *words], cwd=root, capture_output=True, check=False)
    except OSError as error:
        raise CommandError(f"git cannot be run: {error.strerror}", ExitCode.CONFIG, fix="install git") from None
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip()
        raise CommandError(f"git {words[0]} failed: {reason}", ExitCode.CONFIG)
    return done.stdout
