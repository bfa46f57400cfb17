"""Laws that hold for any input, tried on what hypothesis makes up: text, tables, datasets, scores."""

from hypothesis import assume, example, given
from hypothesis import strategies as st

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
