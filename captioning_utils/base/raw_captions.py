"""Captions as other tools leave them in files: several in one cell, words that stand for none, tags around them."""

import ast
import collections
import io
import re
import tokenize
from collections.abc import Collection
from typing import NamedTuple

from captioning_utils.base.wording import count_noun

NO_CAPTION = (  # how programs write that there is nothing, or that they could not compute it
    *("nan", "-nan", "nat", "none", "null", "nil", "undefined", "n/a", "#n/a", "na", "#na", "<na>"),
    *("#name?", "#ref!", "#value!"),
)


def is_missing(caption: object) -> bool:
    """Whether a value stands for no caption: None, not a number, or a word by which programs write these.

    Example:
        >>> [is_missing(value) for value in (None, float("nan"), " NaN", "A nan bread", "")]
        [True, True, True, False, False]
    """
    if isinstance(caption, str):
        return caption.strip().lower() in NO_CAPTION
    return caption is None or caption != caption


_LIST = re.compile(r"(?:array\()?[\[({].*[\])}]$", re.DOTALL)
_IN_LISTS = (*"[](){},=", "array", "dtype", "object")  # beside the captions


def split_cell(cell: str) -> list[str]:
    """The captions in a cell of a table: those of a list in Python's, NumPy's or JSON's writing, else the cell.

    Example:
        >>> split_cell("['A dog runs.', \\"A dog's ball\\", nan]"), split_cell("[START] a dog [END]")
        (['A dog runs.', "A dog's ball"], ['[START] a dog [END]'])
    """
    text = cell.strip()
    if not _LIST.match(text):
        return [cell]
    captions = []
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.STRING:
                captions.append(ast.literal_eval(token.string))  # one string in quotation marks, nothing else
            elif token.string.strip() and token.string not in _IN_LISTS and not is_missing(token.string):
                return [cell]
    except (tokenize.TokenError, SyntaxError, ValueError, MemoryError, RecursionError):
        return [cell]
    return captions if captions and all(isinstance(caption, str) for caption in captions) else [cell]


# Tags that training scripts put around captions. In brackets they are never words; bare ones could be.
_BARE_BEGIN, _BARE_END = "startseq|start|sos|bos|ssss", "endseq|end|eos|eeee"
_BEGIN = re.compile(rf"[<\[{{]\|?(?:{_BARE_BEGIN}|startoftext|s|begin|go|cls)\|?[>\]}}]|(?:{_BARE_BEGIN})(?!\S)", re.I)
_END = re.compile(
    rf"(?:[<\[{{]\|?(?:{_BARE_END}|endoftext|/s|stop|sep)\|?[>\]}}]|(?<!\S)(?:{_BARE_END}))(?:\s*[<\[]pad[>\]])*$", re.I
)
NEARLY_ALL, MOST = 0.9, 0.5  # share of the captions
FEW = 10  # captions, of which bare words at both ends may be an accident


class BoundaryTags(NamedTuple):
    """Tags around captions that belong to the program that wrote them, not to the sentences; "" for none.

    Example:
        >>> tags = find_boundary_tags(["<start> A dog . <end>", "<start> Two men . <end>"])
        >>> tags, tags.drop("<start> A cat . <end>")
        (BoundaryTags(begin='<start>', end='<end>'), 'A cat .')
    """

    begin: str
    end: str

    def drop(self, caption: str) -> str:
        """The caption (str) without them."""
        caption, begin, end = caption.strip(), _BEGIN.match(caption.strip()), _END.search(caption.strip())
        if end and self.end:
            caption = caption[: end.start()]
        if begin and self.begin:
            caption = caption[begin.end() :]
        return caption.strip()

    def tell(self, number: int) -> str:
        """A sentence on how many captions they were taken off."""
        names = " and ".join(repr(tag) for tag in self if tag)
        return f"{names} taken off {count_noun(number, 'caption')}: boundary tags of another program, not words"


def find_boundary_tags(captions: Collection[str]) -> BoundaryTags | None:
    """The tags with which nearly all captions begin and end, or None.

    Example:
        >>> find_boundary_tags(["[START] a dog", "a [cat]"]) is None
        True
    """
    texts = [caption.strip() for caption in captions]
    begins = collections.Counter(match[0].lower() for text in texts if (match := _BEGIN.match(text)))
    ends = collections.Counter(match[0].split()[0].lower() for text in texts if (match := _END.search(text)))
    (begin, begin_count), (end, end_count) = (*begins.most_common(1), ("", 0))[0], (*ends.most_common(1), ("", 0))[0]
    begin = begin if begin_count >= NEARLY_ALL * len(texts) else ""
    # a captioner that writes on to its limit leaves the tag at the end out
    end = end if end_count >= (MOST if begin else NEARLY_ALL) * len(texts) else ""
    is_bare = any(tag and tag[0] not in "<[{" for tag in (begin, end))
    if not (begin or end) or (is_bare and (len(texts) < FEW or not (begin and end))):
        return None
    return BoundaryTags(begin, end)
