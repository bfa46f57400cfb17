"""Pretrained image encoders: photos in, features out, with an identity that says exactly how they were made."""

from __future__ import annotations

import contextlib
import hashlib
import math
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from captioning_utils.base.backend import has_accelerator, in_standard_settings
from captioning_utils.base.errors import InputError
from captioning_utils.base.types import AnyPath, Tensor
from captioning_utils.base.wording import one_line
from captioning_utils.encoders.encoder_id import EncoderId
from captioning_utils.encoders.vgg16_arrays import KerasFile, load_vgg16_arrays
from captioning_utils.encoders.weights import find_keras_weights, find_vgg16_weights

if TYPE_CHECKING:
    import keras


DEFAULT_ENCODER, DEFAULT_LAYER = "vgg16", "grid"
DTYPES = ("float32", "bfloat16")
TWO_SCALES = "two_scales"  # the layer for which a photo is seen twice, at the usual and at twice the usual size
HALF_SIZE = "half_size"  # the layer for which a photo is seen at half the usual size
SIZED_LAYERS = (TWO_SCALES, HALF_SIZE, "fc2")  # whose photos have one size
LARGEST_SIZE = 1024  # pixels a side of a photo
LARGEST_BATCH = 32  # photos per call of the model; more at once is no faster on a CPU
_FLOAT16_MAX = 65504.0


# ---- from a map of features to what the decoder gets; each takes and gives float32 tensors


def _as_grid(features: Tensor) -> Tensor:
    """(batch, rows, columns, feature_dim) → (batch, num_regions, feature_dim), row by row."""
    from keras import ops

    _, rows, columns, feature_dim = features.shape
    return ops.reshape(features, (-1, rows * columns, feature_dim))


def _mean(features: Tensor) -> Tensor:
    from keras import ops

    return ops.mean(features, axis=(1, 2))


def _unchanged(features: Tensor) -> Tensor:
    return features


# What every encoder can give from its last map of features, by the name of `layer`.
POOLINGS = {"grid": _as_grid, TWO_SCALES: _as_grid, "avg": _mean}


@dataclass(frozen=True)
class EncoderSpec:
    """What sets one encoder apart from the next."""

    application: str  # its name in keras.applications
    module: str  # the module there that holds its preprocess_input
    image_size: tuple[int, int]  # (height, width) in pixels, the usual size
    grid_layer: str  # the Keras layer with the last map of features
    preprocessing: str  # what preprocess_input does, as a word for the fingerprint
    weights_file: KerasFile | None = None  # None: VGG16, which has roads of its own
    # layer name to the Keras layer it is taken from and how that is summarised
    extra_layers: dict[str, tuple[str, Callable[[Tensor], Tensor]]] = field(default_factory=dict)

    @property
    def layers(self) -> tuple[str, ...]:
        """The names that `layer` can have: tuple of str."""
        return (*POOLINGS, *self.extra_layers)

    def photo_size(self, layer: str) -> tuple[int, int]:
        """The size of the photos that are encoded for a layer: (height, width) in pixels."""
        height, width = self.image_size
        if layer == HALF_SIZE:
            return height // 2, width // 2
        return (2 * height, 2 * width) if layer == TWO_SCALES else (height, width)


ENCODERS = {
    "vgg16": EncoderSpec(
        "VGG16",
        "vgg16",
        (224, 224),
        "block5_pool",
        "caffe",
        extra_layers={
            HALF_SIZE: ("block4_pool", _as_grid),
            "block5_conv3": ("block5_conv3", _as_grid),
            "fc2": ("fc2", _unchanged),
        },
    ),
    "resnet50": EncoderSpec(
        "ResNet50",
        "resnet50",
        (224, 224),
        "conv5_block3_out",
        "caffe",
        KerasFile("resnet/resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5", "4d473c1dd8becc155b73f8504c6f6626"),
    ),
    "inception_resnet_v2": EncoderSpec(
        "InceptionResNetV2",
        "inception_resnet_v2",
        (299, 299),
        "conv_7b_ac",
        "tf",
        KerasFile(
            "inception_resnet_v2/inception_resnet_v2_weights_tf_dim_ordering_tf_kernels_notop.h5",
            "d19885ff4a710c122648d3b5c3b684e4",
        ),
    ),
    "efficientnet_v2_b0": EncoderSpec(
        "EfficientNetV2B0",
        "efficientnet_v2",
        (224, 224),
        "top_activation",
        "torch",  # its model starts with the scaling; its preprocess_input changes nothing
        KerasFile("efficientnet_v2/efficientnetv2-b0_notop.h5", "893217f2bb855e2983157299931e43ff"),
    ),
}


