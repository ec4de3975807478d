"""A folder of everything that can go wrong with files: what a hospital's disk, or an attacker, may hold.

`write_malformed_folder` says for each path what must become of it; where either of two is right, both stand with a `|`
between them:

- `done`: predicted, with exactly the mask of the phantom
- `close`: predicted, with the mask of the phantom but for a few pixels (fewer bits, lossy compression)
- `other`: predicted; what the file says is another picture than the phantom
- `skipped`, `rejected`: as in the report
"""

import os
import socket
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from medseg.folder.journal import JOURNAL_MARK, JOURNAL_NAME
from medseg.output.dicom_seg import Maker, read_reference, write_segmentation
from medseg.output.images import write_mask_nifti, write_mask_png
from medseg.output.overlay import write_overlay
from tests.support import malformed_colors, malformed_headers, malformed_images, malformed_values
from tests.support.dicom_bytes import FORMATS, PIXELS, element, meta, picture, us

Expected = dict[bytes, str]

GOOD = b"headers/good/native.dcm"
"""The phantom as a plain DICOM file."""
HUGE = b"sizes/valid.dcm"
"""A picture that is right and takes more than 0.6 GiB to read."""

_NATIVE = FORMATS["native"]
_NAMES = (
    *(b"n" * 255, b"new\nline.dcm", b"\r\n", b"\t", b" ", b"trailing ", b".hidden.dcm", b"..dcm", b"a\\b.dcm"),
    *(b"-rf", b"--help", b"=cmd()", b"=1+1.dcm", b"+1.dcm", b"@SUM(A1).dcm", b"%41%00.dcm", b"%", b"%n%s", b"a,b;c"),
    *(b"caf\xe9.dcm", b"\xff\xfe\x80", "写真.dcm".encode("shift_jis"), "写真.dcm".encode(), b"\xed\xa0\x80.dcm"),
    *("é.dcm".encode(), "e\u0301.dcm".encode(), "a\u202emcd.exe".encode(), b"\x1b[31mred", b"\x7f\x01"),
    *(b"$(id)", b"`id`", b"'\"", b"*", b"?", b"~", b"#", b"a.dcm", b"A.dcm", b"CON", b"__pycache__", b"{0}", b"<b>"),
)


def write_malformed_folder(root: Path) -> Expected:
    """Write everything below `root`, and beside it what links lead to. Root may need `rm -r` in the end."""
    expected: Expected = {}
    for module in (malformed_headers, malformed_values, malformed_colors, malformed_images):
        for family in module.FAMILIES:
            place = Path(module.__name__.rpartition("_")[2]) / family.__name__
            (root / place).mkdir(parents=True)
            for name, data, outcome in family():
                path = root / place / name
                assert not path.exists(), path
                path.write_bytes(data)
                expected[os.fsencode(place / name)] = outcome
    for write in (_write_names, _write_depths, _write_links, _write_specials, _write_sizes, _write_own_results):
        place = root / write.__name__.removeprefix("_write_")
        place.mkdir()
        expected |= {os.fsencode(place.name) + b"/" + name: outcome for name, outcome in write(place)}
    return expected


def _write_names(place: Path) -> Iterator[tuple[bytes, str]]:
    """Good files of evil names, in evil folders, and two of one name."""
    for name in _NAMES:
        (place / os.fsdecode(name)).write_bytes(_NATIVE)
        yield name, "done"
    for folder in (b"one", b"two", b"new\nline", b"-", b"=1", b"\xff", b"f" * 255, b"x.dcm"):
        (place / "folders" / os.fsdecode(folder)).mkdir(parents=True)
        (place / "folders" / os.fsdecode(folder) / "IMG0001").write_bytes(_NATIVE)
        yield b"folders/" + folder + b"/IMG0001", "done"
    (place / "empty folder").mkdir()


def _write_depths(place: Path) -> Iterator[tuple[bytes, str]]:
    """Folders 1000 deep, and so deep that no path leads there."""
    deepest = _make_deep(place, [b"d"] * 1000)
    yield deepest + b"/a.dcm", "done"
    name, reached = b"l" * 200, b""
    _make_deep(place, [name] * 30)
    while len(os.fsencode(place)) + len(reached) + 1 < os.pathconf(place, "PC_PATH_MAX"):
        reached = reached + b"/" + name if reached else name
    yield reached, "rejected"


