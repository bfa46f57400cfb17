"""HTML in captions that were copied from web pages."""

import html
import re

_ENTITY = re.compile(r"&(?:#\d{1,7}|#x[0-9a-f]{1,6}|[a-z][a-z0-9]{1,31});$", re.IGNORECASE)
_LONGEST_ENTITY = 34  # characters
_INLINE = (  # within words; the others stand between words
    "a|abbr|b|bdi|big|cite|code|del|em|font|i|ins|kbd|mark|nobr|q|s|samp|small|span|strike|strong|sub|sup|tt|u|var|wbr"
)
_BLOCK = (
    "article|aside|blockquote|body|br|caption|center|div|d[dlt]|figcaption|figure|footer|h[1-6]|head|header|hr|html|img|"
    "label|li|main|ol|p|pre|section|table|t[dhr]|tbody|thead|title|ul"
)
_TAG = re.compile(rf"</?(?:({_INLINE})|{_BLOCK})(?:\s+[\w-]+\s*=[^<>]*)?\s*/?>|<!--[^<>]*-->", re.IGNORECASE)


def has_markup(text: str) -> bool:
    """Whether a text (str) holds HTML: an element's tag or an escaped character.

    Example:
        >>> [has_markup(text) for text in ("a stop &amp; go", "a dog<br>runs", "AT&T; 1 < 2", "<start> a dog")]
        [True, True, False, False]
    """
    return strip_markup(text) != text


def strip_markup(text: str) -> str:
    """The text (str) that a browser would show; what is no HTML stays. Once more, it changes nothing.

    Example:
        >>> strip_markup("a man&#39;s <b>dog</b> &amp;amp; cat<br>run")
        "a man's dog & cat run"
    """
    if "&" not in text and "<" not in text:
        return text
    shown: list[str] = []  # characters; each is looked at once, however deep it stands in others
    opened: list[int] = []  # places in it of the "<" that no ">" has closed
    waiting = list(reversed(text))
    while waiting:
        shown.append(waiting.pop())
        if shown[-1] == ";":
            entity = _ENTITY.search("".join(shown[-_LONGEST_ENTITY:]))
            plain = html.unescape(entity[0]) if entity else ""
            if entity and plain != entity[0]:
                del shown[-len(entity[0]) :]
                waiting += reversed(plain)  # it may end another entity, as in what was escaped twice
        elif shown[-1] == "<":
            opened.append(len(shown) - 1)
        elif shown[-1] == ">" and opened:
            tag = _TAG.fullmatch("".join(shown[opened[-1] :]))
            if tag:
                shown[opened.pop() :] = "" if tag[1] else " "
            else:
                opened.clear()
    return "".join(shown)
