import re

import pytest
from test_packaging import ROOT
from toys import make_captioner

from captioning_utils import InputError
from captioning_utils.base.files import read_json
from captioning_utils.captioner import PRETRAINED, load_captioner
from captioning_utils.sharing import build_model_card

RESULTS = ROOT / "results" / "flickr8k" / "flickr8k_merge.json"


def front_matter(card):
    yaml, _, rest = card.removeprefix("---\n").partition("\n---\n")
    assert rest
    return yaml.splitlines()


def test_the_shipped_captioners_card_says_data_settings_scores_and_use():
    captioner = load_captioner(PRETRAINED / "flickr8k_merge.h5")
    card = build_model_card(captioner, "me/flickr8k-merge", license="mit", results=read_json(RESULTS))
    assert front_matter(card)[0] == "license: mit"
    assert "| dataset | flickr8k |" in card
    assert "learning_rate: 0.001" in card
    assert re.search(r"\| BLEU-4 \| 20\.3 \(19\.1–21\.6\) \|", card)
    assert "flickr8k's test split, 1,000 photos" in card
    assert "python -m captioning_utils pull me/flickr8k-merge" in card
    assert "It knows 2,537 words" in card
    assert captioner.fingerprint in card
    assert "CC BY 4.0" in card
    assert not re.search(r"\{\w+\}", card)  # every gap of the template is filled


def test_without_scores_licence_or_history_the_card_says_so():
    captioner = make_captioner()
    captioner.training = {}
    card = build_model_card(captioner, "me/toy")
    assert front_matter(card)[0] == "library_name: keras"
    assert "No licence is stated" in card
    assert "does not say how it was trained" in card
    assert "None are stated here" in card


def test_an_ensembles_card_names_its_members_and_shows_no_histories():
    member = {"dataset": "toy", "settings": {"seed": 4}, "history": [{"epoch": 1}], "self_critical": {"history": [1]}}
    captioner = make_captioner()
    captioner.training = {"dataset": "toy", "members": [member, member]}
    card = build_model_card(captioner, "me/toy")
    assert "| member 2 | dataset: toy, settings: {'seed': 4} |" in card
    assert "history" not in card


def test_an_encoder_that_was_trained_further_is_said_to_be_in_the_file():
    captioner = make_captioner()
    assert "(not trained here)" in build_model_card(captioner, "me/toy")
    captioner.encoder += " tuned:2"
    captioner.encoder_weights = {"block5_conv1 kernel": 1}
    assert "the last 2 were trained further and are in this file" in build_model_card(captioner, "me/toy")


def test_scores_of_another_captioner_are_refused():
    with pytest.raises(InputError, match=r"of captioner \w{12}(, \w{12})+, this one is \w{12};"):
        build_model_card(make_captioner(), "me/toy", results=read_json(RESULTS))


@pytest.mark.parametrize(
    "change",
    [
        {"captioners": 5},
        {"captioners": [5]},
        {"captioner": []},
        {"scores": None},
        {"scores": {"no such score": {"value": 1}}},
        {"scores": {"bleu_1": {"value": "x"}}},
        {"protocol": "none"},
        {"num_images": "x"},
    ],
)
def test_damaged_results_are_refused(change):
    captioner = make_captioner()
    own = read_json(RESULTS)["captioners"][0] | {"captioner": {"fingerprint": captioner.fingerprint}}
    with pytest.raises(InputError, match="results are incomplete or damaged"):
        build_model_card(captioner, "me/toy", results=own | change)


def test_its_own_scores_are_found_among_those_of_several():
    captioner, document = make_captioner(), read_json(RESULTS)["captioners"][0]
    own = document | {"captioner": {"fingerprint": captioner.fingerprint}, "num_images": 7}
    assert "7 photos" in build_model_card(captioner, "me/toy", results={"captioners": [document, own]})
    assert "7 photos" in build_model_card(captioner, "me/toy", results=own)


def test_a_licence_is_an_identifier():
    with pytest.raises(InputError, match="licence's identifier"):
        build_model_card(make_captioner(), "me/toy", license="mit\nmodel-index: x")


def test_a_strangers_summary_cannot_break_out_of_the_table():
    captioner = make_captioner()
    captioner.training = {"dataset": "a | b\n\n# Free <script> [here](https://x.y)"}
    line = next(line for line in build_model_card(captioner, "me/toy").splitlines() if line.startswith("| dataset"))
    assert line == r"| dataset | a \| b # Free \<script\> \[here\](https://x.y) |"
