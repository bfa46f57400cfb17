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


# Tags that training scripts put around captions. In brackets the usual ones are never words; bare ones could be, and
# what is bracketed or decorated in another way counts where the same stands at both ends of nearly all captions.
_OPEN, _CLOSE = r"(?:[<\[{]|&lt;)\|?", r"\|?(?:[>\]}]|&gt;)"
_BARE_BEGIN = "startseq|start|begin|sos|bos|ssss|(?:start|begin)(?:of)?(?:token|text|sentence)|tokenstart"
_BARE_END = "endseq|end|eos|eeee|end(?:of)?(?:token|text|sentence)|tokenend"
_USUAL_BEGIN = rf"{_OPEN}(?:{_BARE_BEGIN}|startoftext|s|go|cls){_CLOSE}"
_USUAL_END = rf"{_OPEN}(?:{_BARE_END}|endoftext|/s|stop|sep){_CLOSE}"
_DECORATED = r"[_#$*]+[^\W_]{1,30}[_#$*]*|[^\W_]{1,30}[_#$*]+"
_BRACKETED = rf"{_OPEN}[\w/.-]{{1,30}}{_CLOSE}"
_PADS = rf"(?:{_OPEN}pad{_CLOSE}\s*)*"
_BEGIN = re.compile(rf"{_PADS}({_USUAL_BEGIN}|{_BRACKETED}|(?:{_BARE_BEGIN}|{_DECORATED})(?!\S))", re.I)
_END = re.compile(rf"({_USUAL_END}|{_BRACKETED}|(?<!\S)(?:{_BARE_END}|{_DECORATED}))$", re.I)
_PADS_AT_END = re.compile(rf"\s*{_PADS}$", re.I)
_USUAL = re.compile(rf"(?:{_USUAL_BEGIN}|{_USUAL_END})", re.I)
NEARLY_ALL, MOST = 0.9, 0.5  # share of the captions
FEW = 10  # captions, of which words at both ends may be an accident


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
        caption = caption.strip()
        for split, own in ((_split_end, self.end), (_split_begin, self.begin)):
            tag, rest = split(caption)
            caption = rest if own and tag == own else caption
        return caption

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
    (begin, begin_count), (end, end_count) = (
        (*collections.Counter(filter(None, (split(text)[0] for text in texts))).most_common(1), ("", 0))[0]
        for split in (_split_begin, _split_end)
    )
    begin = begin if begin_count >= NEARLY_ALL * len(texts) else ""
    # a captioner that writes on to its limit leaves the tag at the end out
    least = MOST if begin and _USUAL.fullmatch(end) else NEARLY_ALL
    end = end if end_count >= least * len(texts) else ""
    are_usual = all(_USUAL.fullmatch(tag) for tag in (begin, end) if tag)
    if not (begin or end) or (not are_usual and (len(texts) < FEW or not (begin and end))):
        return None
    return BoundaryTags(begin, end)


def _split_begin(text: str) -> tuple[str, str]:
    """The tag at the beginning in lower case, "" for none, and the rest."""
    match = _BEGIN.match(text)
    return (match[1].lower(), text[match.end() :].strip()) if match else ("", text)


def _split_end(text: str) -> tuple[str, str]:
    """As `_split_begin`, at the end; a tag is no longer than the last word."""
    kept = _PADS_AT_END.sub("", text) if text.endswith((">", "]", "}", ";")) else text
    start = kept.rfind(" ") + 1
    match = _END.search(kept[start:])
    return (match[1].lower(), kept[: start + match.start()].strip()) if match else ("", text)
