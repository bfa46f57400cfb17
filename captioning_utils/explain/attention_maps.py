"""Where a captioner looks: for every word of a caption, how its attention is spread over the photo."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from keras import ops
from numpy.typing import NDArray

from captioning_utils.base.backend import in_standard_settings
from captioning_utils.base.errors import InputError
from captioning_utils.decoders.base import CaptionDecoder
from captioning_utils.images import ImageSource, load_image
from captioning_utils.text import clean_caption

if TYPE_CHECKING:
    from captioning_utils.captioner import Captioner


@dataclass(frozen=True)
class AttentionMaps:
    """A photo, a caption of it, and for each word the weights over the regions of the photo's grid."""

    words: list[str]  # str, the caption's words and, last, the end word "endseq"
    weights: NDArray[np.float32]  # float32 (num_words, rows, columns), each word's map sums to 1
    image: NDArray[np.uint8]  # uint8 (height, width, 3), RGB, as the encoder saw it
    caption: str  # cleaned


@in_standard_settings
def compute_attention_maps(captioner: Captioner, image: ImageSource, caption: str | None = None) -> AttentionMaps:
    """Where a captioner looks in a photo for each word.

    The map of a word is the look by which the decoder chose it, taken before the word was known. (The attention decoder
    takes it even before it reads the word before.)

    Args:
        captioner: `Captioner` whose decoder attends: `attention` (the weights of its one look a word) or `transformer`
            (those of the last layer, mean of the heads).
        image: path, open file, Pillow image or uint8 `(height, width, 3)` RGB array.
        caption: str, a caption of yours, to see where the captioner would look for it; None takes its own best one.

    Returns:
        `AttentionMaps`.

    Raises:
        InputError: for a decoder without attention, a grid that is not square, or a caption that has no word or too
            many.

    Example:
        >>> from PIL import Image
        >>> from captioning_utils.captioner import PRETRAINED, load_captioner
        >>> compute_attention_maps(load_captioner(PRETRAINED / "flickr8k_merge.h5"), Image.new("RGB", (224, 224)))
        Traceback (most recent call last):
        captioning_utils.InputError: the MergeDecoder has no attention to show; give a captioner with ...

    References:
        Xu et al. 2015, Show, Attend and Tell, figure 3 (arXiv:1502.03044).
    """
    check_attention(captioner.decoder)
    encoder = captioner.image_encoder()
    photo = load_image(image, size=encoder.image_size)
    features = encoder.encode(photo[None])
    if caption is None:
        caption = captioner.caption_features(features)[0][0].caption
    caption = clean_caption(caption, captioner.cleaning)
    if not caption:
        raise InputError("the caption has no word; give one or more, or None for the captioner's own")
    token_ids = captioner.vocabulary.encode(caption)
    weights = compute_attention_weights(captioner.decoder, features[0], token_ids)
    end_word = captioner.vocabulary.words[captioner.vocabulary.end_id]
    return AttentionMaps([*caption.split(), end_word], weights, photo, caption)


@in_standard_settings
def compute_attention_weights(
    decoder: CaptionDecoder, features: NDArray[Any], token_ids: Sequence[int]
) -> NDArray[np.float32]:
    """The attention of a decoder for each token of one caption, as maps over the photo's grid.

    Args:
        decoder: `CaptionDecoder` with attention.
        features: float `(num_regions, feature_dim)`, the grid of one photo, row by row.
        token_ids: list of int, start and end token included, as `Vocabulary.encode` gives them.

    Returns:
        float32 `(len(token_ids) - 1, rows, columns)`: a map for each token behind the start token, which sums to 1.

    Raises:
        InputError: for a decoder without attention, a grid that is not square, or more tokens than it has positions.

    Example:
        >>> from captioning_utils.decoders import build_decoder
        >>> decoder = build_decoder("attention", vocabulary_size=9, feature_shape=(49, 512))
        >>> compute_attention_weights(decoder, np.ones((49, 512)), [1, 4, 5, 2]).shape
        (3, 7, 7)
    """
    check_attention(decoder)
    side = _grid_side(decoder.config.feature_shape[0])
    longest = decoder.max_length
    if longest and len(token_ids) - 1 > longest:
        raise InputError(f"the caption has {len(token_ids) - 2} words; this captioner reads at most {longest - 1}")
    state = decoder.initial_state(ops.convert_to_tensor(features[None], "float32"))
    maps = []
    for token_id in token_ids[:-1]:
        _, state, weights = decoder.step_with_attention(ops.convert_to_tensor([token_id], "int32"), state)
        maps.append(ops.convert_to_numpy(weights).reshape(side, side))  # (1, num_regions) -> (rows, columns)
    return np.stack(maps)


def check_attention(decoder: CaptionDecoder) -> None:
    """Refuse a decoder that does not look at the regions of a photo anew for every word.

    Example:
        >>> from captioning_utils.decoders import build_decoder
        >>> check_attention(build_decoder("transformer", vocabulary_size=9, feature_shape=(49, 512)))
    """
    if not decoder.has_attention:
        raise InputError(
            f"the {type(decoder).__name__} has no attention to show; give a captioner with the decoder attention or "
            "transformer"
        )


def _grid_side(num_regions: int) -> int:
    """Every encoder's grid is square: photos are squashed to a square before they are encoded."""
    side = math.isqrt(num_regions)
    if side * side != num_regions:
        raise InputError(
            f"{num_regions} regions are no square grid, as 7×7 = 49; give a captioner of an encoder's grid"
        )
    return side
