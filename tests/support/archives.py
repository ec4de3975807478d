"""Archives as programs write them, and as nobody should."""

import io
import tarfile
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

ENDINGS = (".zip", ".tar", ".tar.gz", ".tar.bz2", ".tar.xz")
"""An ending for each format."""

_LOCAL, _CENTRAL = b"PK\x03\x04", b"PK\x01\x02"


def list_files(folder: Path) -> dict[str, bytes]:
    """The files below a folder, by path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def write_archive(path: Path, files: Mapping[str, bytes] | Iterable[tuple[str, bytes]]) -> Path:
    """An archive in the format that its name ends with; names that occur twice need pairs."""
    pairs = list(files.items() if isinstance(files, Mapping) else files)
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in pairs:
                archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
        return path
    with tarfile.open(path, f"w:{path.suffix.removeprefix('.').replace('tar', '')}") as opened:  # type: ignore[call-overload]
        for name, content in pairs:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            opened.addfile(info, io.BytesIO(content))
    return path


def write_large_listing(path: Path) -> Path:
    """A zip whose list of files takes 20 MB of memory. All its files have the same fault."""
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(300):
            info = zipfile.ZipInfo(f"{number}.zip")
            info.comment = bytes(65535)
            archive.writestr(info, b"")
    return path


def write_special(path: Path, name: str, kind: bytes) -> Path:
    """A tar with a plain file and one of another type."""
    with tarfile.open(path, "w") as opened:
        opened.addfile(tarfile.TarInfo("a"))
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, "a"
        opened.addfile(info)
    return path


def set_in_headers(path: Path, name: str, *, local: int | None, central: int, value: int, width: int = 2) -> Path:
    """Change a number in the headers of one file of a zip, at offsets from their starts."""
    content = bytearray(path.read_bytes())
    for magic, length, at in ((_LOCAL, 30, local), (_CENTRAL, 46, central)):
        found = -1
        while (found := content.find(magic, found + 1)) >= 0:
            if at is not None and content[found + length :].startswith(name.encode()):
                content[found + at : found + at + width] = value.to_bytes(width, "little")
    path.write_bytes(content)
    return path


def encrypt(path: Path, *names: str) -> Path:
    """A zip whose headers say that these files are encrypted."""
    for name in names:
        set_in_headers(path, name, local=6, central=8, value=1)
    return path
