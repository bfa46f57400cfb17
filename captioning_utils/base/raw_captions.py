"""Captions as other tools leave them in their files: several in one cell, and words that stand for none."""

import ast
import io
import tokenize

NO_CAPTION = ("nan", "none", "null", "n/a", "#n/a", "na", "<na>")  # how programs write that there is nothing


def is_missing(caption: object) -> bool:
    """Whether a value stands for no caption: None, not a number, or a word by which programs write these.

    Example:
        >>> [is_missing(value) for value in (None, float("nan"), " NaN", "A nan bread", "")]
        [True, True, True, False, False]
    """
    if isinstance(caption, str):
        return caption.strip().lower() in NO_CAPTION
    return caption is None or caption != caption


def split_cell(cell: str) -> list[str]:
    """The captions in a cell of a table: those of a list in Python's, NumPy's or JSON's writing, else the cell.

    Example:
        >>> split_cell("['A dog runs.', \\"A dog's ball\\"]"), split_cell("[START] a dog [END]")
        (['A dog runs.', "A dog's ball"], ['[START] a dog [END]'])
    """
    text = cell.strip()
    if not (text.startswith("[") and text.endswith("]")):
        return [cell]
    captions = []
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.STRING:
                captions.append(ast.literal_eval(token.string))
            elif token.string not in ("[", "]", ",") and token.string.strip():
                return [cell]
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return [cell]
    return captions if captions and all(isinstance(caption, str) for caption in captions) else [cell]
