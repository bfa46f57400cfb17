"""Scoring protocols by name: how captions become words before they are compared, and which BLEU is meant.

The same sentences score 10 BLEU points apart under different protocols, so a score without its protocol says
little. Every score of this package carries the name of one of these.
"""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from captioning_utils.base.errors import InputError
from captioning_utils.base.scripts import part_characters
from captioning_utils.metrics.java_metrics import tokenize_ptb
from captioning_utils.text import TextCleaning, add_boundaries, clean_caption


@dataclass(frozen=True)
class Protocol:
    """One way of scoring, applied alike to candidates and references.

    Example:
        >>> PROTOCOLS["show-attend-tell"].brevity_penalty
        False
    """

    name: str
    description: str  # one line for tables and help texts
    cleaning: TextCleaning | None  # None: the Penn Treebank tokenizer of coco-caption (Java)
    boundary_tags: bool = False  # True counts "startseq" and "endseq" as words of every caption
    brevity_penalty: bool = True  # False: BLEU without its penalty on short captions
    by_character: bool = False  # True: of scripts without spaces between words, each character is a word


_ALL = (
    Protocol("standard", "lower case, punctuation deleted, all references, brevity penalty", TextCleaning()),
    Protocol(
        "show-attend-tell",
        "as standard, but BLEU without brevity penalty, as Show, Attend and Tell reports it",
        TextCleaning(),
        brevity_penalty=False,
    ),
    Protocol(
        "tutorial",
        "as popular tutorials score: one-letter words and words with digits dropped, "
        "startseq and endseq counted as words",
        TextCleaning(keep_digits=False, keep_one_letter_words=False),
        boundary_tags=True,
    ),
    Protocol("coco", "as coco-caption: Penn Treebank tokens in lower case without punctuation", None),
    Protocol(
        "by-character",
        "as standard, and in scripts without spaces, such as Chinese, Japanese and Thai, each character is a word",
        TextCleaning(),
        by_character=True,
    ),
)
PROTOCOLS = {protocol.name: protocol for protocol in _ALL}
"""The protocols by name.

`standard`: Karpathy's preparation, comparable with most published scores; see `text.TextCleaning`.
`show-attend-tell`: Xu et al. 2015 (arXiv:1502.03044) report BLEU "without a brevity penalty".
`tutorial`: the cleaning and the tag counting of the tutorials that many projects copy; there to reproduce
their numbers, not to compare captioners. (Several of them print BLEU-3 with weights of 0.3 in place of 1/3, which
comes out higher; here it is 1/3 everywhere.)
`by-character`: for captions in scripts that are written without spaces; whole sentences would count as one word.
`coco`: Chen et al. 2015, Microsoft COCO Captions (arXiv:1504.00325); needs Java and pycocoevalcap.
"""


def get_protocol(name: str) -> Protocol:
    """The `Protocol` of a name.

    Raises:
        InputError: where there is none; the message lists the names.

    Example:
        >>> get_protocol("standard").description
        'lower case, punctuation deleted, all references, brevity penalty'
    """
    if name not in PROTOCOLS:
        raise InputError(f"protocol is {name!r:.80}; give one of {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]


def tokenize_captions(captions: Sequence[str], protocol: Protocol) -> list[list[str]]:
    """Split captions into words as a protocol asks.

    Example:
        >>> tokenize_captions(["A man's dog, 2 cats!"], PROTOCOLS["standard"])
        [['a', 'mans', 'dog', '2', 'cats']]
        >>> tokenize_captions(["A man's dog, 2 cats!"], PROTOCOLS["tutorial"])
        [['startseq', 'mans', 'dog', 'cats', 'endseq']]
        >>> tokenize_captions(["一只狗"], PROTOCOLS["by-character"])
        [['一', '只', '狗']]
    """
    cleaned: Iterable[str]
    if protocol.cleaning is None:
        cleaned = tokenize_ptb(captions)
    else:
        cleaned = (clean_caption(caption, protocol.cleaning) for caption in captions)
    if protocol.by_character:
        cleaned = map(part_characters, cleaned)
    if protocol.boundary_tags:
        cleaned = map(add_boundaries, cleaned)
    # One object a distinct word: 125,000 captions take 24 MB instead of 84, and compare faster.
    return [list(map(sys.intern, caption.split())) for caption in cleaned]
