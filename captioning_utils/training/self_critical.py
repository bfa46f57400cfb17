"""Self-critical training: after cross-entropy, train on the score that captions are judged by.

The captioner draws several sentences for a train photo. Those that agree better with what people wrote than the
others of the same photo become likelier, the rest less likely. Some cross-entropy stays in the loss: on a few thousand
photos the score alone soon teaches short sentences that please the score and nobody else.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence
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
from captioning_utils.generation import CaptionGenerator
from captioning_utils.metrics.cider_reward import CiderReward
from captioning_utils.metrics.scores import compute_scores
from captioning_utils.settings import GenerationConfig, SelfCriticalConfig
from captioning_utils.text import Vocabulary, clean_caption
from captioning_utils.training.growing import grow_captioner
from captioning_utils.training.losses import WeightedCrossEntropy
from captioning_utils.training.photo_batches import find_sided
from captioning_utils.training.run import (
    Run,
    check_places,
    checkpoint_path,
    describe_photos,
    describe_step,
    digest_data,
)
from captioning_utils.training.sighted import SeenFeatures, SightedDecoder

PAD_ID, START_ID = Vocabulary.pad_id, Vocabulary.start_id
LENGTH_PENALTIES = (0.5, 0.7, 0.85, 1.0, 1.15, 1.3, 1.5)  # of which `choose_length` takes the best on the val split


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
    views: Sequence[FeatureCache] = (),
    verbose: int = 1,
) -> Captioner:
    """Train a captioner further on the CIDEr-D of the sentences that it draws, and write it to a file of its own.

    After every epoch the val split is captioned; the epoch with the highest CIDEr-D is kept, or the start where none is
    higher. An epoch whose sentences are too short does not count, and neither does such a start. As in
    `train_captioner`, the same call goes on from the checkpoint of a run that was stopped.

    Args:
        captioner: `Captioner`, trained with cross-entropy; it stays as it is.
        dataset: `CaptionDataset` with a train and a val split.
        features: `FeatureCache` with the features of the val split and, without `views`, of the train split.
        model_path: str or `Path`, where the new captioner goes.
        config: `SelfCriticalConfig`.
        views: list of `FeatureCache` of the train split, each of an `AugmentedEncoder`; one is drawn for each photo and
            step. Empty: the photos as they are.
        verbose: int, 0 silent, 1 a progress bar and a line an epoch.

    Returns:
        `Captioner`.

    Raises:
        InputError: for features of another encoder, an empty split, or a checkpoint of other settings or data.
    """
    check_places(model_path)
    captioner.check_features(features)
    keras.utils.set_random_seed(config.seed)
    learner = grow_captioner(captioner, captioner.vocabulary)  # a copy, so that its dropout draws from this seed
    trainer = SelfCriticalTrainer(learner, dataset, features, config, views, verbose)
    seen = [features.fingerprint, *(view.fingerprint for view in views), describe_photos(features, dataset)]
    data = digest_data(captioner.fingerprint, trainer.captions, seen)
    run = Run(checkpoint_path(model_path), config, data, monitor="val_loss")
    run.attach(trainer.model)
    if not run.history:
        run.note_start(trainer.validate())
    while not run.finished():
        try:
            run.note(trainer.train_epoch(run.epoch) | trainer.validate())
        except FloatingPointError as error:
            run.stop(str(error))
        if verbose and not run.trouble:
            print(" - ".join(f"{name}: {value:.4g}" for name, value in run.history[-1].items()), flush=True)
    run.restore_best()
    summary = {"started_from": captioner.fingerprint, "history": run.history, "best_epoch": run.best_epoch}
    summary |= {"seconds": round(run.seconds)} | ({"stopped": run.trouble} if run.trouble else {})
    learner.training = captioner.training | {"self_critical": dataclasses.asdict(config) | summary}
    if config.choose_length:
        learner.generation = trainer.choose_length_penalty()
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
        views: Sequence[FeatureCache] = (),
        verbose: int = 1,
    ) -> None:
        self.captioner, self.features, self.config, self.verbose = captioner, features, config, verbose
        for split in ("train", "val"):
            dataset.require_words(split)
        self.captions = {
            split: {
                image_id: several
                for image_id in dataset.require_split(split)
                if all(image_id in cache for cache in (views if views and split == "train" else [features]))
                and (several := self._clean(dataset.captions[image_id]))
            }
            for split in ("train", "val")
        }
        self.reward = CiderReward(self.captions["train"], captioner.vocabulary)
        sided = find_sided(dataset.split_captions("train"))
        self.seen = SeenFeatures(views or [features], list(self.captions["train"]), sided)
        self.model = SightedDecoder(self.seen.eyes, captioner.decoder)
        # Draws from all pairs of words: one that is never drawn would never be made less likely.
        self.generator = CaptionGenerator(self.model, batch_size=config.batch_size)
        steps = -(-len(self.captions["train"]) // config.batch_size) * config.epochs
        rate = keras.optimizers.schedules.CosineDecay(config.learning_rate, steps, alpha=config.last_rate)
        self.model.compile(
            optimizer=keras.optimizers.Adam(rate, global_clipnorm=config.clip_norm), loss=WeightedCrossEntropy()
        )

    def _clean(self, captions: Sequence[str]) -> list[str]:
        """The captions that have a word; one without would teach to say nothing."""
        return [words for caption in captions if (words := clean_caption(caption, self.captioner.cleaning))]

    def train_epoch(self, epoch: int) -> dict[str, float]:
        """Every train photo once, in an order and with drawings set by (seed, epoch); the mean reward in a dict."""
        rng = np.random.default_rng((self.config.seed, epoch))
        order = rng.permutation(list(self.captions["train"]))
        starts = range(0, len(order), self.config.batch_size)
        parts = [order[start : start + self.config.batch_size].tolist() for start in starts]
        rewards = []
        for step, image_ids in enumerate(tqdm(parts, f"epoch {epoch + 1}", disable=not self.verbose, unit="step")):
            reward, loss = self.train_step(image_ids, rng)
            if not math.isfinite(loss):
                raise FloatingPointError(describe_step(loss, step, parts.__getitem__))
            rewards.append(reward)
        return {"reward": float(np.mean(rewards))}

    def train_step(self, image_ids: list[str], rng: np.random.Generator) -> tuple[float, float]:
        """One step on some photos: (mean reward of what was drawn, 0–10; loss)."""
        real = len(image_ids)
        # Filled up, so that one program is compiled.
        seen = self.seen.draw(image_ids + image_ids[:1] * (self.config.batch_size - real), rng)
        drawn = self.sample(seen, rng)  # (photos, samples, max_length)
        rewards = self.reward.score_batch(image_ids, drawn[:real])
        advantages = compute_advantages(rewards)
        advantages /= advantages.std() + 1e-6  # so that `cross_entropy` weighs the same at every stage of the training
        tokens = np.full((len(drawn), self.config.samples + 1, self.config.max_length + 2), PAD_ID, np.int32)
        tokens[:real, :, 0] = START_ID
        tokens[:real, :-1, 1:-1] = drawn[:real]
        for photo, image_id in enumerate(image_ids):
            human = self._encode(self.captions["train"][image_id], rng)
            tokens[photo, -1, : len(human)] = human
        targets = tokens[..., 1:]
        inputs = np.where(targets == PAD_ID, PAD_ID, tokens[..., :-1])
        weights = np.zeros(targets.shape, np.float32)
        weights[:real, :-1] = _spread(advantages[..., None], targets[:real, :-1])
        weights[:real, -1] = _spread(self.config.cross_entropy, targets[:real, -1])
        loss = self.model.train_on_batch((seen, inputs), targets, sample_weight=weights)
        return float(rewards.mean()), float(loss)

    def sample(self, seen: NDArray[Any], rng: np.random.Generator) -> NDArray[np.int32]:
        """Sentences drawn for what the eyes take, `(photos, ...)`: token ids `(photos, samples, max_length)`."""
        settings = GenerationConfig(
            temperature=self.config.temperature,
            num_captions=self.config.samples,
            max_length=self.config.max_length,
            block_repeats=0,
            seed=int(rng.integers(2**32)),
        )
        return self.generator.generate(seen, settings).token_ids

    def _encode(self, captions: Sequence[str], rng: np.random.Generator) -> list[int]:
        """One of a photo's human captions as token ids."""
        return self.captioner.vocabulary.encode(captions[int(rng.integers(len(captions)))], self.config.max_length)

    def validate(self, **settings: Any) -> dict[str, float]:
        """Scores on the val split; too short sentences, measured as BLEU's brevity penalty does, get no credit."""
        references, settings = self.captions["val"], {"consensus": False} | settings
        found = caption_split(self.captioner, self.features, list(references), settings, show_progress=False)
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

    def choose_length_penalty(self) -> GenerationConfig:
        """The captioner's settings with the length penalty of the highest CIDEr-D on the val split."""
        own = self.captioner.generation
        scores = {penalty: self.validate(length_penalty=penalty) for penalty in LENGTH_PENALTIES}
        best = min(scores, key=lambda penalty: (scores[penalty]["val_loss"], abs(penalty - own.length_penalty)))
        if self.verbose:
            print(", ".join(f"length penalty {each}: {100 * scores[each]['val_cider_d']:.2f}" for each in scores))
        return dataclasses.replace(own, length_penalty=best)


def _spread(weights: Any, targets: NDArray[np.int32]) -> NDArray[np.float32]:
    """Weights of sentences → of their tokens, divided by the number of all of them."""
    real = targets != PAD_ID
    return (weights * real / max(real.sum(), 1)).astype("float32")
