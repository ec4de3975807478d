"""The SQLite file of an MLflow store, and its address for MLflow."""

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote

from medseg.errors import ConfigError

_SETTINGS = {"timeout", "isolation_level", "detect_types", "check_same_thread", "cached_statements"}
"""Settings that may follow the `?` in an address, as accepted by SQLAlchemy's pysqlite."""
_SECONDS = 60
"""Longest wait for another process that has locked the file; MLflow itself waits five seconds at its start."""


def read_address(uri: str) -> tuple[Path, str]:
    """The absolute file behind `sqlite:///FILE?SETTINGS`, and the settings with their `?`, empty if there are none.

    As in SQLAlchemy, `%25` stands for `%` and `%3F` for `?`. Raises `ConfigError` for an address without a file, or
    with anything but settings after a `?`.
    """
    name, mark, query = uri.partition(":///")[2].partition("?")
    if not name or name.startswith(":memory:"):
        raise ConfigError(f"tracking.uri: '{uri}' names no file. Give sqlite:///FILE")
    settings = parse_qsl(query, keep_blank_values=True)
    if mark and not (settings and {key for key, _ in settings} <= _SETTINGS):
        raise ConfigError(
            f"tracking.uri: '{uri}': '{query}' after the ? is not a setting of SQLite. In a file name, write ? as %3F "
            "and % as %25."
        )
    return Path(unquote(name)).absolute(), mark + query


def build_address(database: Path) -> str:
    """The address that SQLAlchemy decodes to `database`. Raises `ConfigError` if there is none.

    A name with `%` or `?` is quoted and gets an explicit driver: with a plain `sqlite:///`, MLflow would create the
    folder with its quoted name, `a%2520b` for `a%20b`.
    """
    from sqlalchemy.engine import make_url

    name = str(database)
    special = not {"%", "?"}.isdisjoint(name)
    address = f"sqlite+pysqlite:///{quote(name, errors='replace')}" if special else f"sqlite:///{name}"
    if not _is_unicode(name) or make_url(address).database != name:
        raise ConfigError(
            f"tracking.uri: MLflow cannot open the database {name!r}, because its path contains characters that "
            "a database URI cannot contain. Rename the folder, or choose another file with "
            "tracking.uri=sqlite:///FILE."
        )
    return address


def check_database(database: Path) -> None:
    """Read the file once, after waiting for another process; raises `sqlite3.Error` if it is not a database.

    MLflow would retry for minutes before it reports the error.
    """
    with closing(sqlite3.connect(database, timeout=_SECONDS)) as connection:
        connection.execute("PRAGMA schema_version").fetchone()


def _is_unicode(name: str) -> bool:
    """Whether the name is valid Unicode. Python represents bytes of another encoding as lone surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in name)
