"""Cleaning, vocabulary and padding: exact cases, and properties that hold for any text."""

import json
import random
import string
import unicodedata

import numpy as np
import pytest

from captioning_utils import InputError
from captioning_utils.text import (
    MAX_WORD_LENGTH,
    RESERVED_WORDS,
    TextCleaning,
    Vocabulary,
    add_boundaries,
    build_vocabulary,
    clean_caption,
    pad_captions,
)

NO_JOINERS = dict.fromkeys(map(ord, "\u200c\u200d"))  # they stay inside words of some scripts
KEEP_ALL = TextCleaning(lower_case=False, remove_punctuation=False)
TUTORIALS = TextCleaning(keep_digits=False, keep_one_letter_words=False)


def random_texts(count, seed):
    """Strings of every kind of character, ugly on purpose, with reserved words thrown in."""
    pool = random.Random(seed)
    alphabet = (
        string.printable + "éÉßİΣς½Ⅷ犬हि" + "\u0301\u200d\u200b\u00ad\u2014\u2019\u201c\u00a0\u3000\ufffd\ud800\x00\x1f"
    )
    for _ in range(count):
        characters = [pool.choice(alphabet) for _ in range(pool.randrange(30))]
        characters += [chr(pool.randrange(0x110000)) for _ in range(pool.randrange(5))]
        characters += [pool.choice([" startseq ", "start-seq", "<unk>", "<pad>", " a ", "EndSeq"])]
        pool.shuffle(characters)
        yield "".join(characters)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("A child in a pink dress .", "a child in a pink dress"),
        ("man's t-shirt, and/or hat", "mans tshirt andor hat"),
        ("man’s t‑shirt", "mans tshirt"),
        ("left—right … “quoted” 😀", "left right quoted"),
        ("tab\there\x00nul\nline\u00a0nbsp", "tab here nul line nbsp"),
        ("soft\u00adhyphen \ufeffmark", "softhyphen mark"),
        ("2 dogs, 4x4", "2 dogs 4x4"),
        ("Cafe\u0301 ÉTÉ", "café été"),
        ("e'\u0301", "é"),  # what stood between letter and accent is gone, so they are one letter
        ("两只狗。कुत्ता", "两只狗 कुत्ता"),
        ("startseq a dog endseq", "a dog"),
        ("Start-Seq a dog <unk> <pad>", "a dog unk pad"),
        ("a man&#39;s dog &amp; a &quot;stop&quot; sign", "a mans dog a stop sign"),
        (
            "a dog<br>runs <i>fa</i>st<br/>&nbsp;home &#x2014; AT&T &lt;3 &amp;amp; 1<2 p>q",
            "a dog runs fast home att 3 12 pq",
        ),
        ('<p class="x">A dog</p><p>A cat</p>', "a dog a cat"),
        ("<td>a <del>cat</del> <s>c</s>dog</td><td>foot<wbr>ball</td><!-- a\nb -->", "a cat cdog football"),
        ("a <dog> <person> walks <start>", "a dog person walks start"),
        ("I ❤️ my dog", "i my dog"),  # the heart, and U+FE0F, the choice of how it looks
        ("gate 1️⃣ #️⃣ 👩‍👧 👍🏽 🏴󠁧󠁢󠁥󠁮󠁧󠁿 end", "gate 1 end"),
        ("dog\u200bcat\u2060fish", "dog catfish"),  # a space without width; a joiner of words
        ("\u0301 dog ☀\u0301s", "dog s"),
        ("ශ්\u200dරී ලංකා", "ශ්\u200dරී ලංකා"),  # Sinhala, Persian, Hindi: other letters without the joiner
        ("می\u200cرود \u200cسگ\u200c", "می\u200cرود سگ"),
        ("क्\u200d\u200dष", "क्\u200dष"),
        ("auf\u200clage d\u200dog", "auflage dog"),
        ("അവന്\u200d അവ\u200d ന്\u200c", "അവന്\u200d അവ ന്"),  # Malayalam's n without a vowel, as it was long written
        ("\u3164 dog\uffa0\u115f\u1160 a\u034fb", "dog ab"),  # letters that show nothing
        (string.punctuation, ""),
        ("", ""),
    ],
)
def test_cleaning_by_default(raw, expected):
    assert clean_caption(raw) == expected


