"""The last blocks of an encoder: where they begin, how they learn apart from the rest, how a captioner keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from captioning_utils.base.backend import in_standard_settings
from captioning_utils.base.errors import InputError
from captioning_utils.base.storage import assign_variables, collect_variables
from captioning_utils.encoders.encoder import (
    HALF_SIZE,
    TWO_SCALES,
    ImageEncoder,
    assemble_encoder,
    cut_backbone,
    summarize,
)

if TYPE_CHECKING:
    import keras


# The layers before each encoder's last block, before its last two, and so on. VGG16's blocks 5 and 4 have 7.1 and 5.9
# million weights, block 3 has 1.5; the last blocks of the others 4.5, 5.3 and 0.8.
CUTS = {
    "vgg16": ("block4_pool", "block3_pool", "block2_pool", "block1_pool"),
    "resnet50": ("conv5_block2_out", "conv5_block1_out", "conv4_block6_out", "conv4_block5_out"),
    "inception_resnet_v2": ("block8_9_ac", "block8_8_ac", "block8_7_ac", "block8_6_ac"),
    "efficientnet_v2_b0": ("block6g_add", "block6f_add", "block6e_add", "block6d_add"),
}
# Layers whose encoders cannot learn, and why.
UNSUITABLE = {
    "fc2": "whose weights are too many to learn",
    HALF_SIZE: "which is computed without the last block",
    TWO_SCALES: "which goes through the encoder twice, and learning is written for once",
}


@in_standard_settings
def split_encoder(encoder: ImageEncoder, blocks: int = 1) -> tuple[ImageEncoder, keras.Model]:
    """Cut an encoder in two before its last blocks; both parts share the encoder's weights.

    Args:
        encoder: `ImageEncoder` of `build_encoder`.
        blocks: int, how many blocks the second part has, at least 1.

    Returns:
        tuple of the *trunk*, an `ImageEncoder` of the maps before the blocks, and the *head*, a `keras.Model` from
        these maps to the encoder's features.

    Raises:
        InputError: for an encoder whose layer is `UNSUITABLE`, or with fewer such blocks.

    Example:
        >>> from captioning_utils.encoders.encoder import build_encoder
        >>> trunk, head = split_encoder(build_encoder("efficientnet_v2_b0", weights=None))
        >>> trunk.output_shape, head.output_shape
        ((7, 7, 192), (None, 49, 1280))
    """
    import keras

    if encoder.layer in UNSUITABLE:
        raise InputError(
            f"the encoder's layer is {encoder.layer}, {UNSUITABLE[encoder.layer]}; train with another layer"
        )
    backbone, cuts = encoder.backbone, CUTS[encoder.name]
    if not 1 <= blocks <= len(cuts):
        raise InputError(f"{blocks} blocks of {encoder.name} cannot learn; give 1 to {len(cuts)}")
    if backbone is None:
        raise InputError("this encoder was made without its backbone; give one of build_encoder or assemble_encoder")
    before = cuts[blocks - 1]
    cut = backbone.get_layer(before).output
    dtype = encoder.encoder_id.dtype
    trunk = assemble_encoder(encoder.name, before, dtype, cut_backbone(backbone, before), encoder.image_size)
    features = keras.ops.cast(backbone.output, "float32")
    head = keras.Model(cut, summarize(features, encoder.name, encoder.layer))
    for layer in head.layers:
        # The statistics of a batch of captions' photos are not those of ImageNet: normalisation stays as it is.
        layer.trainable = not isinstance(layer, keras.layers.BatchNormalization)
    return trunk, head


def collect_blocks(encoder: ImageEncoder, blocks: int) -> dict[str, NDArray[np.float32]]:
    """The weights of an encoder's last blocks: dict of name to float32 array."""
    _, head = split_encoder(encoder, blocks)
    return collect_variables(head.trainable_variables)


@in_standard_settings
def replace_blocks(encoder: ImageEncoder, blocks: int, arrays: Mapping[str, NDArray[Any]]) -> ImageEncoder:
    """Give an encoder the last blocks that `collect_blocks` collected."""
    _, head = split_encoder(encoder, blocks)
    assign_variables("the captioner's encoder", head.trainable_variables, arrays)
    own = encoder.encoder_id
    return assemble_encoder(own.name, own.layer, own.dtype, encoder.backbone, own.image_size, tuned=blocks)
