"""The page under load, a share of `benchmarks/load.py`."""

from captioning_utils.settings import FAST_CAPTIONER


def test_each_of_many_visitors_gets_the_sentences_of_the_own_photo(load, served_page):
    found = load.Load(served_page.address, FAST_CAPTIONER, load.draw_photos(9))
    found.run(10, seconds=0)
    assert found.wrong == []
    assert (len(found.seconds), found.refused, found.full) == (9, 1, 0)
    assert list(served_page.folder.iterdir()) == []
