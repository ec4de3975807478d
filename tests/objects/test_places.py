import pytest

from medseg.errors import ConfigError, DataError
from medseg.folder.sink import FolderSink
from medseg.folder.source import FolderSource
from medseg.inference.config import InputConfig
from medseg.objects.places import find_sink, find_source
from medseg.objects.sink import ObjectSink
from medseg.objects.source import ManifestSource


def test_a_folder_is_its_own_source(tmp_path):
    limits = InputConfig(dir=tmp_path)
    assert find_source(tmp_path, tmp_path / "out", limits) == FolderSource(tmp_path, tmp_path / "out", limits)


def test_a_folder_may_have_the_name_of_a_manifest(tmp_path):
    (tmp_path / "a.csv").mkdir()
    assert isinstance(find_source(tmp_path / "a.csv", tmp_path / "out", InputConfig(dir=tmp_path)), FolderSource)


def test_a_manifest_is_checked_at_once(tmp_path):
    (tmp_path / "a.csv").write_text("path\n")
    found = find_source(tmp_path / "a.csv", tmp_path / "out", InputConfig(dir=tmp_path))
    assert isinstance(found, ManifestSource)
    assert found.folder.root == tmp_path
    (tmp_path / "a.csv").write_text("image\n")
    with pytest.raises(DataError, match="no column path"):
        find_source(tmp_path / "a.csv", tmp_path / "out", InputConfig(dir=tmp_path))


def test_results_go_to_the_folder_or_to_a_url(tmp_path):
    assert find_sink(tmp_path, None) == FolderSink(tmp_path)
    assert find_sink(tmp_path, "memory://a/b/") == ObjectSink("memory://a/b")
    with pytest.raises(ConfigError, match="is not a URL"):
        find_sink(tmp_path, "results")
