import pytest

from medseg.errors import StorageError
from medseg.folder.index import Firsts, Places


def test_the_first_id_of_a_digest_is_remembered() -> None:
    with Firsts() as firsts:
        assert firsts.first("aa", "1") is None
        assert firsts.first("bb", "2") is None
        assert firsts.first("aa", "3") == "1"
        assert firsts.first("aa", "4") == "1"


def test_the_latest_place_of_a_key_counts() -> None:
    with Places() as places:
        places.fill([("aa", 0, 5), (None, 5, 3), ("bb", 8, 2), ("aa", 10, 7)])
        assert (places.find("aa"), places.find("bb"), places.find("cc")) == ((10, 7), (8, 2), None)
        assert list(places) == [(8, 2), (10, 7)]


def test_a_table_that_cannot_be_written_is_a_full_disk() -> None:
    places = Places()
    places.close()
    with pytest.raises(StorageError, match=r"the temporary index could not be written: .*TMPDIR"):
        places.fill([("aa", 0, 5)])