def test_ascii_cleaning_equals_the_usual_preparation():
    """Lower case, `string.punctuation` deleted, split at spaces: what NeuralTalk's scripts do."""
    pool = random.Random(3)
    table = str.maketrans("", "", string.punctuation)
    alphabet = string.ascii_letters + string.digits + string.punctuation + "     "
    for _ in range(500):
        raw = "".join(pool.choices(alphabet, k=60))
        assert clean_caption(raw).split() == raw.lower().translate(table).split()


def test_each_setting_does_its_part():
    raw = "A man's 4x4 , Ⅷ ½ truck 犬"
    assert clean_caption(raw, TextCleaning(lower_case=False)).startswith("A mans 4x4")
    assert clean_caption("A man's hat .", TextCleaning(remove_punctuation=False)) == "a man's hat ."
    assert clean_caption(raw, TextCleaning(keep_digits=False)) == "a mans truck 犬"
    assert clean_caption(raw, TUTORIALS) == "mans truck"
    assert clean_caption("<unk> startseq <pad> a dog endseq", KEEP_ALL) == "a dog"  # boundaries cannot be typed


@pytest.mark.parametrize("cleaning", [TextCleaning(), KEEP_ALL, TUTORIALS])
def test_cleaning_any_text(cleaning):
    for raw in random_texts(1500, seed=1):
        cleaned = clean_caption(raw, cleaning)
        words = cleaned.split(" ") if cleaned else []
        assert words == cleaned.split()
        assert not set(words) & set(RESERVED_WORDS)
        assert unicodedata.is_normalized("NFC", cleaned)
        assert all(unicodedata.category(character)[0] != "C" for character in cleaned.translate(NO_JOINERS))
        assert not {end for word in words for end in (word[0], word[-1])} & set("\u200c\ufe0f")
        assert all(unicodedata.combining(word[-2]) == 9 for word in words if word.endswith("\u200d"))
        assert clean_caption(cleaned, cleaning) == cleaned
        cleaned.encode("utf-8")


@pytest.mark.parametrize("caption", [None, 3, b"a dog", ["a dog"], float("nan")])
def test_a_caption_that_is_no_text_is_refused(caption):
    with pytest.raises(InputError, match="a caption is a"):
        clean_caption(caption)


def test_cleaning_settings_round_trip_through_json():
    assert TextCleaning.from_dict(json.loads(json.dumps(TUTORIALS.to_dict()))) == TUTORIALS
    assert TextCleaning.from_dict({}) == TextCleaning()


@pytest.mark.parametrize("value", [None, [], {"lower": True}, {"lower_case": "yes"}, {"keep_digits": 1}, {7: True}])
def test_foreign_cleaning_settings_are_refused(value):
    with pytest.raises(InputError, match="text cleaning"):
        TextCleaning.from_dict(value)


def test_vocabulary_by_hand():
    captions = ["two dogs run", "two dogs sit", "dogs sit on grass"]
    vocabulary = build_vocabulary(captions, min_count=2)
    assert vocabulary.words == ("<pad>", "startseq", "endseq", "<unk>", "dogs", "sit", "two")
    assert len(vocabulary) == 7
    assert (vocabulary.pad_id, vocabulary.start_id, vocabulary.end_id, vocabulary.unknown_id) == (0, 1, 2, 3)
    assert vocabulary.encode("two cats sit") == [1, 6, 3, 5, 2]
    assert vocabulary.encode("two cats sit", max_words=1) == [1, 6, 2]
    assert vocabulary.encode("two", max_words=0) == [1, 2]
    assert vocabulary.encode("") == [1, 2]
    assert vocabulary.encode("two") == [vocabulary.words.index(word) for word in add_boundaries("two").split()]
    with pytest.raises(InputError, match="max_words is -1"):
        vocabulary.encode("two", max_words=-1)
    assert vocabulary.decode(np.array([1, 6, 3, 5, 2, 4, 0], dtype=np.int32)) == "two <unk> sit"
    assert vocabulary.decode([]) == ""
    assert "sit" in vocabulary
    assert "grass" not in vocabulary
    assert "startseq" not in vocabulary


