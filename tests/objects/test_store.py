import socket

import pytest

from medseg.errors import ConfigError, RadiographError
from medseg.objects.store import (
    UnreachableError,
    check_url,
    fingerprint_object,
    is_url,
    name_store,
    read_object,
    remove_object,
    strip_credentials,
    write_object,
)
from tests.support.object_stores import s3_server


@pytest.fixture
def url(tmp_path):
    (tmp_path / "x").write_bytes(b"content")
    write_object("memory://place/x", tmp_path / "x")
    yield "memory://place/x"
    remove_object("memory://place/x")


def test_a_url_has_a_scheme():
    assert all(map(is_url, ("s3://bucket/key", "memory://x", "S3://bucket/key")))
    assert not any(map(is_url, ("a.png", "/a/b.png", "C:/a.png", "a/s3://b", "://x", "")))


@pytest.mark.parametrize(
    ("url", "clean"),
    [
        ("s3://user:password@bucket/key", "s3://bucket/key"),
        ("s3://user:pass/word@bucket/key", "s3://bucket/key"),
        ("https://token@host/a.png", "https://host/a.png"),
        ("az://container/a.png?sv=1&sig=abc", "az://container/a.png"),
        ("https://host/a.png?X-Amz-Credential=a&X-Amz-Signature=b", "https://host/a.png"),
    ],
)
def test_credentials_are_removed(url, clean):
    assert strip_credentials(url) == clean
    with pytest.raises(ConfigError) as raised:
        check_url(url)
    told = f"folder.results: {clean}: has credentials. Remove them, and set them in the environment"
    assert str(raised.value) == told


@pytest.mark.parametrize(
    "url", ["s3://bucket/a@b:c.png", "abfs://container@account.host/a", "http://host:80/a@b", "https://host/a?page=2"]
)
def test_what_is_no_credential_stays(url):
    assert strip_credentials(url) == url


def test_the_store_of_a_url_is_its_bucket():
    assert name_store("s3://bucket/deep/key.png") == "s3://bucket"


def test_an_object_is_what_was_written(url):
    assert read_object(url) == b"content"
    assert fingerprint_object(url)[0] == len(b"content")


def test_the_fingerprint_changes_with_the_object(url, tmp_path):
    before = fingerprint_object(url)
    assert fingerprint_object(url) == before
    (tmp_path / "x").write_bytes(b"changed")
    write_object(url, tmp_path / "x")
    assert fingerprint_object(url) != before


def test_a_folder_is_no_object(url):
    with pytest.raises(RadiographError, match="not a regular file"):
        fingerprint_object("memory://place")


def test_an_object_that_does_not_exist_has_a_reason_and_no_address(url):
    for call in (read_object, fingerprint_object):
        with pytest.raises(FileNotFoundError) as raised:
            call("memory://place/other")
        assert raised.value.strerror == "No such file or directory"
        assert "other" not in str(raised.value)
    remove_object("memory://place/other")


@pytest.mark.parametrize(
    ("url", "message"),
    [("a/b", "is not a URL"), ("nonsense://a/b", "Protocol not supported"), ("gs://a/b", "gs:// is not installed")],
)
def test_places_that_cannot_be_used_are_told_at_once(url, message):
    with pytest.raises(ConfigError, match=message):
        check_url(url)


def test_a_slash_at_the_end_is_dropped():
    assert check_url("memory://place/results/") == "memory://place/results"


@pytest.mark.slow
def test_s3_is_reached_by_the_environment(tmp_path):
    (tmp_path / "x").write_bytes(b"content")
    with s3_server("bucket"):
        write_object("s3://bucket/x", tmp_path / "x")
        assert read_object("s3://bucket/x") == b"content"
        assert fingerprint_object("s3://bucket/x")[0] == 7
        remove_object("s3://bucket/x")
        for name in ("bucket", "missing"):
            with pytest.raises(FileNotFoundError):
                fingerprint_object(f"s3://{name}/x")


@pytest.mark.slow
def test_a_store_that_does_not_answer_says_so(monkeypatch):
    monkeypatch.setattr("s3fs.S3FileSystem.retries", 1)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{closed.getsockname()[1]}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        with pytest.raises(UnreachableError, match=r"cannot be reached or used \(EndpointConnectionError\)"):
            fingerprint_object("s3://bucket/unreachable")
