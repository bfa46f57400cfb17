"""The web page, run by Streamlit's own test harness with the captioner that ships and real VGG16 weights."""

import functools
import io
import itertools
from pathlib import Path

import numpy as np
import pytest
import toys
from PIL import Image

from captioning_utils import InputError
from captioning_utils import captioner as captioner_module
from captioning_utils.captioner import DEFAULT_CAPTIONER, Captioner, captioner_path, load_captioner
from captioning_utils.images import SAMPLES, list_samples
from captioning_utils.scenes import draw_scene, generate_scene
from captioning_utils.settings import FAST_CAPTIONER, GenerationConfig
from captioning_utils.training import combine_captioners

testing = pytest.importorskip("streamlit.testing.v1", reason="the page needs Streamlit (the extra app)")
PAGE = Path(__file__).parents[1] / "streamlit_app.py"
FIRST = next(iter(list_samples()))  # the photograph that the page opens with


@pytest.fixture(scope="module", autouse=True)
def one_captioner():
    """The page and the tests share one captioner, so that each of its settings is compiled once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(captioner_module, "load_captioner", functools.cache(load_captioner))
        yield


@pytest.fixture
def page(vgg16_weights):
    return check(testing.AppTest.from_file(PAGE, default_timeout=600).run())


def check(page):
    assert not page.exception
    return page


def describe(image, captioner=None, **settings):
    """The sentences that the page should show for an image, best first."""
    captioner = captioner or captioner_module.load_captioner(DEFAULT_CAPTIONER)
    (alternatives,) = captioner.caption_images([image], **({"num_captions": 3} | settings))
    return [each.caption for each in alternatives]


def scene(seed):
    return draw_scene(generate_scene(seed))


def choose(page, way):
    """Say what shall be described."""
    control = next(group for group in page.get("button_group") if group.label == "What shall be described?")
    return check(control.set_value(way).run())


def press(page, label):
    return check(next(button for button in page.button if button.label == label).click().run())


def upload(page, *files, label="Photos"):
    uploader = next(each for each in page.file_uploader if each.label.startswith(label))
    return check(uploader.set_value([(*file, "application/octet-stream") for file in files]).run())


def control(elements, name):
    (found,) = (each for each in elements if each.label == name)
    return found


def photo(seed, kind="PNG"):
    file = io.BytesIO()
    scene(seed).save(file, kind)
    return f"photo_{seed}.{kind.lower()}", file.getvalue()


def sentences(page):
    return [header.value for header in page.main.header]


def all_sentences(page):
    """Of the first photo: the best and what else was considered."""
    return [sentences(page)[0], *page.table[0].value.iloc[:, 0]]


def refusals(page):
    return [error.value.replace("\\", "") for error in page.error]


def alternative_texts(page):
    return [image.proto.imgs[0].alt for image in page.main.get("image")]


def make_captioner(decoder="attention", encoder=None, **changes):
    """A small captioner of random weights that reads what the shipped one reads."""
    shipped = captioner_module.load_captioner(DEFAULT_CAPTIONER)
    captions = ["two dogs run on the wet grass", "a red ball"]
    shape, own = shipped.decoder.config.feature_shape, GenerationConfig(beam_size=2, max_length=6)
    return toys.make_captioner(decoder, shape, captions, encoder or shipped.encoder, own, **changes)


def saved(captioner, folder, name="mine.h5"):
    captioner.save(folder / name)
    return name, (folder / name).read_bytes()


def test_it_opens_with_a_photograph_and_its_sentence(page):
    assert page.title[0].value == "Photos in, sentences out"
    assert all_sentences(page) == describe(FIRST)
    assert len(all_sentences(page)) == 3
    assert all(alternative_texts(page))
    assert sentences(page)[0] in alternative_texts(page)
    assert [button.label for button in page.get("download_button")] == ["Download CSV", "Download JSON"]


def test_a_quick_look_comes_first_and_stays_where_the_long_one_fails(page, monkeypatch):
    write, default = Captioner.caption_images, captioner_module.load_captioner(DEFAULT_CAPTIONER).fingerprint

    def write_quickly(captioner, *images, **settings):
        if captioner.fingerprint == default:
            raise InputError("there is no time for that")
        return write(captioner, *images, **settings)

    monkeypatch.setattr(Captioner, "caption_images", write_quickly)
    choose(page, "Your photos")
    upload(page, photo(3))
    quick = captioner_module.load_captioner(captioner_path(FAST_CAPTIONER))
    assert sentences(page) == describe(scene(3), quick, num_captions=1)
    assert sentences(page)[0] in alternative_texts(page)
    assert refusals(page) == ["there is no time for that"]
    monkeypatch.undo()
    check(page.run())
    assert sentences(page) == describe(scene(3))[:1]


def test_another_photograph_says_what_a_person_sees(page):
    press(page, "Cat")
    cat = SAMPLES / "cat.jpg"
    assert sentences(page) == describe(cat)[:1]
    seen = [caption.value.replace("\\", "") for caption in page.main.caption]
    assert f"What a person sees here: {list_samples()[cat]}" in seen


def test_another_scene_and_other_scenes(page):
    choose(page, "Drawn scenes")
    assert sentences(page) == describe(scene(23))[:1]
    press(page, "Dogs")
    assert sentences(page) == describe(scene(27))[:1]
    before = alternative_texts(page)
    press(page, "Draw others")
    assert not set(before[:6]) & set(alternative_texts(page)[:6])
    assert len(sentences(page)) == 1


def test_many_photos_and_one_that_is_none(page):
    choose(page, "Your photos")
    assert sentences(page) == []
    files = [photo(0), ("notes.jpg", b"a shopping list"), photo(35, "JPEG"), ("cut.png", photo(2)[1][:4000])]
    upload(page, *files)
    assert sentences(page) == [describe(io.BytesIO(files[number][1]))[0] for number in (0, 2)]
    assert [refusal.split(" ")[0] for refusal in refusals(page)] == ["notes.jpg", "cut.png"]
    assert "not a photo that can be read here" in refusals(page)[0]


def test_too_many_and_too_large_photos_are_refused_in_a_sentence(page, monkeypatch):
    monkeypatch.setattr("captioning_utils.app.page.MAX_PHOTOS", 1)
    monkeypatch.setattr("captioning_utils.app.page.MAX_PHOTO_MEGABYTES", 1)
    choose(page, "Your photos")
    upload(page, ("vast.bmp", bytes(2 * 2**20)), photo(0))
    assert page.warning[0].value == "2 photos are too many at once; the first 1 are described."
    assert "2 MB; the limit is 1 MB" in refusals(page)[0]
    assert sentences(page) == []


def test_a_photo_from_the_camera(page):
    choose(page, "Camera")
    _, content = photo(0, "JPEG")
    check(page.camera_input[0].set_value(("camera.jpg", content, "image/jpeg")).run())
    assert sentences(page) == describe(io.BytesIO(content))[:1]


def test_search_settings_reach_the_sentences(page):
    control(page.slider, "Beam size").set_value(3)
    control(page.slider, "Num captions").set_value(5)
    control(page.slider, "Max length").set_value(4)
    check(control(page.slider, "Length penalty").set_value(0.5).run())
    settings = {"beam_size": 3, "max_length": 4, "length_penalty": 0.5}
    assert all_sentences(page) == describe(FIRST, **settings)
    check(page.toggle[0].set_value(True).run())
    assert all_sentences(page) == describe(FIRST, **settings, consensus=True)


def test_sampling_settings_reach_the_sentences(page):
    way = next(group for group in page.sidebar.get("button_group") if group.label == "Way of writing")
    check(way.set_value("Sample").run())
    control(page.slider, "Temperature").set_value(1.2)
    control(page.slider, "Top p").set_value(0.8)
    check(control(page.number_input, "Seed").set_value(7).run())
    assert all_sentences(page) == describe(FIRST, temperature=1.2, top_p=0.8, seed=7)


def test_every_control_says_what_it_does(page):
    explained = explanations(page)
    way = next(group for group in page.sidebar.get("button_group") if group.label == "Way of writing")
    check(way.set_value("Sample").run())
    explained |= explanations(page)
    search, sampling = {"Beam size", "Length penalty", "Consensus"}, {"Temperature", "Top p", "Seed"}
    assert set(explained) == search | sampling | {"Num captions", "Max length"}
    assert all(len(text) > 20 for text in explained.values())


def explanations(page):
    """{the label of a control: the line below it}."""
    elements = list(page.sidebar)
    return {
        control.label: text.value
        for control, text in itertools.pairwise(elements)
        if control.type in ("slider", "number_input", "toggle") and text.type == "caption"
    }


@pytest.mark.parametrize("decoder", ["attention", "transformer"])
def test_a_captioner_of_ones_own_shows_where_it_looks(page, tmp_path, decoder):
    captioner = make_captioner(decoder)
    upload(page, saved(captioner, tmp_path), label="Files that")
    assert sentences(page) == describe(FIRST, captioner, num_captions=1)
    words = sentences(page)[0].split()
    slider = page.select_slider[0]
    assert slider.options == [f"{number}. {word}" for number, word in enumerate(words, 1)]
    for number, word in list(enumerate(words, 1))[:2]:
        check(page.select_slider[0].set_value(f"{number}. {word}").run())
        assert any(f"looked for “{word}”" in text for text in alternative_texts(page))
        assert any(f":primary-background[**{word}**]" in each.value for each in page.main.markdown)


def test_an_ensemble_writes_and_says_that_it_has_no_maps(page, tmp_path):
    ensemble = combine_captioners([make_captioner("transformer", max_positions=5), make_captioner("attention")])
    upload(page, saved(ensemble, tmp_path), label="Files that")
    assert control(page.slider, "Max length").max == 5
    assert sentences(page) == describe(FIRST, ensemble, num_captions=1, max_length=5)
    assert any("no look for each word" in caption.value for caption in page.main.caption)
    assert not page.select_slider


def test_two_captioners_side_by_side(page, tmp_path):
    captioner = make_captioner()
    upload(page, saved(captioner, tmp_path), label="Files that")
    compare = next(box for box in page.selectbox if box.label == "Compare with")
    check(compare.set_value(DEFAULT_CAPTIONER.stem).run())
    settings = {"num_captions": 2, "beam_size": 2, "max_length": 6}  # those of the first
    assert sentences(page) == [describe(FIRST, each, **settings)[0] for each in (captioner, None)]
    assert len(page.main.columns) == 3


def test_a_file_that_is_no_captioner_is_refused_and_the_page_goes_on(page, tmp_path):
    _, content = saved(make_captioner(), tmp_path)
    upload(page, ("text.h5", b"not HDF5"), ("cut.h5", content[: len(content) // 2]), label="Files that")
    text, cut = refusals(page)
    assert text.startswith("text.h5 is no readable HDF5 file")
    assert cut.startswith("cut.h5 ")
    assert sentences(page) == describe(FIRST)[:1]


def test_a_captioner_of_features_that_cannot_be_made_is_refused_in_a_sentence(page, tmp_path):
    foreign = "vgg16 grid float32 224x224 bilinear caffe weights:0123456789abcdef"
    upload(page, saved(make_captioner(encoder=foreign), tmp_path), label="Files that")
    assert "trained on" in refusals(page)[0]
    assert sentences(page) == []
    assert page.selectbox  # another can be chosen


def test_a_transformer_of_few_positions_limits_the_length(page, tmp_path):
    upload(page, saved(make_captioner("transformer", max_positions=4), tmp_path), label="Files that")
    assert control(page.slider, "Max length").max == 4
    assert len(sentences(page)[0].split()) <= 4


def test_what_the_model_saw_is_the_squashed_photo(page):
    choose(page, "Your photos")
    wide = np.zeros((100, 400, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(wide).save(file, "PNG")
    upload(page, ("wide.png", file.getvalue()))
    assert "The photo squashed to 448×448 pixels." in alternative_texts(page)
    assert any("400×100 pixels" in caption.value for caption in page.main.caption)
