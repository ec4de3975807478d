"""Where files come from and where results go, from the settings."""

from pathlib import Path

from medseg.folder.sink import FolderSink, Sink
from medseg.folder.source import FolderSource, Shard, Source
from medseg.inference.config import MANIFESTS, InputConfig
from medseg.objects.manifest import check_manifest
from medseg.objects.sink import ObjectSink
from medseg.objects.source import ManifestSource
from medseg.objects.store import check_url


def find_source(
    root: Path, output: Path, limits: InputConfig, scratch: Path | None = None, shard: str | None = None
) -> Source:
    """The files of a folder, an archive or a manifest, or one `shard` i/n of them.

    Raises `DataError` for a manifest that cannot be read.
    """
    place = root.absolute()
    is_manifest = place.suffix.lower() in MANIFESTS and place.is_file()
    part = None if shard is None else Shard.parse(shard)
    files = FolderSource(place.parent if is_manifest else place, output.absolute(), limits, scratch, part)
    if not is_manifest:
        return files
    check_manifest(place)
    return ManifestSource(place, files)


def find_sink(output: Path, url: str | None) -> Sink:
    """The folder `output`, or a folder in an object store. Raises `ConfigError` for a URL that cannot be used."""
    return FolderSink(output.absolute()) if url is None else ObjectSink(check_url(url))