def _make_deep(place: Path, names: list[bytes]) -> bytes:
    """Folders within folders, the innermost with a good file; its path from `place`."""
    folder = os.open(place, os.O_RDONLY)
    for name in names:
        os.mkdir(name, dir_fd=folder)
        inner = os.open(name, os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = inner
    with open("a.dcm", "wb", opener=lambda path, flags: os.open(path, flags, dir_fd=folder)) as file:
        file.write(_NATIVE)
    os.close(folder)
    return b"/".join(names)


def _write_links(place: Path) -> Iterator[tuple[bytes, str]]:
    """Links to whatever a link can lead to."""
    outside = place.parent.parent / "outside"
    outside.mkdir()
    (outside / "a.dcm").write_bytes(_NATIVE)
    os.mkfifo(outside / "fifo")
    (place / "folder").mkdir()
    for name, target, outcome in (
        ("file.dcm", f"../{os.fsdecode(GOOD)}", "done"),
        ("to-link.dcm", "file.dcm", "done"),
        ("outer-file", outside / "a.dcm", "done"),
        ("text", "/etc/passwd", "skipped"),
        ("text.dcm", "/etc/passwd", "rejected"),
        ("dangling.dcm", "nowhere", "rejected"),
        ("through-file.dcm", "file.dcm/a", "rejected"),
        ("self.dcm", "self.dcm", "rejected"),
        ("loop-a.dcm", "loop-b.dcm", "rejected"),
        ("loop-b.dcm", "loop-a.dcm", "rejected"),
        ("zero.dcm", "/dev/zero", "rejected"),
        ("tty.dcm", "/dev/tty", "rejected"),
        ("fifo.dcm", outside / "fifo", "rejected"),
        ("folder-again", "folder", "skipped"),
        ("here.dcm", ".", "rejected"),
        ("up", "..", "rejected"),
        ("root", place.parent, "rejected"),
        ("system", "/", "rejected"),
    ):
        (place / name).symlink_to(target)
        yield name.encode(), outcome
    (place / "outer").symlink_to(outside)  # walked under this name
    yield b"outer/a.dcm", "done"
    yield b"outer/fifo", "rejected"
    (place / "outer-again").symlink_to(outside)
    yield b"outer-again", "skipped"


def _write_specials(place: Path) -> Iterator[tuple[bytes, str]]:
    """What is no regular file, what is two of them, and what must not be read."""
    os.mkfifo(place / "fifo.dcm")
    yield b"fifo.dcm", "rejected"
    folder = os.open(place, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"/proc/self/fd/{folder}/socket.dcm")  # the path of a socket has 108 bytes at most
    os.close(folder)
    yield b"socket.dcm", "rejected"
    for name, kind, device in (("zero", stat.S_IFCHR, (1, 5)), ("disk", stat.S_IFBLK, (7, 0))):
        try:
            os.mknod(place / name, 0o600 | kind, os.makedev(*device))
        except PermissionError:
            continue
        yield name.encode(), "rejected"
    (place / "first.dcm").write_bytes(_NATIVE)
    (place / "hard link.dcm").hardlink_to(place / "first.dcm")
    yield from ((b"first.dcm", "done"), (b"hard link.dcm", "done"))
    (place / "locked.dcm").write_bytes(_NATIVE)
    (place / "locked.dcm").chmod(0)
    may_read = os.access(place / "locked.dcm", os.R_OK)  # as root may
    yield b"locked.dcm", "done" if may_read else "rejected"
    (place / "locked").mkdir()
    (place / "locked" / "a.dcm").write_bytes(_NATIVE)
    (place / "locked").chmod(0)
    yield b"locked/a.dcm" if may_read else b"locked", "done" if may_read else "rejected"


def _write_sizes(place: Path) -> Iterator[tuple[bytes, str]]:
    """Files that are large, most of them sparse."""
    for name, size, outcome in (
        ("3GB.dcm", 3 << 30, "rejected"),
        ("3GB", 3 << 30, "skipped"),
        ("zeros.dcm", 300 << 20, "rejected"),
        ("zeros", 300 << 20, "skipped"),
        ("zeros.nii.gz", 30 << 20, "rejected"),
    ):
        with (place / name).open("wb") as file:
            file.truncate(size)
        yield name.encode(), outcome
    for name, data in {"zeros-behind-meta.dcm": meta(), "zeros-behind-head.dcm": _NATIVE[: len(meta()) + 200]}.items():
        with (place / name).open("wb") as file:
            file.write(data)
            file.truncate(20 << 20)
        yield name.encode(), "rejected"
    side = 9900
    huge = picture({"Rows": us(side), "Columns": us(side), "PixelData": None})
    for name, cells in {"valid.dcm": side * side, "cut.dcm": side * side - 1}.items():
        with (place / name).open("wb") as file:
            file.write(huge + element("PixelData", ("OW", b"", 2 * side * side)) + PIXELS)
            file.truncate(len(huge) + 12 + 2 * cells)
        yield name.encode(), "rejected"


def _write_own_results(place: Path) -> Iterator[tuple[bytes, str]]:
    """Results of this program: single ones, and the folder of an earlier run, of which nothing is met."""
    masks = np.zeros((2, 96, 80), np.bool_)
    masks[0, 20:40, 20:40] = masks[1, 50:60, 10:70] = True
    old = place / "earlier run"
    for folder in (place, old / "png" / "heart"):
        folder.mkdir(parents=True, exist_ok=True)
        write_mask_png(folder / "mask.png", masks[0])
        write_mask_nifti(folder / "mask.nii.gz", masks[0], (0.2, 0.15))
        write_overlay(folder / "overlay.png", np.zeros((96, 80), np.uint8), masks, ("heart", "lungs"))
        maker = Maker("0" * 16, "1" * 16, "2" * 64, datetime(2026, 1, 1, tzinfo=UTC), "1.0")
        with (place.parent / os.fsdecode(GOOD)).open("rb") as file:
            write_segmentation(folder / "seg.dcm", read_reference(file), masks, ("heart", "lungs"), maker)
    (old / JOURNAL_NAME).write_bytes(JOURNAL_MARK + b" 1}\n")
    yield from ((name, "skipped") for name in (b"mask.png", b"mask.nii.gz", b"overlay.png", b"seg.dcm"))
    (place / "other journal").mkdir()
    (place / "other journal" / JOURNAL_NAME).write_text('{"what": "another program\'s"}\n')
    (place / "other journal" / "a.dcm").write_bytes(meta() + _NATIVE[len(meta()) :])
    yield b"other journal/a.dcm", "done"
    yield b"other journal/" + os.fsencode(JOURNAL_NAME), "skipped"
