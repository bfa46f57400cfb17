"""Laws that hold for any input, tried on what hypothesis makes up: text, tables, datasets, scores."""

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from captioning_utils import InputError
from captioning_utils.datasets import load_dataset
from captioning_utils.evaluation import load_references
from captioning_utils.text import RESERVED_WORDS, TextCleaning, build_vocabulary, clean_caption

FLAGS = st.booleans()
CLEANINGS = st.builds(
    TextCleaning, lower_case=FLAGS, remove_punctuation=FLAGS, keep_digits=FLAGS, keep_one_letter_words=FLAGS
)
ODD = st.sampled_from(  # whole and in parts, which may come together
    [
        *RESERVED_WORDS,
        *("&amp;", "<br>", "<b>", "<", "br", ">", "&", "amp", "NBSP", ";", "&#39", "'", "Start", "seq", " "),
        *("e\u0301", "\u200d", "\ufe0f", "İ", "ß", "ς", "\ud800", "\u200b", "\xad", "क", "\u094d"),
    ]
)
TEXTS = st.lists(st.text(max_size=8) | ODD, max_size=10).map("".join)
CAPTIONS = TEXTS.map(clean_caption)
SENTENCES = st.lists(st.sampled_from("a dog cat runs on two".split()), max_size=9).map(" ".join)


# ---- words


@given(TEXTS, CLEANINGS)
@example("\u200c\u200c", TextCleaning(remove_punctuation=False))
@example("\u093a\u200c\u0273", TextCleaning())  # a mark, a joiner, a letter
@example("&am\xadp; <b\xad>", TextCleaning(remove_punctuation=False))
@example("<<b>br> &NBSP;", TextCleaning(remove_punctuation=False))
@example(8 * "&#3" + "&" + 8 * "shy;8;" + "lt;b>", TextCleaning(remove_punctuation=False))  # a round each
def test_cleaning_again_changes_nothing(text, cleaning):
    cleaned = clean_caption(text, cleaning)
    assert clean_caption(cleaned, cleaning) == cleaned


@given(st.lists(CAPTIONS, min_size=1, max_size=4), CAPTIONS)
def test_decoding_gives_the_known_words_back_in_their_order(captions, other):
    known = {word for caption in captions for word in caption.split()}
    assume(known)
    vocabulary = build_vocabulary(captions, min_count=1)
    for caption in (*captions, other):
        expected = [word if word in known else "<unk>" for word in caption.split()]
        assert vocabulary.decode(vocabulary.encode(caption)).split() == expected


# ---- datasets

CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=9) | st.sampled_from(
    ['A "red" ball', '"', "a, b; c", "two\nlines", "a|b", "tab\there", "['a', 'b']", "None", " spaces ", "=1+1", "1,5"]
)
NAMES = [f"{number}.jpg" for number in range(6)]
ROWS = st.lists(st.fixed_dictionaries({"image": st.sampled_from(NAMES), "caption": CELLS, "notes": CELLS}), min_size=1)
COLUMNS = {"image": "Image", "caption": " CAPTION", "notes": 'my notes\n(of "June")'}
PLAIN = {"columns": ["image", "caption"], "delimiter": ",", "quote_all": False, "line_end": "\n", "encoding": "utf-8"}
SHEETS = st.fixed_dictionaries(
    {
        "columns": st.permutations(["image", "caption", "notes"]),
        "delimiter": st.sampled_from(",;\t|"),
        "quote_all": FLAGS,
        "line_end": st.sampled_from(["\r\n", "\n", "\r"]),
        "encoding": st.sampled_from(["utf-8", "utf-8-sig"]),
        "empty_rows": st.integers(0, 2),
        "empty_columns": st.integers(0, 2),
    }
)


def read_sheet(folder, rows, columns, delimiter, quote_all, line_end, encoding, empty_rows=0, empty_columns=0):
    """What is read of `captions.csv` as spreadsheets write it: empty cells around it, quotation marks where needed."""

    def write(cell):
        needed = quote_all or any(sign in cell for sign in (delimiter, '"', "\n", "\r"))
        return '"' + cell.replace('"', '""') + '"' if needed else cell

    sheet = [COLUMNS, *rows]
    lines = [delimiter.join([*(write(row[name]) for name in columns), *[""] * empty_columns]) for row in sheet]
    lines = [delimiter * (len(columns) + empty_columns - 1)] * empty_rows + lines
    (folder / "captions.csv").write_bytes("".join(line + line_end for line in lines).encode(encoding))
    return [try_to(load, folder / "captions.csv") for load in (load_dataset, load_references)]


def try_to(load, path):
    """What is read, without notes on lines; None where it is refused."""
    try:
        found = load(path)
    except InputError:
        return None
    return found if isinstance(found, dict) else (found.image_paths, found.captions, found.splits)


@pytest.fixture
def photos(tmp_path):
    """A folder with `NAMES`, in which each example writes its captions."""
    for name in NAMES:
        (tmp_path / name).touch()
    return tmp_path


@given(ROWS, SHEETS)
def test_a_sheet_is_the_same_dataset_however_it_is_written(photos, rows, sheet):
    assert read_sheet(photos, rows, **sheet) == read_sheet(photos, rows, **PLAIN)
