"""Self-critical training: after cross-entropy, train on the score that captions are judged by.

The captioner draws several sentences for a train photo. Those that agree better with what people wrote than the
others of the same photo become likelier, the rest less likely. Some cross-entropy stays in the loss: on a few thousand
photos the score alone soon teaches short sentences that please the score and nobody else.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from captioning_utils.base.backend import in_standard_settings
from captioning_utils.base.types import AnyPath
from captioning_utils.bulk import caption_split
from captioning_utils.captioner import Captioner
from captioning_utils.datasets.dataset import CaptionDataset
from captioning_utils.features import FeatureCache
from captioning_utils.generation import BATCH_SIZE, CaptionGenerator
from captioning_utils.metrics.cider import Cider
from captioning_utils.metrics.scores import compute_scores
from captioning_utils.settings import GenerationConfig, SelfCriticalConfig
from captioning_utils.text import Vocabulary, clean_caption, pad_captions
from captioning_utils.training.growing import grow_captioner
from captioning_utils.training.losses import WeightedCrossEntropy
from captioning_utils.training.run import Run, digest_data

PAD_ID, START_ID, END_ID = Vocabulary.pad_id, Vocabulary.start_id, Vocabulary.end_id


class CiderReward:
    """CIDEr-D of drawn sentences against what people wrote about the photo, on token ids.

    It equals the CIDEr-D of `metrics` on the cleaned words with an end word behind each caption. The end counts as
    a word because otherwise a sentence that breaks off ("a dog with a") loses nothing.

    Args:
        captions: dict of image_id to list of cleaned captions (str), the references.
        vocabulary: `Vocabulary` of the drawn sentences.

    Example:
        >>> from captioning_utils.text import build_vocabulary
        >>> captions = {"a.jpg": ["a dog runs on grass"], "b.jpg": ["two cats sleep"]}
        >>> vocabulary = build_vocabulary(["a dog runs on grass"], min_count=1)
        >>> reward = CiderReward(captions, vocabulary)
        >>> round(float(reward("a.jpg", vocabulary.encode("a dog runs on grass")[1:])), 3)
        10.0
    """

    def __init__(self, captions: Mapping[str, Sequence[str]], vocabulary: Vocabulary) -> None:
        self._ids = {word: index for index, word in enumerate(vocabulary.words)}
        references = {
            image_id: [[self._id(word) for word in caption.split()] + [END_ID] for caption in several]
            for image_id, several in captions.items()
        }
        self._cider = Cider(references, keep_vectors=True)

    def _id(self, word: str) -> int:
        """A token id; words that the captioner does not know get ids beyond its vocabulary, so they stay distinct."""
        return self._ids.setdefault(word, len(self._ids))

    def __call__(self, image_id: str, token_ids: Iterable[int]) -> float:
        """The reward of one sentence: token ids (int) up to the end token, without the start token; float 0–10."""
        return self._cider.score_d(image_id, [int(token) for token in token_ids if token != PAD_ID])


def compute_advantages(rewards: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """How much better each sentence is than the mean of the photo's others.

    Args:
        rewards: float `(photos, samples)`.

    Returns:
        float32 `(photos, samples)`, each photo's sum is 0.

    Example:
        >>> compute_advantages(np.array([[1.0, 2.0, 6.0]])).tolist()
        [[-3.0, -1.5, 4.5]]

    References:
        Luo 2020, A Better Variant of Self-Critical Sequence Training (arXiv:2003.09971), equation 6.
    """
    samples = rewards.shape[1]
    others = (rewards.sum(axis=1, keepdims=True) - rewards) / (samples - 1)
    return (rewards - others).astype("float32")


@functools.partial(in_standard_settings, keep_mixed=True)
def train_self_critical(
    captioner: Captioner,
    dataset: CaptionDataset,
    features: FeatureCache,
    model_path: AnyPath,
    config: SelfCriticalConfig = SelfCriticalConfig(),
    verbose: int = 1,
) -> Captioner:
    """Train a captioner further on the CIDEr-D of the sentences that it draws, and write it to a file of its own.

    After every epoch the val split is captioned; the epoch with the highest CIDEr-D is kept, or the start where none is
    higher. An epoch whose sentences are too short does not count, and neither does such a start. As in
    `train_captioner`, the same call goes on from the checkpoint of a run that was stopped.

    Args:
        captioner: `Captioner`, trained with cross-entropy; it stays as it is.
        dataset: `CaptionDataset` with a train and a val split.
        features: `FeatureCache` with the features of both splits.
        model_path: str or `Path`, where the new captioner goes.
        config: `SelfCriticalConfig`.
        verbose: int, 0 silent, 1 a progress bar and a line an epoch.

    Returns:
        `Captioner`.

    Raises:
        InputError: for features of another encoder, an empty split, or a checkpoint of other settings or data.
    """
    captioner.check_features(features)
    keras.utils.set_random_seed(config.seed)
    learner = grow_captioner(captioner, captioner.vocabulary)  # a copy, so that its dropout draws from this seed
    trainer = SelfCriticalTrainer(learner, dataset, features, config, verbose)
    data = digest_data(captioner.fingerprint, features.fingerprint, trainer.captions)
    run = Run(f"{model_path}.checkpoint", config, data, monitor="val_loss")
    run.attach(learner.decoder)
    if not run.history:
        run.note_start(trainer.validate())
    while not run.finished():
        run.note(trainer.train_epoch(run.epoch) | trainer.validate())
        if verbose:
            print(" - ".join(f"{name}: {value:.4g}" for name, value in run.history[-1].items()))
    run.restore_best()
    summary = {"started_from": captioner.fingerprint, "history": run.history, "best_epoch": run.best_epoch}
    summary |= {"seconds": round(run.seconds)}
    learner.training = captioner.training | {"self_critical": dataclasses.asdict(config) | summary}
    learner.save(model_path)
    return learner


class SelfCriticalTrainer:
    """Draws sentences for the train photos and makes those likelier that people would rather write."""

    def __init__(
        self,
        captioner: Captioner,
        dataset: CaptionDataset,
        features: FeatureCache,
        config: SelfCriticalConfig,
        verbose: int = 1,
    ) -> None:
        self.captioner, self.features, self.config, self.verbose = captioner, features, config, verbose
        for split in ("train", "val"):
            dataset.require_words(split)
        self.captions = {
            split: {
                image_id: several
                for image_id in dataset.require_split(split)
                if image_id in features and (several := self._clean(dataset.captions[image_id]))
            }
            for split in ("train", "val")
        }
        self.reward = CiderReward(self.captions["train"], captioner.vocabulary)
        self.generator = CaptionGenerator(captioner.decoder)
        captioner.decoder.compile(
            optimizer=keras.optimizers.Adam(config.learning_rate, global_clipnorm=config.clip_norm),
            loss=WeightedCrossEntropy(),
        )

    def _clean(self, captions: Sequence[str]) -> list[str]:
        """The captions that have a word; one without would teach to say nothing."""
        return [words for caption in captions if (words := clean_caption(caption, self.captioner.cleaning))]

    def train_epoch(self, epoch: int) -> dict[str, float]:
        """Every train photo once, in an order and with drawings set by (seed, epoch); the mean reward in a dict."""
        rng = np.random.default_rng((self.config.seed, epoch))
        order = rng.permutation(list(self.captions["train"]))
        starts = range(0, len(order), BATCH_SIZE)
        rewards = [
            self.train_step(order[start : start + BATCH_SIZE].tolist(), rng)
            for start in tqdm(starts, desc=f"epoch {epoch + 1}", disable=not self.verbose, unit="step")
        ]
        return {"reward": float(np.mean(rewards))}

    def train_step(self, image_ids: Sequence[str], rng: np.random.Generator) -> float:
        """One step on some photos; the mean reward of what was drawn, float 0–10."""
        features = self.features.get(image_ids).astype("float32")
        drawn = self.sample(features, rng)  # (photos, samples, max_length)
        rewards = np.array(
            [[self.reward(i, ids) for ids in several] for i, several in zip(image_ids, drawn, strict=True)]
        )
        advantages = compute_advantages(rewards)
        advantages /= advantages.std() + 1e-6  # so that `cross_entropy` weighs the same at every stage of the training
        human = [self._encode(self.captions["train"][image_id], rng) for image_id in image_ids]
        rows = [[START_ID, *ids[ids != PAD_ID]] for several in drawn for ids in several] + human
        tokens = pad_captions(rows, max(map(len, rows)))
        inputs, targets = tokens[:, :-1], tokens[:, 1:]
        weights = [advantages.ravel(), np.full(len(human), self.config.cross_entropy, "float32")]
        self.captioner.decoder.train_on_batch(
            (np.concatenate([np.repeat(features, self.config.samples, axis=0), features]), inputs),
            targets,
            sample_weight=_spread(weights, targets),
        )
        return float(rewards.mean())

    def sample(self, features: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.int32]:
        """Sentences drawn for features `(photos, *feature_shape)`: token ids `(photos, samples, max_length)`."""
        settings = GenerationConfig(
            temperature=self.config.temperature,
            num_captions=self.config.samples,
            max_length=self.config.max_length,
            block_repeats=0,
            seed=int(rng.integers(2**32)),
        )
        return self.generator.generate(features, settings).token_ids

    def _encode(self, captions: Sequence[str], rng: np.random.Generator) -> list[int]:
        """One of a photo's human captions as token ids."""
        return self.captioner.vocabulary.encode(captions[int(rng.integers(len(captions)))], self.config.max_length)

    def validate(self) -> dict[str, float]:
        """Scores on the val split; too short sentences, measured as BLEU's brevity penalty does, get no credit."""
        references = self.captions["val"]
        found = caption_split(
            self.captioner, self.features, list(references), {"consensus": False}, show_progress=False
        )
        candidates = {image_id: several[0] for image_id, several in found.items()}
        scores = compute_scores(candidates, references)
        words, closest = scores.bleu_statistics[:, -2:].mean(axis=0)
        credit = scores.corpus["cider_d"] if words >= self.config.min_length_ratio * closest else 0.0
        return {
            "val_cider_d": scores.corpus["cider_d"],
            "val_bleu_4": scores.corpus["bleu_4"],
            "val_words": float(words),
            "val_length_ratio": float(words / closest),
            "val_loss": -credit,
        }


def _spread(weights: Sequence[NDArray[np.float32]], targets: NDArray[np.int32]) -> NDArray[np.float32]:
    """Weights of the sentences of each kind → of their tokens, each kind divided by its number of tokens."""
    real, start, spread = targets != PAD_ID, 0, []
    for kind in weights:
        rows = real[start : start + len(kind)]
        spread.append(kind[:, None] * rows / max(rows.sum(), 1))
        start += len(kind)
    return np.concatenate(spread).astype("float32")
