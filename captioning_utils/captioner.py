"""A captioner: decoder, vocabulary and all that is needed to use them on a photo, in one file."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from captioning_utils.base.errors import InputError
from captioning_utils.base.quantization import dequantize, quantize, quantize_exactly
from captioning_utils.base.storage import assign_variables, collect_variables, read_storage, write_storage
from captioning_utils.base.training_summary import check_training_summary
from captioning_utils.base.types import AnyPath, Fingerprinted
from captioning_utils.base.word_pairs import LARGEST_VOCABULARY, pack_pairs, unpack_pairs
from captioning_utils.decoders import build_config, build_decoder, decoder_name
from captioning_utils.decoders.base import CaptionDecoder
from captioning_utils.decoders.next_words import IMPOSSIBLE
from captioning_utils.encoders.encoder import ImageEncoder, build_encoder
from captioning_utils.encoders.encoder_id import EncoderId
from captioning_utils.encoders.learned_blocks import replace_blocks
from captioning_utils.generation import CaptionGenerator, to_float32
from captioning_utils.images import ImageSource, load_image
from captioning_utils.settings import PHOTOS_AT_ONCE, GenerationConfig, settings_of_part
from captioning_utils.text import TextCleaning, Vocabulary

FILE_KIND = "captioner"
FORMAT_VERSION = 1
ENCODER_PART = "encoder/"  # the names of a fine-tuned encoder's arrays in the file begin so
DTYPE_BITS = {"float32": 32, "float16": 16, "int8": 8}  # a number of the decoder, in a file
PRETRAINED = Path(__file__).parent / "pretrained"
DEFAULT_CAPTIONER = PRETRAINED / "flickr8k_two_scales_transformer_cider.h5"
# fingerprint -> `ImageEncoder`, as long as a captioner uses it
_encoders: weakref.WeakValueDictionary[str, ImageEncoder] = weakref.WeakValueDictionary()


class ScoredCaption(NamedTuple):
    """One sentence for a photo and how likely the captioner considers it."""

    caption: str
    score: float  # the ranking, higher is better: log_prob / tokens ** length_penalty, or agreement (consensus)
    log_prob: float  # nats, the sum over the sentence's tokens, the end token included


@dataclasses.dataclass
class Captioner:
    """All that turns features or photos into sentences. Get one from `load_captioner` or from training."""

    decoder: CaptionDecoder
    vocabulary: Vocabulary
    cleaning: TextCleaning
    encoder: str  # the fingerprint of the encoder whose features the decoder reads
    generation: GenerationConfig = dataclasses.field(default_factory=GenerationConfig)  # of its sentences, by default
    training: dict[str, Any] = dataclasses.field(default_factory=dict)  # data, settings, seed, losses: for model cards
    encoder_weights: dict[str, NDArray[Any]] = dataclasses.field(default_factory=dict)  # of its blocks that learned
    # int32 (num_pairs, 2), which token follows which in the train captions; None where that is not known
    pairs: NDArray[np.int32] | None = None

    def __post_init__(self) -> None:
        self.pairs = self.pairs if len(self.vocabulary) <= LARGEST_VOCABULARY else None
        self._generator = CaptionGenerator(self.decoder, pairs=self.pairs)
        self._image_encoder: ImageEncoder | None = None

    @property
    def fingerprint(self) -> str:
        """12 hexadecimal digits that change with any weight, word or setting; str."""
        described = self._documents()["captioner"]
        if self.pairs is None:  # the rule has no effect: as of captioners from before it
            described["generation"].pop("seen_pairs")
        digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
        for array in collect_variables(self.decoder.weights).values():
            digest.update(np.ascontiguousarray(array, "float32").tobytes())
        digest.update(b"" if self.pairs is None else self.pairs.tobytes())
        return digest.hexdigest()[:12]

    @property
    def encoder_id(self) -> EncoderId:
        """The parts of `encoder`; `EncoderId`."""
        return EncoderId.parse(self.encoder)

    @property
    def training_minutes(self) -> float:
        """How long the training took, self-critical training and all members of an ensemble included; float."""
        parts = [self.training, *self.training.get("members", [])]
        parts += [part["self_critical"] for part in parts if "self_critical" in part]
        return round(sum(part.get("seconds", 0) for part in parts) / 60, 1)

    def describe(self) -> str:
        """One line on what the captioner is; str.

        Example:
            >>> load_captioner("flickr8k_merge").describe()
            'merge decoder, vgg16 grid, 2,537 words, trained on flickr8k'
        """
        encoder, data = self.encoder_id, self.training.get("dataset", "unknown photos")
        start = self.training.get("started_from")
        before = f" after {start['dataset']!s:.60}" if isinstance(start, dict) and start.get("dataset") else ""
        kind = f"{decoder_name(self.decoder)} decoder, {encoder.name} {encoder.layer}"
        return f"{kind}, {len(self.vocabulary.ordinary_words):,} words, trained on {data!s:.60}{before}"

    def check_features(self, features: Fingerprinted) -> None:
        """Refuse features that another encoder made: the sentences would be nonsense without any error.

        Args:
            features: object with `fingerprint`, for example a `FeatureCache`.

        Raises:
            InputError: where the fingerprints differ; the message says both.
        """
        if features.fingerprint != self.encoder:
            raise InputError(
                f"the features were made by '{features.fingerprint}', the captioner was trained on '{self.encoder}'; "
                "extract the features with the captioner's encoder, or train on these"
            )

    def caption_features(self, features: NDArray[Any], **settings: Any) -> list[list[ScoredCaption]]:
        """Sentences for features.

        Args:
            features: float `(batch, *feature_shape)`, from the encoder of `check_features`.
            **settings: fields of `GenerationConfig` that replace the captioner's own.

        Returns:
            list (one entry a photo) of lists of `ScoredCaption`, best first.

        Raises:
            InputError: for a shape or numbers that the decoder does not read, or a setting that is not allowed.
        """
        features, wanted = np.asarray(features), self.decoder.config.feature_shape
        if features.shape[1:] != wanted:
            raise InputError(f"features have shape {features.shape[1:]} a photo; this captioner reads {wanted}")
        if not len(features):
            return []
        generated = self._generator.generate(to_float32(features), self.generation_settings(settings))
        return [
            [
                ScoredCaption(self.vocabulary.decode(ids), float(score), float(log_prob))
                for place, (ids, score, log_prob) in enumerate(zip(*photo, strict=True))
                if place == 0 or log_prob > IMPOSSIBLE / 2  # a tiny vocabulary has fewer sentences than beams
            ]
            for photo in zip(generated.token_ids, generated.scores, generated.log_probs, strict=True)
        ]

    def caption_images(self, images: Sequence[ImageSource], **settings: Any) -> list[list[ScoredCaption]]:
        """Sentences for photos.

        Args:
            images: list of paths, open files, Pillow images or uint8 `(height, width, 3)` RGB arrays.
            **settings: fields of `GenerationConfig` that replace the captioner's own.

        Returns:
            As `caption_features`.
        """
        found: list[list[ScoredCaption]] = []
        for start in range(0, len(images), PHOTOS_AT_ONCE):  # memory does not grow with the photos
            encoder = self.image_encoder()
            part = [load_image(image, size=encoder.image_size) for image in images[start : start + PHOTOS_AT_ONCE]]
            found += self.caption_features(
                encoder.encode(np.stack(part)), **settings_of_part(settings, self.generation, start)
            )
        return found

    def image_encoder(self, weights_path: AnyPath | None = None) -> ImageEncoder:
        """The `ImageEncoder` that this captioner was trained on; built on first use, kept, and shared with captioners
        that read the same features.

        Args:
            weights_path: str or `Path` of a file with the encoder's weights; None finds or downloads them.

        Raises:
            InputError: where the weights cannot be had, or are not those of the training.
        """
        if self._image_encoder is None:
            shared = None if weights_path else _encoders.get(self.encoder)
            encoder = shared or self.build_image_encoder(weights_path)
            if not self.encoder_id.tuned:  # a fine-tuned one comes from its captioner's file only
                _encoders[self.encoder] = encoder
            self._image_encoder = encoder
        return self._image_encoder

    def build_image_encoder(self, weights_path: AnyPath | None = None, dtype: str | None = None) -> ImageEncoder:
        """As `image_encoder`, but a new one that nobody shares, so that it may be trained further.

        Args:
            weights_path: as for `image_encoder`.
            dtype: "float32" or "bfloat16" to compute in another than the captioner's; its features are not the same.
        """
        own = self.encoder_id
        encoder = build_encoder(own.name, own.layer, dtype or own.dtype, weights_path, image_size=own.image_size[0])
        if self.encoder_weights:
            encoder = replace_blocks(encoder, own.tuned, self.encoder_weights)
        if dtype in (None, own.dtype):
            self.check_features(encoder)
        return encoder

    def save(self, path: AnyPath, dtype: str = "float32") -> None:
        """Write the captioner to one HDF5 file, whole or not at all.

        Args:
            path: str or `Path`, for example "image_caption_model.h5".
            dtype: "float32"; "float16" for half the size, with which sentences hardly ever change; or "int8" for a
                quarter, see `quantize`. The encoder's blocks that learned are kept as they were evaluated, in as few
                bits as they were rounded to.

        Raises:
            InputError: for another dtype.
        """
        if dtype not in DTYPE_BITS:
            raise InputError(f"there is no dtype {dtype!r:.40}; give {', '.join(DTYPE_BITS)}")
        arrays = quantize(collect_variables(self.decoder.weights), DTYPE_BITS[dtype])
        blocks = quantize_exactly(self.encoder_weights)
        arrays |= {f"{ENCODER_PART}{name}": array for name, array in blocks.items()}
        if self.pairs is not None:
            arrays["pairs"] = pack_pairs(self.pairs, len(self.vocabulary))
        write_storage(path, FILE_KIND, FORMAT_VERSION, self._documents(), arrays)

    def generation_settings(self, settings: dict[str, Any]) -> GenerationConfig:
        """The captioner's own `GenerationConfig` with some fields replaced.

        Args:
            settings: dict, fields of `GenerationConfig`. Without a `beam_size` among them, a search is given as many
                beams as `num_captions` asks for.

        Returns:
            `GenerationConfig`.

        Raises:
            InputError: for an unknown field or a value that is not allowed.
        """
        unknown = set(settings) - {field.name for field in dataclasses.fields(GenerationConfig)}
        if unknown:
            raise InputError(f"unknown setting {sorted(unknown)[0]!r:.80}; see GenerationConfig for those allowed")
        if "beam_size" not in settings:  # alternatives need as many beams; a beam_size that was asked for is kept
            settings = settings | {"beam_size": max(self.generation.beam_size, settings.get("num_captions", 1))}
        return dataclasses.replace(self.generation, **settings)

    def _documents(self) -> dict[str, Any]:
        captioner = {
            "decoder": decoder_name(self.decoder),
            "decoder_config": dataclasses.asdict(self.decoder.config),
            "vocabulary": self.vocabulary.to_dict(),
            "cleaning": self.cleaning.to_dict(),
            "encoder": self.encoder,
            "generation": dataclasses.asdict(self.generation),
        }
        return {"captioner": captioner, "training": self.training}


def shipped_captioners() -> dict[str, Path]:
    """The captioners that ship with the package, the default one first; dict of name to `Path`.

    Example:
        >>> "flickr8k_merge" in shipped_captioners()
        True
    """
    return {path.stem: path for path in (DEFAULT_CAPTIONER, *sorted(PRETRAINED.glob("*.h5")))}


def captioner_path(name: AnyPath | None = None) -> Path:
    """The file of a captioner.

    Args:
        name: as for `load_captioner`.

    Raises:
        FileNotFoundError: when there is neither such a file nor such a name; the message lists the names.

    Example:
        >>> captioner_path("flickr8k_merge").name
        'flickr8k_merge.h5'
    """
    shipped = shipped_captioners()
    path = DEFAULT_CAPTIONER if name is None else shipped.get(str(name), Path(name))
    if not path.is_file():
        raise FileNotFoundError(f"there is no captioner {str(name)!r}; give a file's path, or {' or '.join(shipped)}")
    return path


def load_captioner(name: AnyPath | None = None) -> Captioner:
    """Open a captioner: a file, or one of those that ship with the package.

    Args:
        name: str or `Path` of a file that `Captioner.save` or `train.py` wrote, or the name of a shipped captioner,
            such as "flickr8k_merge"; None is the one that `predict_caption` uses (trained on Flickr8k).

    Returns:
        `Captioner`.

    Raises:
        FileNotFoundError: when there is neither such a file nor such a name; the message lists the names.
        InputError: when it is no captioner, of another format version, or damaged. Nothing in the file is executed.

    Example:
        >>> load_captioner("flickr8k_merge").training["dataset"]
        'flickr8k'
    """
    path = captioner_path(name)
    documents, arrays = read_storage(path, FILE_KIND, FORMAT_VERSION)
    names = [name for name in arrays if name.startswith(ENCODER_PART)]
    blocks = {name.removeprefix(ENCODER_PART): arrays.pop(name) for name in names}
    packed = arrays.pop("pairs", None)
    try:
        arrays = dequantize(arrays)
        parts = documents["captioner"]
        vocabulary = Vocabulary.from_dict(parts["vocabulary"])
        config = parts["decoder_config"]
        stored = sum(array.size for array in arrays.values())
        build_config(parts["decoder"], **config).check_file(len(vocabulary), stored)
        decoder = build_decoder(parts["decoder"], **config)
        captioner = Captioner(
            decoder,
            vocabulary,
            TextCleaning.from_dict(parts["cleaning"]),
            str(EncoderId.parse(parts["encoder"])),
            GenerationConfig(**parts["generation"]),
            check_training_summary(documents["training"]),
            encoder_weights=dequantize(blocks),
            pairs=None if packed is None else unpack_pairs(packed, len(vocabulary)),
        )
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise InputError(f"{path}: its description is incomplete or damaged ({error!r:.200}); get it again") from error
    assign_variables(path, decoder.weights, arrays)
    return captioner


@functools.lru_cache(maxsize=4)
def _kept_captioner(path: Path, modified: int) -> Captioner:
    """A captioner that stays loaded and compiled between calls, until its file changes."""
    return load_captioner(path)


@overload
def predict_caption(image: ImageSource, captioner: Captioner | AnyPath | None = None, **settings: Any) -> str: ...


@overload
def predict_caption(
    image: Sequence[ImageSource], captioner: Captioner | AnyPath | None = None, **settings: Any
) -> list[str]: ...


def predict_caption(image: Any, captioner: Captioner | AnyPath | None = None, **settings: Any) -> str | list[str]:
    """Describe a photo in one sentence, with the captioner that ships with the package or one of your own.

    Args:
        image: path, open file, Pillow image or uint8 `(height, width, 3)` RGB array; or a list of them.
        captioner: `Captioner`, or what `load_captioner` takes: a path, a name, or None.
        **settings: fields of `GenerationConfig`, for example `beam_size=5`, `temperature=0.7`, `max_length=20`.

    Returns:
        str, or for a list of images a list of str.

    Raises:
        FileNotFoundError: when a file does not exist.
        InputError: when a photo or the captioner cannot be used; one sentence says why.

    Example:
        >>> from PIL import Image
        >>> caption = predict_caption(Image.new("RGB", (224, 224), "skyblue"))
        >>> isinstance(caption, str) and len(caption) > 0
        True
    """
    several = isinstance(image, (list, tuple))
    captions = [best[0].caption for best in predict_alternatives(image if several else [image], captioner, **settings)]
    return captions if several else captions[0]


def predict_alternatives(
    images: Sequence[ImageSource], captioner: Captioner | AnyPath | None = None, num_captions: int = 1, **settings: Any
) -> list[list[ScoredCaption]]:
    """Several sentences for each photo, with their scores.

    Args:
        images: list, each as for `predict_caption`.
        captioner: as for `predict_caption`.
        num_captions: int, sentences a photo; without a `beam_size` of yours a search keeps at least so many beams.
        **settings: fields of `GenerationConfig`.

    Returns:
        list (one entry an image) of lists of `num_captions` `ScoredCaption`, best first.

    Example:
        >>> from PIL import Image
        >>> (alternatives,) = predict_alternatives([Image.new("RGB", (224, 224), "skyblue")], num_captions=3)
        >>> len(alternatives), alternatives[0].score >= alternatives[1].score
        (3, True)
    """
    if not isinstance(captioner, Captioner):
        path = captioner_path(captioner)
        captioner = _kept_captioner(path, path.stat().st_mtime_ns)
    return captioner.caption_images(images, num_captions=num_captions, **settings)
