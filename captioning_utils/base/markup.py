"""HTML in captions that were copied from web pages."""

import html
import re

_ENTITY = re.compile(r"&(?:#\d{1,7}|#x[0-9a-f]{1,6}|[a-z][a-z0-9]{1,31});", re.IGNORECASE)
_INLINE = (  # within words; the others stand between words
    "a|abbr|b|bdi|big|cite|code|del|em|font|i|ins|kbd|mark|nobr|q|s|samp|small|span|strike|strong|sub|sup|tt|u|var|wbr"
)
_BLOCK = (
    "article|aside|blockquote|body|br|caption|center|div|d[dlt]|figcaption|figure|footer|h[1-6]|head|header|hr|html|img|"
    "label|li|main|ol|p|pre|section|table|t[dhr]|tbody|thead|title|ul"
)
_TAG = re.compile(
    rf"</?(?:({_INLINE})|{_BLOCK})(?:\s+[\w-]+\s*=[^<>]{{0,2000}})?\s*/?>|<!--[^<>]{{0,2000}}-->",
    re.IGNORECASE,
)


def has_markup(text: str) -> bool:
    """Whether a text (str) holds HTML: an element's tag or an escaped character.

    Example:
        >>> [has_markup(text) for text in ("a stop &amp; go", "a dog<br>runs", "AT&T; 1 < 2", "<start> a dog")]
        [True, True, False, False]
    """
    return strip_markup(text) != text


def strip_markup(text: str) -> str:
    """The text (str) that a browser would show; what is no HTML stays.

    Example:
        >>> strip_markup("a man&#39;s <b>dog</b> &amp;amp; cat<br>run")
        "a man's dog & cat run"
    """
    while "&" in text and (shown := _ENTITY.sub(lambda entity: html.unescape(entity[0]), text)) != text:
        text = shown  # escaped twice, as some tools do
    return _TAG.sub(lambda tag: "" if tag[1] else " ", text) if "<" in text else text
