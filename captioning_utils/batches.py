"""The Python generator that feeds the training: features and token ids in, batches of tuples out."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import keras
import numpy as np
from numpy.typing import NDArray

from captioning_utils.base.errors import InputError
from captioning_utils.base.types import FeatureSource
from captioning_utils.text import pad_captions

Row: TypeAlias = tuple[str, list[int]]
"""One caption to train on: the photo's image_id and the caption's token ids."""
Batch: TypeAlias = tuple[tuple[NDArray[np.float32], NDArray[np.int32]], NDArray[np.int32]]
"""`((features, input_tokens), target_tokens)`."""
# Captions of similar length share a batch: so many batches' worth are drawn at random, then sorted by length. Of
# Flickr8k's positions 2 % are padding then; with rows as long as the longest caption it would be 68 %.
POOL_BATCHES = 64
# On JAX every length is a program of its own, which takes seconds to compile; so lengths are rounded up to a multiple.
LENGTH_STEP = {"jax": 8}


class CaptionBatches(keras.utils.PyDataset):
    """Batches of whole captions for `model.fit`: `((features, input_tokens), target_tokens)`.

    One caption is one row: position `i` of the row predicts token `i + 1` from all tokens before it, so a caption
    of `n` words gives its `n + 1` training pairs in a single pass. (The classic generator makes a row of every prefix
    and runs the decoder over each of them.) Rows are right-padded, so no recurrent layer needs a mask.

    The order depends on `seed` and `epoch` alone, so that an interrupted run can go on with the very batches
    it would have seen.

    Args:
        features: object with `get(image_ids) -> float16 (batch, *feature_shape)`, for example a `FeatureCache`.
        captions: list of `(image_id, token_ids)`; token ids start with the start token and end with the end token.
        batch_size: int, captions per batch, 1 or more.
        shuffle: bool, True for training; False keeps a fixed order (sorted by length, which is quickest).
        seed: int, where the shuffling starts.

    Raises:
        InputError: where there is no caption, or a caption has fewer than two tokens.

    Example:
        >>> class TwoPhotos:
        ...     def get(self, image_ids):
        ...         return np.ones((len(image_ids), 512), "float16")
        >>> batches = CaptionBatches(TwoPhotos(), [("a.jpg", [1, 4, 2]), ("b.jpg", [1, 5, 6, 2])], batch_size=2)
        >>> (features, input_tokens), target_tokens = batches[0]
        >>> features.shape, input_tokens.tolist(), target_tokens.tolist()
        ((2, 512), [[1, 4, 0], [1, 5, 6]], [[4, 2, 0], [5, 6, 2]])

    References:
        https://keras.io/api/utils/python_utils/#pydataset-class
    """

    def __init__(
        self,
        features: FeatureSource,
        captions: Sequence[Row],
        batch_size: int,
        shuffle: bool = False,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not captions:
            raise InputError("there is no caption to make batches of; check the dataset's splits")
        if batch_size < 1:
            raise InputError(f"batch_size is {batch_size}; give 1 or more captions per batch")
        self.lengths = np.array([len(token_ids) for _, token_ids in captions])
        if self.lengths.min() < 2:
            raise InputError("a caption holds fewer than two tokens; encode captions with Vocabulary.encode")
        self.features = features
        self.captions = captions
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.start(epoch=0)

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, index: int) -> Batch:
        rows = [self.captions[row] for row in self._batches[index]]
        length = self._padded_length(index)
        input_tokens = pad_captions([token_ids[:-1] for _, token_ids in rows], length)
        target_tokens = pad_captions([token_ids[1:] for _, token_ids in rows], length)
        features = self.features.get([image_id for image_id, _ in rows]).astype("float32")
        return (features, input_tokens), target_tokens

    def on_epoch_end(self) -> None:
        """Keras calls this between epochs: the next epoch gets its own order."""
        self.start(self.epoch + 1)

    def start(self, epoch: int) -> None:
        """Arrange the batches of epoch number `epoch` (int, from 0); for going on with an interrupted run."""
        self.epoch = epoch
        self._arrange()

    def photos_of(self, index: int) -> list[str]:
        """The image_ids of a batch of this epoch, each once; list of str."""
        return list(dict.fromkeys(self.captions[row][0] for row in self._batches[index]))

    def _arrange(self) -> None:
        """Cut the captions into batches of similar length, in an order set by (seed, epoch)."""
        if self.shuffle:
            self._batches = self._shuffled()
        else:
            self._batches = self._cut(np.argsort(self.lengths, kind="stable"))

    def _shuffled(self) -> list[NDArray[np.int64]]:
        rng = np.random.default_rng((self.seed, self.epoch))
        order = rng.permutation(len(self.captions))
        pool = self.batch_size * POOL_BATCHES
        pools = [order[start : start + pool] for start in range(0, len(order), pool)]
        batches = [batch for pool in pools for batch in self._cut(pool[self._by_length(pool)])]
        return [batches[i] for i in rng.permutation(len(batches))]

    def _padded_length(self, index: int) -> int:
        """A batch's length: at least one less than its longest caption's, since the last token is never an input."""
        step = LENGTH_STEP.get(keras.backend.backend(), 1)
        length = -(-(self.lengths[self._batches[index]].max() - 1) // step) * step
        # Keras reads the first two batches to learn which axes vary, and refuses another length if those agree.
        return length + step if index == 1 and length == self._padded_length(0) else length

    def _by_length(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.argsort(self.lengths[rows], kind="stable")

    def _cut(self, rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        return [rows[start : start + self.batch_size] for start in range(0, len(rows), self.batch_size)]
