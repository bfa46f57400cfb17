"""The queue of the page, without a page: many threads, one captioner at a time."""

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from captioning_utils import InputError
from captioning_utils.app.queue import CaptionQueue

PLACES = 10


class Captioner:
    """Says the first pixel of every photo; keeps the size of its batches. Stands in for its encoder, too."""

    batch_size = 4

    def __init__(self):
        self.batches = []

    def image_encoder(self):
        return self

    def caption_images(self, images, **settings):
        self.batches.append(len(images))
        numbers = [int(image[0, 0, 0]) for image in images]
        if 99 in numbers:
            raise InputError("99 is no photo; give another")
        return [[f"{number} {settings.get('beam_size')}"] for number in numbers]


def photo(number):
    return np.full((2, 2, 3), number, np.uint8)


@pytest.fixture
def ask():
    """A function that has all requests (captioner, number, settings) wait before the first is answered."""
    queue = CaptionQueue(PLACES)

    def ask(*requests):
        with ThreadPoolExecutor(len(requests)) as pool:
            with queue.networks:
                futures = []
                for captioner, number, settings in requests:
                    futures.append(pool.submit(queue.caption, captioner, photo(number), **settings))
                    while len(queue) < len(futures) and not futures[-1].done():
                        time.sleep(0.001)
            return [str(future.exception() or future.result()[0]) for future in futures]

    return ask


def test_those_who_wait_for_the_same_are_captioned_together(ask):
    captioner = Captioner()
    assert ask(*((captioner, number, {}) for number in range(7))) == [f"{number} None" for number in range(7)]
    assert captioner.batches == [4, 2, 1]


def test_other_captioners_settings_and_samples_are_not_mixed(ask):
    one, other = Captioner(), Captioner()
    sample = {"temperature": 0.7, "beam_size": 1}
    requests = [(one, 1, {"beam_size": 3}), (other, 2, {"beam_size": 3}), (one, 3, {"beam_size": 5}), (one, 4, sample)]
    requests += [(one, 5, {"beam_size": 3}), (one, 6, sample)]
    assert ask(*requests) == ["1 3", "2 3", "3 5", "4 1", "5 3", "6 1"]
    assert (one.batches, other.batches) == ([2, 1, 1, 1], [1])


def test_who_finds_all_places_taken_is_told_so(ask):
    captioner = Captioner()
    *served, refused = ask(*((captioner, number, {}) for number in range(11)))
    assert served == [f"{number} None" for number in range(10)]
    assert refused == "the queue is full, with 10 photos; try again in a minute"
    assert ask((captioner, 12, {})) == ["12 None"]  # the places are free again


def test_what_goes_wrong_in_a_batch_is_told_to_all_in_it_and_the_next_goes_on(ask):
    numbers = (1, 99, 3, 4, 5)
    refusal = "99 is no photo; give another"
    assert ask(*((Captioner(), 1, {}), (captioner := Captioner(), 99, {}))) == ["1 None", refusal]
    assert ask(*((captioner, number, {}) for number in numbers)) == [*[refusal] * 4, "5 None"]
