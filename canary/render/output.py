"""Manifests written as a YAML stream, to a file or to a folder with a file for each part."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from canary.command_error import CommandError
from canary.exit_codes import ExitCode

if TYPE_CHECKING:
    from canary.render.manifests import Part

RENDERED = "# rendered by canary render"
"""Begin of the first line of every file; a file without it is never replaced in a folder."""


class _Dumper(yaml.CSafeDumper):
    """Text of several lines is written as it is; equal values are written out, not as aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: Any, text: str) -> Any:
    style = "|" if "\n" in text and not re.search(r"[ \t]\n|\t", text) else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def stream(parts: Iterable[Part], stack: str) -> str:
    """Return the parts as one YAML stream, in their order."""
    documents = [text for part in parts for text in _documents(part)]
    return "".join(
        [f"{RENDERED} --stack {stack}, in the order of application\n", *(f"---\n{one}" for one in documents)]
    )


def _documents(part: Part) -> list[str]:
    if part.comment:
        return ["".join(f"# {line}\n" for line in f"left out: {part.comment}".splitlines())]
    return [
        yaml.dump(manifest, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
        for manifest in part.manifests
    ]


def write_file(file: Path, text: str) -> None:
    """Write the stream to a file; raises CommandError if that is not possible."""
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CommandError(
            f"{file} cannot be written: {error.strerror}", ExitCode.CONFIG, fix="give another --output"
        ) from None


def write_folder(folder: Path, parts: Sequence[Part], stack: str) -> list[Path]:
    """Write a file for each part into a folder, numbered in the order of application, and return the files.

    Files of an earlier run that are no longer part of the stack are deleted: kubectl and Argo CD apply all files of a
    folder. Raises CommandError if the folder has other YAML files.
    """
    texts = {f"{number:03}-{part.name}.yaml": stream([part], stack) for number, part in enumerate(parts, start=1)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        before = [file for file in sorted(folder.iterdir()) if file.suffix in (".yaml", ".yml", ".json")]
        foreign = [file.name for file in before if not file.read_text(encoding="utf-8").startswith(RENDERED)]
        if foreign:
            raise CommandError(
                f"{folder} has files that canary render did not write: {', '.join(foreign)}",
                ExitCode.CONFIG,
                fix="give a folder of its own, since everything in a folder is applied",
            )
        for file in before:
            if file.name not in texts:
                file.unlink()
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(
            f"{folder} cannot be written: {error}", ExitCode.CONFIG, fix="give another --output"
        ) from None
    return [folder / name for name in texts]
