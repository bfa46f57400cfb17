"""The protocols' words, and their one switch that is not about words."""

import pytest

from captioning_utils import InputError
from captioning_utils.metrics import PROTOCOLS, compute_scores, get_protocol, tokenize_captions

CAPTION = "A man's T-shirt says 42 !"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("standard", "a mans tshirt says 42"),
        ("show-attend-tell", "a mans tshirt says 42"),
        ("tutorial", "startseq mans tshirt says endseq"),
    ],
)
def test_words_of_each_protocol(name, words):
    assert tokenize_captions([CAPTION, ""], get_protocol(name))[0] == words.split()


@pytest.mark.parametrize(
    ("caption", "words"),
    [
        ("一只狗在 BBC 跑。", "一 只 狗 在 bbc 跑"),
        ("犬がボールで遊ぶ", "犬 が ボ ー ル で 遊 ぶ"),
        ("สุนัข วิ่ง", "สุ นั ข วิ่ ง"),
        ("강아지가 달린다 अक्षर", "강아지가 달린다 अक्षर"),  # written with spaces
        ("a café .", "a café"),
        ("3只dogs", "3 只 dogs"),
    ],
)
def test_characters_as_words(caption, words):
    assert tokenize_captions([caption], PROTOCOLS["by-character"]) == [words.split()]


def test_tags_of_other_programs_are_no_words_and_are_told():
    references = {n: ["A dog runs on grass .", "Two men sit on a bench ."] for n in range(4)}
    candidates = dict.fromkeys(references, "a dog runs on grass")
    tagged = dict.fromkeys(references, "<start> a dog runs on grass <end>")
    plain = compute_scores(candidates, references)
    scores = compute_scores(tagged, references)
    assert scores.corpus == plain.corpus
    assert scores.remarks[0].startswith("candidates: '<start>' and '<end>' taken off 4 captions")
    both = {n: [f"[START] {text} [END]" for text in texts] for n, texts in references.items()}
    assert compute_scores(tagged, both).corpus == plain.corpus


def test_a_score_without_meaning_says_why():
    chinese = {n: ["一只棕色的狗在草地上奔跑", "狗在草地上奔跑"] for n in range(3)}
    candidates = dict.fromkeys(chinese, "一只狗在草地上奔跑")
    assert "by-character" in str(compute_scores(candidates, chinese))
    scores = compute_scores(candidates, chinese, "by-character")
    assert scores.remarks == ()
    assert scores.corpus["bleu_4"] > 0.5
    assert "CIDEr-D is 0 for a single photo" in str(compute_scores({1: "a dog"}, {1: ["a dog"]}))
    assert compute_scores({1: "a dog", 2: "a cat"}, {1: ["a dog"], 2: ["a cat"]}).remarks == ()
    assert compute_scores({1: "!", 2: ""}, {1: ["a dog"], 2: ["a cat"]}).remarks == (
        "No candidate holds a word, so every score is 0.",
    )
    assert compute_scores({1: "a dog", 2: "a"}, {1: ["!"], 2: ["?", ""]}).remarks == (
        "No reference holds a word, so every score is 0.",
    )


def test_tags_that_a_captioner_left_in_never_count_twice():
    tagged = "startseq a dog runs endseq"
    assert tokenize_captions([tagged], PROTOCOLS["standard"]) == [["a", "dog", "runs"]]
    assert tokenize_captions([tagged], PROTOCOLS["tutorial"]) == [["startseq", "dog", "runs", "endseq"]]


def test_only_show_attend_tell_leaves_the_brevity_penalty_out():
    assert [name for name, protocol in PROTOCOLS.items() if not protocol.brevity_penalty] == ["show-attend-tell"]


def test_every_protocol_goes_by_its_own_name():
    assert all(get_protocol(name).name == name for name in PROTOCOLS)
    with pytest.raises(InputError, match=r"'coc'; give one of standard, .*coco"):
        get_protocol("coc")