class ImageEncoder:
    """A pretrained network that turns photos into features; made by `build_encoder`.

    Attributes:
        name: str, of `ENCODERS`.
        layer: str, what is taken from the network.
        image_size: `(height, width)` in pixels that `encode` expects.
        batch_size: int, photos per call of the model at the most.
        output_shape: `(feature_dim,)` of pooled features or `(num_regions, feature_dim)` of a grid.
        encoder_id: `EncoderId`, how the features are made. Features go together when those of their encoders are equal.
        fingerprint: str, the same as one readable line, for example
            `vgg16 avg float32 224x224 bilinear caffe weights:a0f3b31f611d6c7a`.
        model: `keras.Model`, photos as `encode` takes them → float32 features; for export.
        backbone: `keras.Model` from preprocessed pixels to the map of features, before any pooling.
    """

    def __init__(
        self,
        name: str,
        layer: str,
        dtype: str,
        model: keras.Model,
        backbone: keras.Model | None = None,
        tuned: int = 0,
    ) -> None:
        spec = ENCODERS[name]
        self.name = name
        self.layer = layer
        self.image_size = tuple(model.input_shape[1:3])
        area = math.prod(self.image_size) / math.prod(spec.image_size)
        fewer = area > 2 and not has_accelerator()  # of large photos, for the same memory; a GPU has enough
        self.batch_size = LARGEST_BATCH // 4 if fewer else LARGEST_BATCH
        self.output_shape = tuple(model.output_shape[1:])
        weights = compute_weights_hash(model.get_weights())[:16]
        self.encoder_id = EncoderId(name, layer, dtype, self.image_size, spec.preprocessing, weights, tuned)
        self.fingerprint = str(self.encoder_id)
        self.backbone = backbone
        self.model = model

    @in_standard_settings
    def encode(self, images: NDArray[np.uint8]) -> NDArray[np.float16]:
        """Compute the features of a batch of photos.

        Args:
            images: uint8 `(batch, height, width, 3)`, RGB, 0–255, of the encoder's `image_size`; see
                `load_image(photo, size=encoder.image_size)`. Batches of any size are cut into pieces.

        Returns:
            float16 `(batch, *output_shape)`; what float16 cannot hold becomes its largest number, ±65504.

        Raises:
            InputError: when the images are not such an array, or the features are not numbers.
        """
        expected = (*self.image_size, 3)
        if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.shape[1:] != expected:
            received = getattr(images, "dtype", type(images).__name__), getattr(images, "shape", "")
            raise InputError(
                f"{self.name} takes uint8 photos (batch, {', '.join(map(str, expected))}), got "
                f"{received[0]} {received[1]}; use load_image(photo, size=encoder.image_size)"
            )
        pieces = [images[start : start + self.batch_size] for start in range(0, len(images), self.batch_size)]
        features = [self._encode_piece(piece) for piece in pieces]
        return np.concatenate([np.zeros((0, *self.output_shape), np.float16), *features])

    def _encode_piece(self, images: NDArray[np.uint8]) -> NDArray[np.float16]:
        # Padded to 1, 2, 4, … photos, so six sizes are compiled at most; for a GPU, which computes in no time, two.
        size = self.batch_size if len(images) > 1 and has_accelerator() else 1 << (len(images) - 1).bit_length()
        padding = size - len(images)
        padded = np.concatenate([images, np.zeros((padding, *images.shape[1:]), np.uint8)])
        features = np.asarray(self.model.predict_on_batch(padded))[: len(images)]
        if np.isnan(features).any():
            raise InputError(f"{self.name} gave features that are not numbers; delete its weights file, it is damaged")
        return np.clip(features, -_FLOAT16_MAX, _FLOAT16_MAX).astype(np.float16)


