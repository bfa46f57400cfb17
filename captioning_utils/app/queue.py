"""The queue of the page: what several visitors wait for is captioned together, and who finds it full is told so."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from captioning_utils.base.errors import InputError

if TYPE_CHECKING:
    from captioning_utils.captioner import Captioner, ScoredCaption

PLACES = 64  # photos of all visitors that are worked on or wait


@dataclasses.dataclass(eq=False)
class _Request:
    """A photo that a visitor waits for, and what comes of it."""

    captioner: Captioner
    image: NDArray[np.uint8]
    settings: Mapping[str, Any]
    answer: Future[list[ScoredCaption]] = dataclasses.field(default_factory=Future)

    def fits(self, other: _Request) -> bool:
        """Whether both can be in a batch. Samples depend on what else is drawn in it, so each is drawn alone."""
        same = self.captioner is other.captioner and self.settings == other.settings
        return self is other or (same and self.settings.get("temperature") is None)


class CaptionQueue:
    """Captions photos that many threads give, one batch after the other, the longest waiting first.

    There is no thread of its own: of those that wait, one captions a batch for all, then another the next.

    Args:
        places: int, photos that may be in work or wait; one more is refused.
    """

    def __init__(self, places: int = PLACES) -> None:
        self.places = places
        self.networks = threading.Lock()  # held by whoever computes
        self._taken = threading.BoundedSemaphore(places)
        self._waiting: list[_Request] = []

    def __len__(self) -> int:
        """How many photos wait to be captioned, those of the batch that is being computed included."""
        return len(self._waiting)

    @contextlib.contextmanager
    def place(self) -> Iterator[None]:
        """Hold one of the places while a photo is worked on.

        Raises:
            InputError: where all are taken.

        Example:
            >>> queue = CaptionQueue(places=2)
            >>> with queue.place(), queue.place(), queue.place():
            ...     pass
            Traceback (most recent call last):
            captioning_utils.InputError: the queue is full, with 2 photos; try again in a minute
        """
        if not self._taken.acquire(blocking=False):
            raise InputError(f"the queue is full, with {self.places} photos; try again in a minute")
        try:
            yield
        finally:
            self._taken.release()

    def caption(self, captioner: Captioner, image: NDArray[np.uint8], **settings: Any) -> list[ScoredCaption]:
        """Sentences for a photo, as `Captioner.caption_images` gives them; waits until it is its turn.

        Args:
            captioner: `Captioner`.
            image: uint8 `(height, width, 3)` RGB, of the size that its encoder reads.
            **settings: fields of `GenerationConfig`.

        Returns:
            list of `ScoredCaption`, best first.

        Raises:
            InputError: where all places are taken, or as `caption_images`.
        """
        request = _Request(captioner, image, settings)
        with self.place():
            self._waiting.append(request)
            with self.networks:  # whoever gets here works for all that wait, so that it may be done by now
                while not request.answer.done():
                    self._caption_batch()
        return request.answer.result()

    def _caption_batch(self) -> None:
        """Caption the photo that waits longest, and with it those that can be in its batch."""
        batch = [first := self._waiting[0]]
        try:
            most = first.captioner.image_encoder().batch_size
            alike = [each for each in self._waiting if first.fits(each)][:most]
            batch = alike[: 1 << (len(alike).bit_length() - 1)]  # encoders fill batches up to a power of two
            found = first.captioner.caption_images([each.image for each in batch], **first.settings)
            for each, sentences in zip(batch, found, strict=True):
                each.answer.set_result(sentences)
        except Exception as error:
            for each in batch:
                each.answer.set_exception(error)
        finally:
            for each in batch:
                self._waiting.remove(each)
