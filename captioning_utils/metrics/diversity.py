"""What word overlap hides: whether captions differ from photo to photo, repeat themselves, or copy the train split."""

import itertools
import math
import statistics
from collections.abc import Hashable, Iterable, Mapping, Sequence

import numpy as np

from captioning_utils.base.errors import InputError
from captioning_utils.metrics.bleu import compute_bleu, compute_bleu_statistics
from captioning_utils.metrics.cider import Cider, iterate_ngrams, similarity
from captioning_utils.metrics.protocols import PROTOCOLS, tokenize_captions


def compute_diversity(
    captions: Iterable[str], train_captions: Iterable[str], known_words: Iterable[str] | None = None
) -> dict[str, float]:
    """Describe a set of generated captions, one a photo. All are cleaned as under the `standard` protocol.

    Args:
        captions: list of str, at least one.
        train_captions: iterable of str, every caption of the train split.
        known_words: iterable of str or None, the captioner's vocabulary without reserved tokens; None takes
            the words of `train_captions`.

    Returns:
        dict of numbers, ready for JSON; shares are in [0, 1]:
        `num_captions`; `distinct_captions` (how many different ones) and `distinct_share` of all captions;
        `novel_share` of captions that no train caption equals; `words_used` (different words) and
        `words_used_share` of the known words; `mean_length` in words; `repeated_trigram_share` of captions that
        hold some three words in a row twice; `repeated_word_share` of captions with a word twice in a row
        ("a a dog"); `unknown_word_rate`, the share of all words written that are not known words; `fluency`, the
        share of captions without a word twice in a row and without two neighbouring words that no train caption has
        side by side. People join words in new ways too, so their own captions are what to compare it with.

    Raises:
        InputError: where there are no captions, or one is no text.

    Example:
        >>> report = compute_diversity(["a dog runs", "a dog runs", "a a cat"], ["A dog runs.", "A dog sits."])
        >>> report["distinct_captions"], report["words_used"], report["repeated_word_share"].__round__(2)
        (2, 4, 0.33)

    References:
        Devlin et al. 2015, Exploring Nearest Neighbor Approaches for Image Captioning (arXiv:1505.04467): novel
        and distinct captions. The repeated 3-gram: Paulus et al. 2017 (arXiv:1705.04304).
    """
    words, train = _clean(captions), _clean(train_captions)
    if not words:
        raise InputError("there are no captions to describe; give at least one")
    known = set(itertools.chain(*train) if known_words is None else known_words)
    written = list(itertools.chain(*words))
    return _count_captions(words, train) | {
        "words_used": len(set(written)),
        "words_used_share": len(set(written) & known) / len(known) if known else 0.0,
        "mean_length": len(written) / len(words),
        "repeated_trigram_share": statistics.fmean(map(repeats_trigram, words)),
        "repeated_word_share": statistics.fmean(map(_repeats_word, words)),
        "unknown_word_rate": sum(word not in known for word in written) / max(1, len(written)),
        "fluency": statistics.fmean(not odd for odd in _find_odd_pairs(words, train)),
    }


def _count_captions(words: list[list[str]], train: list[list[str]]) -> dict[str, float]:
    """How many captions (token lists) there are, are different, and are none of the train split's."""
    captions = list(map(tuple, words))
    copies, distinct = set(map(tuple, train)), len(set(captions))
    return {
        "num_captions": len(captions),
        "distinct_captions": distinct,
        "distinct_share": distinct / len(captions),
        "novel_share": statistics.fmean(caption not in copies for caption in captions),
    }


def find_odd_pairs(captions: Iterable[str], train_captions: Iterable[str]) -> list[list[tuple[str, str]]]:
    """Neighbouring words that are the same, or that no train caption has side by side.

    Args:
        captions: list of str.
        train_captions: iterable of str, every caption of the train split.

    Returns:
        list of the odd pairs of each caption, `[(str, str), ...]`.

    Example:
        >>> find_odd_pairs(["a a dog runs", "a dog runs"], ["A dog runs.", "A a cat."])
        [[('a', 'a')], []]
    """
    return _find_odd_pairs(_clean(captions), _clean(train_captions))


def _find_odd_pairs(words: list[list[str]], train: list[list[str]]) -> list[list[tuple[str, str]]]:
    """As `find_odd_pairs`, of lists of words."""
    seen = {pair for tokens in train for pair in itertools.pairwise(tokens)}
    pairs = map(itertools.pairwise, words)
    return [[(left, right) for left, right in each if left == right or (left, right) not in seen] for each in pairs]