def test_a_caption_cannot_smuggle_boundary_tokens_in():
    vocabulary = build_vocabulary(["a dog startseq endseq <pad>"], min_count=1)
    assert set(vocabulary.ordinary_words) == {"a", "dog"}
    assert vocabulary.encode("a endseq startseq <pad> dog") == [1, 4, 3, 3, 3, 5, 2]


def test_vocabulary_round_trip_of_any_text():
    captions = [clean_caption(raw) for raw in random_texts(400, seed=2)]
    vocabulary = build_vocabulary(captions, min_count=1)
    assert Vocabulary.from_dict(json.loads(json.dumps(vocabulary.to_dict()))) == vocabulary
    for caption in captions:
        token_ids = vocabulary.encode(caption)
        assert vocabulary.decode(token_ids) == caption
        assert vocabulary.decode([*token_ids, 0, 0, 4]) == caption
        assert all(type(token_id) is int and 0 < token_id < len(vocabulary) for token_id in token_ids)


def test_vocabulary_does_not_depend_on_the_order_of_captions():
    captions = [clean_caption(raw) for raw in random_texts(300, seed=4)]
    vocabulary = build_vocabulary(captions, min_count=2)
    for seed in range(3):
        random.Random(seed).shuffle(captions)
        assert build_vocabulary(iter(captions), min_count=2).words == vocabulary.words


def test_endless_words_stay_unknown():
    endless = "a" * (MAX_WORD_LENGTH + 1)
    vocabulary = build_vocabulary([f"dog {endless}"], min_count=1)
    assert vocabulary.ordinary_words == ("dog",)
    assert vocabulary.encode(endless) == [1, 3, 2]


@pytest.mark.parametrize(
    ("captions", "min_count", "message"),
    [
        ([], 1, "none of 0 words"),
        (["a dog"], 2, "none of 2 words occurs 2 times; lower min_count"),
        (["a dog"], 0, "min_count is 0"),
        ("a dog", 1, "got one string"),
    ],
)
def test_a_vocabulary_without_words_is_refused(captions, min_count, message):
    with pytest.raises(InputError, match=message):
        build_vocabulary(captions, min_count=min_count)


GOOD = [*RESERVED_WORDS, "dog"]


@pytest.mark.parametrize(
    "value",
    [
        *(None, [], {}, {"words": GOOD, "more": 1}, {"words": "dog"}, {"words": dict.fromkeys(GOOD)}),
        *({"words": []}, {"words": GOOD[1:]}, {"words": list(RESERVED_WORDS)}, {"words": ["x"] * 1_000_001}),
        {"words": ["startseq", "<pad>", "endseq", "<unk>", "dog"]},
        *({"words": [*GOOD, word]} for word in ("dog", "startseq", "", "two words", "line\n", 7, ["dog"])),
        {"words": [*GOOD, "x" * (MAX_WORD_LENGTH + 1)]},
    ],
)
def test_a_hostile_vocabulary_is_refused(value):
    with pytest.raises(InputError, match="vocabulary"):
        Vocabulary.from_dict(value)


@pytest.mark.parametrize("token_id", [-1, 5, 10**12])
def test_ids_outside_the_vocabulary_are_refused(token_id):
    with pytest.raises(InputError, match="outside the vocabulary; allowed: 0 to 4"):
        Vocabulary(tuple(GOOD)).decode([1, token_id])


def test_padding_stands_on_the_right_and_never_cuts():
    padded = pad_captions([[1, 4, 2], [1, 2]], length=5)
    assert padded.dtype == np.int32
    assert padded.tolist() == [[1, 4, 2, 0, 0], [1, 2, 0, 0, 0]]
    assert pad_captions([[1, 4, 2], [1, 2]]).shape == (2, 3)
    assert pad_captions([]).shape == (0, 0)
    assert pad_captions([], length=4).shape == (0, 4)
    with pytest.raises(InputError, match="4 tokens, more than 3; encode with max_words=1"):
        pad_captions([[1, 4, 4, 2]], length=3)
