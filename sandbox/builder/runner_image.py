"""The image of the runner of rollouts, without Docker: this Python, the libraries that are pinned for it, and its code.

`runner/Dockerfile` builds the same elsewhere: the code and its libraries in /opt/canary, run by the same user.
"""

from __future__ import annotations

import compileall
import hashlib
import importlib.metadata
import py_compile
import re
import shutil
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from sandbox.builder.commands import BuildError
from sandbox.builder.images import APPS_HUB, APPS_VERSION, libraries
from sandbox.builder.oci import File, Folder, Recipe

ROOT = Path(__file__).parents[2]
REQUIREMENTS = ROOT / "runner" / "requirements.txt"
REFERENCE = f"{APPS_HUB}/runner:{APPS_VERSION}"
PACKAGES = ("canary", "kube", "metrics", "rollout", "traffic")
"""What it has of this project: neither stacks nor components, which need Pulumi."""
CODE = "opt/canary"
PREFIX = "usr/local"
USER = "65532:65532"
ENTRYPOINT = ("/usr/local/bin/python3", "-m", "canary")
ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "HOME": "/tmp",  # noqa: S108  the user is in no /etc/passwd
    "PYTHONPATH": f"/{CODE}",
    "PYTHONSAFEPATH": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "MALLOC_ARENA_MAX": "2",  # glibc keeps memory by thread otherwise, and each rollout has several
}
NOT_NEEDED = (
    *("site-packages", "test", "idlelib", "tkinter", "turtledemo", "lib2to3", "ensurepip", "distutils", "pydoc_data"),
    *("config-*", "venv", "sqlite3", "curses", "dbm", "xmlrpc", "wsgiref", "__pycache__"),
    *("_test*", "_xxtest*", "xxlimited*", "_tkinter*", "_curses*", "_sqlite3*", "_dbm*", "_gdbm*", "readline*", "nis*"),
)
"""Parts of Python's library that a server without a screen, a terminal or a database needs not."""


def entry_name(architecture: str) -> str:
    """The cache entry of the image's files, named after a hash of the code, the pinned libraries and this Python."""
    digest = hashlib.sha256(f"{sys.version} {sys.base_prefix} {architecture}".encode())
    for file in (Path(__file__), REQUIREMENTS, *_code()):
        digest.update(f"{file.relative_to(ROOT)}\n".encode() + file.read_bytes())
    return f"runner/{digest.hexdigest()[:16]}"


def write(folder: Path) -> None:
    """Write the image's files to the new folder `folder`; raises BuildError if a library is not the pinned one."""
    code = folder / CODE
    for name, version in pinned():
        _copy_library(name, version, code)
    for file in _code():
        _copy(file, code / file.relative_to(ROOT))
    _copy_python(folder)
    for part in (code, folder / PREFIX / "lib"):
        compileall.compile_dir(
            part,
            quiet=2,
            stripdir=str(folder),
            prependdir="/",
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )
    programs = [file for file in folder.rglob("*") if file.suffix == ".so" or file.name == "python3"]
    known = {file.name for file in folder.rglob("*.so*")}
    for library in libraries(programs):
        if library.name not in known:
            _copy(library, folder / str(library).lstrip("/"))


def recipes(folder: Path, architecture: str) -> tuple[Recipe, ...]:
    """The image of the files in `folder`, which `write` has made."""
    files = [
        File(f"/{path.relative_to(folder)}", path, 0o755 if path.stat().st_mode & 0o100 else 0o644)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    ]
    return (
        Recipe(
            reference=REFERENCE,
            architecture=architecture,
            contents=[*files, Folder("/tmp", 0o1777)],  # noqa: S108  in the image
            entrypoint=ENTRYPOINT,
            user=USER,
            environment={**ENVIRONMENT, "LD_LIBRARY_PATH": f"/{PREFIX}/lib"},
        ),
    )


def pinned() -> list[tuple[str, str]]:
    """The names and versions in the runner's requirements.txt that are for this machine."""
    found = re.findall(r"^([A-Za-z0-9._-]+)==([^\s;]+)( ; [^\\\n]*)?", REQUIREMENTS.read_text(), re.MULTILINE)
    return [(name, version) for name, version, marker in found if _is_for_this(marker)]


def _is_for_this(marker: str) -> bool:
    """Whether a requirement's marker holds on a Linux with this Python."""
    if not marker:
        return True
    from packaging.markers import Marker

    return Marker(marker.removeprefix(" ; ").strip()).evaluate()


def _code() -> Iterator[Path]:
    """The files of the project's own packages, in a fixed order."""
    for package in PACKAGES:
        yield from sorted(file for file in (ROOT / package).rglob("*.py") if "__pycache__" not in file.parts)


def _copy_library(name: str, version: str, target: Path) -> None:
    try:
        library = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        library = None
    if library is None or library.version != version:
        raise BuildError(
            f"{name} is {library.version if library else 'not installed'}, and {REQUIREMENTS.name} of the runner has "
            f"{version}\n    fix: install what the project is tested with: make setup"
        )
    for file in library.files or ():
        if ".." not in file.parts and "__pycache__" not in file.parts:
            _copy(Path(str(file.locate())), target / str(file))


def _copy_python(folder: Path) -> None:
    """This Python: its program, its library of modules, and libpython where it is shared."""
    source, prefix = Path(sysconfig.get_path("stdlib")), folder / PREFIX
    shutil.copytree(source, prefix / "lib" / source.name, ignore=shutil.ignore_patterns(*NOT_NEEDED))
    _copy(Path(sys.executable).resolve(), prefix / "bin" / "python3")
    shared = Path(sysconfig.get_config_var("LIBDIR") or "") / (sysconfig.get_config_var("INSTSONAME") or "")
    if shared.suffix != ".a" and shared.is_file():
        _copy(shared, prefix / "lib" / shared.name)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)
