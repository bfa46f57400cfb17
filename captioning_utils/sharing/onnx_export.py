"""A captioner as ONNX graphs, so that it runs without Keras: on a small server, in another language, in a browser.

Three graphs and one JSON file. `encoder.onnx`: photos → features. `start.onnx`: one photo's features → the decoder's
state. `step.onnx`: the last words and the state → logits for the next words and the new state. The search is left to
the program that runs them; `caption.py`, written beside them, is one such program.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from captioning_utils.base.backend import in_standard_settings
from captioning_utils.base.errors import InputError
from captioning_utils.base.files import atomic_write, check_writable, write_json, write_text
from captioning_utils.base.types import AnyPath, Tensor
from captioning_utils.decoders.base import CaptionDecoder, State
from captioning_utils.encoders.encoder import ImageEncoder
from captioning_utils.images import ImageSource, load_image

if TYPE_CHECKING:
    import onnx

    from captioning_utils.captioner import Captioner


Graph: TypeAlias = tuple[Callable[..., dict[str, Tensor]], list[Any]]
"""A function of tensors, and a `tf.TensorSpec` with a name for each of them."""
FORMAT_VERSION = 1
OPSET = 18  # onnxruntime reads it since 1.14; newer ones add nothing that these graphs use
FEWEST_PHOTOS, MOST_PHOTOS = 16, 32  # to calibrate with: 96 gave no smaller error, and take a minute
EXAMPLE = Path(__file__).with_name("onnx_captions.py")
_CATCH_ERRORS = "TF2ONNX_CATCH_ERRORS"


@in_standard_settings
def export_captioner(
    captioner: Captioner,
    folder: AnyPath,
    weights_path: AnyPath | None = None,
    calibration_photos: Sequence[ImageSource] | None = None,
) -> list[Path]:
    """Write a captioner as ONNX graphs, its words and settings as JSON, and a program that uses them.

    Args:
        captioner: `Captioner`.
        folder: str or `Path`, made when missing; files of the same names in it are replaced.
        weights_path: str or `Path` of a file with the encoder's weights; None finds or downloads them.
        calibration_photos: list of photos as `load_image` takes them, at least 16, of the kind that it will see: the
            encoder is then written in 8 bits, see `write_in_8_bits`; of more than 32 photos, 32 are taken, evenly from
            first to last. None keeps float32.

    Returns:
        list of `Path`: encoder.onnx, start.onnx, step.onnx, captioner.json, caption.py.

    Raises:
        InputError: when tf2onnx, or for 8 bits onnxruntime, is not installed, Keras runs on another backend than
            TensorFlow, the encoder's weights cannot be had, the captioner looks at more of the photo than an encoder
            without its dense top, or the photos to calibrate with are too few or cannot be read.
    """
    check_export_is_possible(captioner, calibration_photos)
    photos = None if calibration_photos is None else _load_evenly(calibration_photos, captioner.encoder_id.image_size)
    folder = Path(folder)
    paths = [folder / name for name in ("encoder.onnx", "start.onnx", "step.onnx", "captioner.json", "caption.py")]
    for path in paths:
        check_writable(path)
    encoder = _float32_encoder(captioner, weights_path)
    state = captioner.decoder.initial_state(ops.zeros((1, *encoder.output_shape), "float16"))
    if photos is None:
        _write_graph(paths[0], *encoder_graph(encoder))
    else:
        write_in_8_bits(paths[0], encoder, photos)
    _write_graph(paths[1], *start_graph(captioner.decoder))
    _write_graph(paths[2], *step_graph(captioner.decoder, state))
    write_json(paths[3], _settings(captioner, encoder, state))
    write_text(paths[4], EXAMPLE.read_text(encoding="utf-8"))
    return paths


def check_export_is_possible(captioner: Captioner, calibration_photos: Sequence[ImageSource] | None = None) -> None:
    """Refuse before the work what `export_captioner` cannot do; its errors are listed there."""
    for package in ("tf2onnx", *(() if calibration_photos is None else ("onnxruntime",))):
        if importlib.util.find_spec(package) is None:
            raise InputError(
                f"the export needs the package {package}, which is not installed; run: "
                "python -m pip install 'captioning-utils[export]'"
            )
    if keras.backend.backend() != "tensorflow":
        raise InputError(f"Keras runs on {keras.backend.backend()}; the export needs KERAS_BACKEND=tensorflow")
    if captioner.encoder_id.layer == "fc2":
        raise InputError(
            "this captioner reads VGG16's dense layer fc2, whose export takes more than 20 GB of memory; "
            "train one on the layer grid"
        )
    if calibration_photos is not None and len(calibration_photos) < FEWEST_PHOTOS:
        raise InputError(
            f"8 bits are scaled to what the encoder computes from photos, for which {len(calibration_photos)} are too "
            f"few; give {FEWEST_PHOTOS} or more, best {MOST_PHOTOS}, of the kind that it will see"
        )


def _load_evenly(photos: Sequence[ImageSource], size: tuple[int, int]) -> NDArray[np.uint8]:
    """At most `MOST_PHOTOS` of the photos, from first to last, as the encoder takes them."""
    number = min(len(photos), MOST_PHOTOS)
    return np.stack([load_image(photos[index * len(photos) // number], size) for index in range(number)])


def _float32_encoder(captioner: Captioner, weights_path: AnyPath | None) -> ImageEncoder:
    """The captioner's encoder in float32, for onnxruntime's CPU kernels have no bfloat16."""
    if captioner.encoder_id.dtype == "float32":
        return captioner.image_encoder(weights_path)
    return captioner.build_image_encoder(weights_path, "float32")


def _settings(captioner: Captioner, encoder: ImageEncoder, state: State) -> dict[str, Any]:
    """What a program needs to know beside the graphs."""
    generation = captioner.generation
    return {
        "format_version": FORMAT_VERSION,
        "captioner": captioner.fingerprint,
        "encoder": encoder.fingerprint,
        "image_size": list(encoder.image_size),
        "beam_size": generation.beam_size,
        "max_length": generation.max_length,
        "length_penalty": generation.length_penalty,
        "block_repeats": generation.block_repeats,
        "followers": _list_followers(captioner),
        "longest": captioner.decoder.max_length or 1000,
        "state": sorted(_flatten(state)),  # the order of the graphs' outputs
        "changing_state": sorted(_flatten(State({}, state.words))),
        "words": list(captioner.vocabulary.words),
    }


def _list_followers(captioner: Captioner) -> list[list[int]] | None:
    """For every token those that may follow it, or None where all may."""
    if captioner.pairs is None or not captioner.generation.seen_pairs:
        return None
    first, second = captioner.pairs.T
    return [second[first == token].tolist() for token in range(len(captioner.vocabulary))]


def _flatten(state: State) -> dict[str, Tensor]:
    """A decoder's state by the names that its tensors have in the graphs, where TensorFlow allows no spaces."""
    photo = {f"photo_{name}": value for name, value in state.photo.items()}
    return {name.replace(" ", "_"): value for name, value in (photo | state.words).items()}


