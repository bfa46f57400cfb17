"""The protocols' words, and their one switch that is not about words."""

import pytest

from captioning_utils import InputError
from captioning_utils.metrics import PROTOCOLS, get_protocol, tokenize_captions

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