@in_standard_settings
def build_encoder(
    name: str = DEFAULT_ENCODER,
    layer: str = DEFAULT_LAYER,
    dtype: str = "float32",
    weights_path: AnyPath | None = None,
    weights: str | None = "imagenet",
    image_size: int | None = None,
) -> ImageEncoder:
    """Build a pretrained encoder.

    Layers of every encoder, taken from the last map of features (VGG16: `block5_pool`, 7×7):
    `grid` (each region by itself), `two_scales` (each region, and beside it the maximum of the four that the photo has
    there at twice the size: five times the work), `avg` (mean over the regions). VGG16 has three more: `half_size`, the
    7×7 grid that the earlier `block4_pool` has of the photo at half the size (a quarter of the work; colours and
    numbers are plainer there than meanings); `block5_conv3`, the 14×14 grid before the last pooling; and `fc2`, 4096
    numbers of the dense top, whose weights only Keras's download has.

    Args:
        name: str, of `ENCODERS`.
        layer: str, of `ENCODERS[name].layers`.
        dtype: "float32", or "bfloat16": about twice as fast where the processor computes in it (avx512_bf16,
            amx_bf16, GPUs), much slower elsewhere, and less exact (under 1 % on VGG16).
        weights_path: str or `Path` of a weights file to use; None looks for it, see `encoders.weights`.
        weights: "imagenet", or None for fixed random numbers, for trials and tests.
        image_size: int, height and width in pixels of the photos, a multiple of 32; None is the encoder's usual size.
            With 448 instead of 224 a grid has four times the regions, and the work is four times as much.

    Returns:
        `ImageEncoder`.

    Raises:
        InputError: for an unknown name, layer, dtype or size, or when the weights cannot be had.

    Example:
        >>> encoder = build_encoder("efficientnet_v2_b0", "avg", weights=None)
        >>> encoder.output_shape
        (1280,)
        >>> encoder.encode(np.zeros((2, 224, 224, 3), np.uint8)).shape
        (2, 1280)
    """
    _check(name, layer, dtype, weights)
    size = _photo_size(name, layer, image_size)
    backbone = _build_backbone(ENCODERS[name], layer, dtype, size)
    if weights is None:
        _fill_with_fixed_noise(backbone)
    else:
        _load_weights(backbone, name, layer, weights_path)
    last, _ = ENCODERS[name].extra_layers.get(layer, (ENCODERS[name].grid_layer, None))
    return assemble_encoder(name, layer, dtype, cut_backbone(backbone, last), size)


@in_standard_settings
def assemble_encoder(
    name: str, layer: str, dtype: str, backbone: keras.Model, size: tuple[int, int], tuned: int = 0
) -> ImageEncoder:
    """An encoder around a network that has its weights already."""
    return ImageEncoder(name, layer, dtype, _add_ends(backbone, name, layer, size), backbone, tuned)


@in_standard_settings
def recast_encoder(encoder: ImageEncoder, dtype: str) -> ImageEncoder:
    """A copy of an encoder, with weights of its own, that computes in another of `DTYPES`."""
    own, spec = encoder.encoder_id, ENCODERS[encoder.name]
    if encoder.backbone is None:
        raise InputError("this encoder was made without its backbone; give one of build_encoder")
    last, _ = spec.extra_layers.get(own.layer, (spec.grid_layer, None))
    backbone = cut_backbone(_build_backbone(spec, own.layer, dtype, own.image_size), last)
    backbone.set_weights(encoder.backbone.get_weights())
    return assemble_encoder(own.name, own.layer, dtype, backbone, own.image_size, own.tuned)


def cut_backbone(backbone: keras.Model, layer: str) -> keras.Model:
    """The part of a network up to a layer (str, Keras's name); `keras.Model` that shares its weights."""
    import keras

    return keras.Model(backbone.input, backbone.get_layer(layer).output)


def summarize(features: Tensor, name: str, layer: str) -> Tensor:
    """Turn the map of features of the encoder `name` into what `layer` asks for; float32 tensor in and out."""
    _, summary = ENCODERS[name].extra_layers.get(layer, ("", POOLINGS.get(layer, _unchanged)))
    return summary(features)


def compute_weights_hash(arrays: Iterable[NDArray[Any]]) -> str:
    """SHA-256 over a network's arrays, whatever their order, so that no Keras version changes it.

    Example:
        >>> a, b = np.zeros(2), np.ones((2, 2))
        >>> compute_weights_hash([a, b]) == compute_weights_hash([b, a])
        True
    """
    digests = sorted(hashlib.sha256(np.ascontiguousarray(array, "<f4").data).digest() for array in arrays)
    return hashlib.sha256(b"".join(digests)).hexdigest()