def encoder_graph(encoder: ImageEncoder) -> Graph:
    """Photos → features, as the function and the signature that `convert` takes.

    Args:
        encoder: `ImageEncoder`, float32.

    Returns:
        (function, list of `tf.TensorSpec`): images uint8 `(batch, height, width, 3)` → features float16.
    """
    import tensorflow as tf

    largest = float(np.finfo(np.float16).max)

    def encode(images: Tensor) -> dict[str, Tensor]:
        features = encoder.model(images, training=False)
        return {"features": ops.cast(ops.clip(features, -largest, largest), "float16")}

    return encode, [tf.TensorSpec((None, *encoder.image_size, 3), "uint8", name="images")]


def start_graph(decoder: CaptionDecoder) -> Graph:
    """One photo's features → the state before the first word, as `encoder_graph`.

    One photo, because a decoder may ask how many there are while its graph is made.
    """
    import tensorflow as tf

    def start(features: Tensor) -> dict[str, Tensor]:
        return {name: tf.identity(value) for name, value in _flatten(decoder.initial_state(features)).items()}

    return start, [tf.TensorSpec((1, *decoder.config.feature_shape), "float16", name="features")]


def step_graph(decoder: CaptionDecoder, state: State) -> Graph:
    """The last words and the state → logits and the entries of the state that have changed, as `encoder_graph`."""
    import tensorflow as tf

    def step(tokens: Tensor, *values: Tensor) -> dict[str, Tensor]:
        split = len(state.photo)
        photo = dict(zip(state.photo, values[:split], strict=True))
        words = dict(zip(state.words, values[split:], strict=True))
        logits, (_, words) = decoder.step(tokens, State(photo, words))
        changed = _flatten(State({}, words)).items()
        return {"logits": logits} | {f"next_{name}": tf.identity(value) for name, value in changed}

    rows = [tf.TensorSpec((None, *value.shape[1:]), value.dtype, name=name) for name, value in _flatten(state).items()]
    return step, [tf.TensorSpec((None,), "int32", name="tokens"), *rows]


