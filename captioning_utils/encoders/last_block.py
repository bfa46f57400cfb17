"""The last block of an encoder: where it begins, how it is trained apart from the rest, how a captioner keeps it."""

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


# The layer before each encoder's last block. The blocks have 7.1, 4.5, 5.3 and 0.8 million weights.
LAST_BEFORE = {
    "vgg16": "block4_pool",
    "resnet50": "conv5_block2_out",
    "inception_resnet_v2": "block8_9_ac",
    "efficientnet_v2_b0": "block6g_add",
}
# Layers that are not fine-tuned, and why.
UNSUITABLE = {
    "fc2": "whose weights are too many to fine-tune",
    HALF_SIZE: "which is computed without the last block",
    TWO_SCALES: "which goes through the encoder twice, and fine-tuning is written for once",
}


@in_standard_settings
def split_encoder(encoder: ImageEncoder) -> tuple[ImageEncoder, keras.Model]:
    """Cut an encoder in two before its last block; both parts share the encoder's weights.

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
    backbone, before = encoder.backbone, LAST_BEFORE[encoder.name]
    if backbone is None:
        raise InputError("this encoder was made without its backbone; give one of build_encoder or assemble_encoder")
    cut = backbone.get_layer(before).output
    dtype = encoder.encoder_id.dtype
    trunk = assemble_encoder(encoder.name, before, dtype, cut_backbone(backbone, before))
    features = keras.ops.cast(backbone.output, "float32")
    head = keras.Model(cut, summarize(features, encoder.name, encoder.layer))
    for layer in head.layers:
        # The statistics of a batch of captions' photos are not those of ImageNet: normalisation stays as it is.
        layer.trainable = not isinstance(layer, keras.layers.BatchNormalization)
    return trunk, head


def collect_last_block(encoder: ImageEncoder) -> dict[str, NDArray[np.float16]]:
    """The weights of an encoder's last block, for a captioner's file: dict of name to float16 array."""
    _, head = split_encoder(encoder)
    return {name: array.astype(np.float16) for name, array in collect_variables(head.trainable_variables).items()}


@in_standard_settings
def replace_last_block(encoder: ImageEncoder, arrays: Mapping[str, NDArray[Any]]) -> ImageEncoder:
    """Give an encoder the last block that `collect_last_block` collected."""
    _, head = split_encoder(encoder)
    assign_variables("the captioner's encoder", head.trainable_variables, arrays)
    dtype = encoder.encoder_id.dtype
    return assemble_encoder(encoder.name, encoder.layer, dtype, encoder.backbone, tuned=True)