def _check(name: str, layer: str, dtype: str, weights: str | None) -> None:
    if name not in ENCODERS:
        raise InputError(f"there is no encoder {name!r}; give one of {', '.join(ENCODERS)}")
    allowed = {
        "layer": (layer, ENCODERS[name].layers),
        "dtype": (dtype, DTYPES),
        "weights": (weights, ("imagenet", None)),
    }
    for what, (value, values) in allowed.items():
        if value not in values:
            raise InputError(f"the encoder {name} has no {what} {value!r}; give one of {', '.join(map(str, values))}")


def _photo_size(name: str, layer: str, image_size: int | None) -> tuple[int, int]:
    """The size of the photos that are encoded: (height, width) in pixels."""
    usual = ENCODERS[name].photo_size(layer)
    if image_size is None or (image_size, image_size) == usual:
        return usual
    if layer in SIZED_LAYERS:
        raise InputError(f"photos for the layer {layer} are of {usual[0]} pixels, not {image_size}; leave the size out")
    if type(image_size) is not int or image_size % 32 or not 32 <= image_size <= LARGEST_SIZE:
        raise InputError(f"image_size is {image_size!r:.80}; give a multiple of 32 from 32 to {LARGEST_SIZE} pixels")
    return image_size, image_size


@contextlib.contextmanager
def _dtype_policy(name: str) -> Iterator[None]:
    """keras.applications take no dtype: set the global policy for a moment."""
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _build_backbone(spec: EncoderSpec, layer: str, dtype: str, size: tuple[int, int]) -> keras.Model:
    import keras

    with _dtype_policy("float32" if dtype == "float32" else f"mixed_{dtype}"):
        application = getattr(keras.applications, spec.application)
        shape = (None, None, 3) if layer == TWO_SCALES else (*size, 3)
        return application(include_top=layer == "fc2", weights=None, input_shape=shape)


def _add_ends(backbone: keras.Model, name: str, layer: str, size: tuple[int, int]) -> keras.Model:
    """Photos as uint8 → preprocessing → backbone → float32 → grid or pooled, as one model."""
    import keras

    spec = ENCODERS[name]
    module = getattr(keras.applications, spec.module)
    images = keras.Input((*size, 3), dtype="uint8")
    pixels = module.preprocess_input(keras.ops.cast(images, "float32"))
    features = _look_twice(backbone, pixels) if layer == TWO_SCALES else backbone(pixels)
    model = keras.Model(images, summarize(keras.ops.cast(features, "float32"), name, layer))
    model.jit_compile = keras.backend.backend() == "jax"  # TensorFlow's own kernels are the faster ones on a CPU
    return model


def _look_twice(backbone: keras.Model, pixels: Tensor) -> Tensor:
    """Pixels at twice the usual size → (batch, rows, columns, 2 * feature_dim) of the usual number of regions.

    At the usual size the network sees a whole scene, at twice that size what is small in it.
    """
    from keras import ops

    usual = backbone(ops.average_pool(pixels, 2, strides=2))  # on JAX, Keras has no default for the strides
    closer = ops.max_pool(backbone(pixels), 2, strides=2)
    return ops.concatenate([usual, closer], axis=-1)


def _load_weights(backbone: keras.Model, name: str, layer: str, path: AnyPath | None) -> None:
    if name == "vgg16":
        include_top = layer == "fc2"
        arrays = load_vgg16_arrays(find_vgg16_weights(path, include_top), include_top)
        for layer_name, pair in arrays.items():
            backbone.get_layer(layer_name).set_weights(pair)
        return
    path = path or find_keras_weights(cast("KerasFile", ENCODERS[name].weights_file))  # VGG16 alone has none
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Keras warns a hundred times before the one error
            backbone.load_weights(path)
    except (OSError, ValueError, KeyError, RuntimeError, TypeError) as error:
        reason = one_line(error)[:300]
        raise InputError(f"{path} does not hold {name}'s weights without the top ({reason}); give another") from error


def _fill_with_fixed_noise(backbone: keras.Model) -> None:
    """He-scaled kernels, uniform: the same on every backend and, without a logarithm, with every C library."""
    generator = np.random.default_rng(0)
    for variable in backbone.trainable_variables:
        if len(variable.shape) > 1:
            most = np.sqrt(6.0 / np.prod(variable.shape[:-1]))
            variable.assign((2 * generator.random(variable.shape, dtype=np.float32) - 1) * np.float32(most))