def convert(function: Callable[..., dict[str, Tensor]], signature: Sequence[Any]) -> onnx.ModelProto:
    """A function of tensors as an ONNX model.

    Example:
        >>> import tensorflow as tf
        >>> model = convert(lambda x: {"twice": 2.0 * x}, [tf.TensorSpec((None,), "float32", name="x")])
        >>> [each.name for each in (*model.graph.input, *model.graph.output)]
        ['x', 'twice']
    """
    import onnx
    import tensorflow as tf

    traced = tf.function(function, autograph=False)
    concrete = traced.get_concrete_function(*signature)
    with _quick_tf2onnx() as tf2onnx:
        model, _ = tf2onnx.convert.from_function(
            traced, signature, opset=OPSET, custom_op_handlers={"Erfc": (_write_erfc, [])}
        )
    _hold_constants(model, concrete)
    onnx.checker.check_model(model)
    return model


@contextlib.contextmanager
def _quick_tf2onnx() -> Iterator[Any]:
    """tf2onnx, told not to copy the whole graph, weights and all, before each of its many passes."""
    import tf2onnx

    before = os.environ.get(_CATCH_ERRORS)
    os.environ[_CATCH_ERRORS] = "FALSE"
    try:
        yield tf2onnx
    finally:
        os.environ.pop(_CATCH_ERRORS)
        if before is not None:
            os.environ[_CATCH_ERRORS] = before


def _write_erfc(graph: Any, node: Any, name: str, arguments: Any) -> None:
    """TensorFlow's complementary error function, part of gelu, has no operator in ONNX: 1 - erf(x)."""
    (result,), shape, dtype = node.output, graph.get_shape(node.output[0]), graph.get_dtype(node.output[0])
    (argument,) = node.input
    graph.remove_node(node.name)
    one = graph.make_const(f"{name}_one", np.ones((), np.float32))
    erf = graph.make_node("Erf", [argument], shapes=[shape], dtypes=[dtype])
    graph.make_node("Sub", [one.output[0], erf.output[0]], outputs=[result], shapes=[shape], dtypes=[dtype])


def _hold_constants(model: onnx.ModelProto, concrete: Any) -> None:
    """Give the graph the constants that Keras keeps outside it, such as the mean colour.

    tf2onnx takes tensors that a function refers to, but that are no variables, for inputs.
    """
    from onnx import numpy_helper

    values = {inside.name: outside for outside, inside in concrete.graph.captures if outside.dtype != "resource"}
    used = {
        name for node in model.graph.node for name in node.input
    }  # not all: some were computed on, once and for all
    for entry in [entry for entry in model.graph.input if entry.name in values]:
        model.graph.input.remove(entry)
        if entry.name in used:
            model.graph.initializer.append(numpy_helper.from_array(values[entry.name].numpy(), entry.name))


def _write_graph(path: AnyPath, function: Callable[..., dict[str, Tensor]], signature: Sequence[Any]) -> None:
    model = convert(function, signature)
    with atomic_write(path) as temporary:
        temporary.write_bytes(model.SerializeToString())


def write_in_8_bits(path: AnyPath, encoder: ImageEncoder, images: NDArray[np.uint8]) -> None:
    """Write the graph of `encoder_graph` in 8 bits: a quarter of the size, a quarter of the time.

    Weights get a scale for each output channel, activations the range that they have for some photos; of the photos the
    file has nothing else. Weights take 7 of the 8 bits, because processors without VNNI add two products in 16 bits,
    which would overflow with 8.

    Args:
        path: str or `Path`.
        encoder: `ImageEncoder`, float32.
        images: uint8 `(num_images, height, width, 3)`, RGB, 0–255, of the encoder's `image_size`.

    References:
        Jacob et al. 2018, Quantization and Training of Neural Networks (arXiv:1712.05877).
    """
    from onnxruntime.quantization import QuantType, quant_utils, quantize_static

    model = convert(*encoder_graph(encoder))
    quant_utils.add_pre_process_metadata(model)  # else it warns that layers may be left to fold, which tf2onnx did
    with tempfile.TemporaryDirectory() as folder, atomic_write(path) as temporary:
        float32 = Path(folder, "float32.onnx")
        float32.write_bytes(model.SerializeToString())
        quantize_static(
            float32,
            temporary,
            _OneByOne(images),
            op_types_to_quantize=["Conv", "Relu", "MaxPool"],  # VGG16 then computes in 8 bits from first to last
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )


class _OneByOne:
    """Photos as onnxruntime's calibration asks for them, so that its memory does not grow with them."""

    def __init__(self, images: NDArray[np.uint8]) -> None:
        self._images = iter(images)

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        return next(({"images": image[None]} for image in self._images), None)