def _repeats_word(tokens: Sequence[str]) -> bool:
    return any(first == second for first, second in itertools.pairwise(tokens))


def repeats_trigram(tokens: Sequence[Hashable]) -> bool:
    """Whether a caption (a list of tokens) holds some three tokens in a row more than once.

    Example:
        >>> repeats_trigram("a man in a hat and a man in a coat".split())
        True
    """
    trigrams = list(iterate_ngrams(tokens, 3))
    return len(set(trigrams)) < len(trigrams)


def compute_set_diversity(
    caption_sets: Mapping[str, Sequence[str]], references: Mapping[str, Sequence[str]]
) -> dict[str, float]:
    """How much several captions of the same photo differ, averaged over the photos.

    Args:
        caption_sets: dict `{image_id: [str, ...]}`, at least two captions a photo.
        references: dict `{image_id: [str, ...]}`, human captions of two photos or more; only the rarity of
            words for self-CIDEr is taken from them.

    Returns:
        dict of floats in [0, 1], ready for JSON:
        `div_1`, `div_2`: different words, and different pairs of words, of a photo's captions together,
        divided by the number of their words; higher is more diverse.
        `mbleu_1` to `mbleu_4`: BLEU of the first captions of all photos against their other captions, the same
        for the second captions and so on, and the mean of these; lower is more diverse.
        `self_cider`: 0 where all captions of a photo are equal, 1 where no two have a word in common: with
        λ the eigenvalues of the m × m matrix of their plain CIDEr similarities,
        −log(max √λ / Σ √λ) / log m; higher is more diverse.

    Raises:
        InputError: where there is no photo, or one has fewer than two captions.

    Example:
        >>> references = {1: ["a dog runs on grass"], 2: ["two men sit on a bench"]}
        >>> report = compute_set_diversity({1: ["a dog runs on grass"] * 2}, references)
        >>> report["div_1"], round(report["mbleu_4"], 3), round(abs(report["self_cider"]), 3)
        (0.5, 1.0, 0.0)

    References:
        Div-n and mBLEU: Shetty et al. 2017, Speaking the Same Language (arXiv:1703.10476), section 4.
        self-CIDEr: Wang and Chan 2019, Describing like Humans (arXiv:1903.12020), section 3.
    """
    few = [image_id for image_id, captions in caption_sets.items() if len(captions) < 2]
    if few or not caption_sets:
        raise InputError(
            f"{len(few)} of {len(caption_sets)} photos have fewer than two captions {few[:3]!r:.200}; "
            "give two or more for each"
        )
    sets = [_clean(captions) for captions in caption_sets.values()]
    cider = Cider({image_id: _clean(captions) for image_id, captions in references.items()})
    report = {f"div_{order}": statistics.fmean(_div(words, order) for words in sets) for order in (1, 2)}
    report |= {f"mbleu_{order}": value for order, value in enumerate(_mbleu(sets), 1)}
    report["self_cider"] = statistics.fmean(_self_cider(words, cider) for words in sets)
    return report


def _clean(captions: Iterable[str]) -> list[list[str]]:
    if isinstance(captions, (str, dict)):  # both can be looped over, and would give letters or ids
        raise InputError(f"captions are a {type(captions).__name__}; give a list of str")
    return tokenize_captions(list(captions), PROTOCOLS["standard"])


def _div(words: list[list[str]], order: int) -> float:
    ngrams = set().union(*(iterate_ngrams(tokens, order) for tokens in words))
    return len(ngrams) / max(1, sum(map(len, words)))


def _mbleu(sets: list[list[list[str]]]) -> list[float]:
    scores = []
    for place in range(max(map(len, sets))):
        having = [words for words in sets if len(words) > place]
        rows = compute_bleu_statistics(
            [words[place] for words in having], [words[:place] + words[place + 1 :] for words in having]
        )
        scores.append(compute_bleu(rows.sum(axis=0)))
    return [statistics.fmean(scores_of_order) for scores_of_order in np.transpose(scores).tolist()]


def _self_cider(words: list[list[str]], cider: Cider) -> float:
    vectors = [cider.vectorize(tokens) for tokens in words]
    matrix = [[similarity(first, second) for second in vectors] for first in vectors]
    roots = np.sqrt(np.clip(np.linalg.eigvalsh(matrix), 0, None))  # rounding can push 0 below 0
    if not roots.any():  # captions without words, or of words that every photo has
        return 0.0
    return -math.log(roots.max() / roots.sum()) / math.log(len(words))
