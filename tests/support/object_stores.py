"""An S3 server on loopback, and the environment in which programs find it."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from unittest.mock import patch
from urllib.request import Request, urlopen

from moto.server import ThreadedMotoServer

KEY, SECRET = "AKIAMEDSEGTESTS", "secret-of-the-tests"
"""Credentials, which must not appear in any output."""


@contextmanager
def s3_server(bucket: str) -> Iterator[Mapping[str, str]]:
    """A server with an empty bucket. Within the block, this process has its environment, too."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it logs each request
    server = ThreadedMotoServer("127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    urlopen(Request(f"http://{host}:{port}/moto-api/reset", method="POST")).close()  # servers of a process share state
    found = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    try:
        with patch.dict("os.environ", found):
            open_store().mkdir(bucket)
            yield found
    finally:
        server.stop()


def open_store():
    """The S3 of this process's environment, as fsspec has it."""
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()  # an earlier server had another port
    return s3fs.S3FileSystem(use_listings_cache=False)
