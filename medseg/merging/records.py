"""Where the journals of several shards have the record of a file."""

from medseg.folder.index import Place, Table, indexing


class RecordTable(Table):
    """The shard and the place in its journal of each file's record, by the id of the file."""

    def __init__(self) -> None:
        super().__init__("id TEXT PRIMARY KEY, shard INTEGER, start INTEGER, length INTEGER")
        self.recurring: dict[tuple[int, int], str] = {}
        """Two shards that have results of one file -> the id of the first such file."""

    def add(self, id: str, shard: int, place: Place) -> None:
        """Add the record of a file. Raises `StorageError`."""
        with indexing():
            added = self._database.execute("INSERT OR IGNORE INTO found VALUES (?, ?, ?, ?)", (id, shard, *place))
        if added.rowcount == 0 and (known := self.find(id)) is not None:
            self.recurring.setdefault((known[0], shard), id)

    def find(self, id: str) -> tuple[int, Place] | None:
        """The shard and the place of a record; None if there is none."""
        with indexing():
            found = self._database.execute("SELECT shard, start, length FROM found WHERE id = ?", (id,)).fetchone()
        return None if found is None else (found[0], (found[1], found[2]))
