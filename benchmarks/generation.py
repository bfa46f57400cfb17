"""How much faster are compiled sentences with a carried state than the tutorials' loop?

    python benchmarks/generation.py

Both sides write greedy sentences for the same photos' features, VGG16 excluded: the tutorials' side, in `classic.py`,
by one `model.predict` a word over all words so far; this project's by `Captioner.caption_features`, 32 photos at a time
or one alone. Both have the same weights, a merge decoder over pooled features with flickr8k_merge's language model, and
must write the same words.
"""

import sys
from pathlib import Path

import classic
import numpy as np
from measure import build_parser, claim, finish, parse, take_turns, whole

sys.path.insert(0, str(Path(__file__).parents[1]))

from captioning_utils.captioner import Captioner, load_captioner
from captioning_utils.commands.shell import run_command
from captioning_utils.decoders import build_decoder

LENGTH, FEATURE_DIM = 25, 512
GREEDY = {"beam_size": 1, "block_repeats": 0, "max_length": LENGTH}


def build_captioner():
    """The shipped merge captioner's words and language model, with random looks at pooled features."""
    shipped = load_captioner("flickr8k_merge")
    decoder = build_decoder(
        "merge", vocabulary_size=len(shipped.vocabulary), feature_shape=(FEATURE_DIM,), **sizes_of(shipped.decoder)
    )
    for name in ("embed", "lstm", "merged", "logits"):
        getattr(decoder, name).set_weights(getattr(shipped.decoder, name).get_weights())
    return Captioner(decoder, shipped.vocabulary, shipped.cleaning, shipped.encoder)


def sizes_of(decoder):
    return {name: getattr(decoder.config, name) for name in ("embedding_dim", "hidden_dim")}


def check_same_words(captioner, model, features):
    """Greedy sentences of both sides must be the same."""
    for feature in features:
        (best,) = captioner.caption_features(feature[None], **GREEDY)[0]
        slow = classic.describe(model, feature, captioner.vocabulary, LENGTH)
        if captioner.vocabulary.decode(slow) != best.caption:
            raise SystemExit(f"other words: {captioner.vocabulary.decode(slow)!r} and {best.caption!r}")


def main(arguments=None):
    parser = build_parser(__doc__, rounds=5)
    parser.add_argument("--photos", type=whole, default=320, help="photos per turn of the batched side")
    parser.add_argument("--slow_photos", type=whole, default=4, help="photos per turn of the others")
    options = parse(parser, arguments)
    if options.small:
        options.photos, options.slow_photos, options.rounds = 64, 2, 2
    captioner = build_captioner()
    config = captioner.decoder.config
    model = classic.build_model(FEATURE_DIM, len(captioner.vocabulary), LENGTH, config)
    classic.copy_weights(captioner.decoder, model)
    features = np.random.default_rng(0).gamma(0.5, 5.0, (options.photos, FEATURE_DIM)).astype("float16")
    few = features[: options.slow_photos]
    check_same_words(captioner, model, few)
    sides = {
        "classic": lambda: [classic.describe(model, each, captioner.vocabulary, LENGTH) for each in few],
        "batched": lambda: captioner.caption_features(features, **GREEDY),
        "beams": lambda: captioner.caption_features(features, beam_size=5, max_length=LENGTH),
        "one": lambda: [captioner.caption_features(each[None], **GREEDY) for each in few],
    }
    for name in ("batched", "beams"):
        sides[name]()  # compiles
    found = take_turns(sides, options.rounds)
    numbers = {"classic": len(few), "one": len(few), "batched": len(features), "beams": len(features)}
    each = {name: [seconds / numbers[name] for seconds in found[name]] for name in found}
    claims = [
        claim(
            what,
            [slow / fast for slow, fast in zip(each["classic"], each[name], strict=True)],
            f"{here}: {1e3 * np.median(each[name]):.2g} ms a sentence",
            f"`model.predict` a word: {1e3 * np.median(each['classic']):.3g} ms",
            at_least=target,
        )
        for what, name, here, target in (
            ("writing many sentences", "batched", "32 photos at a time, greedy", 100),
            ("writing many sentences, beam of five", "beams", "32 photos at a time", None),
            ("writing one sentence, warm", "one", "one photo, greedy", 15),
        )
    ]
    return finish(options, claims, [f"{len(features)} photos, {len(few)} on the slow side; the same words by both"])


if __name__ == "__main__":
    sys.exit(run_command(main))
