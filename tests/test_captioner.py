import dataclasses
import json

import h5py
import numpy as np
import pytest
from PIL import Image
from toys import ENCODER, ToyEncoder, make_captioner

from captioning_utils import InputError
from captioning_utils.base.quantization import dequantize, quantize
from captioning_utils.base.word_pairs import collect_pairs
from captioning_utils.captioner import FORMAT_VERSION, Captioner, load_captioner, predict_alternatives, predict_caption
from captioning_utils.features import FeatureCache
from captioning_utils.settings import FAST_CAPTIONER, GenerationConfig


@pytest.fixture
def captioner():
    return make_captioner()


@pytest.fixture
def path(captioner, tmp_path):
    captioner.save(tmp_path / "image_caption_model.h5")
    return tmp_path / "image_caption_model.h5"


FEATURES = np.random.default_rng(0).random((5, 8)).astype("float16")


def test_saved_and_loaded_captioners_are_equal(captioner, path):
    opened = load_captioner(path)
    assert opened.caption_features(FEATURES, num_captions=2) == captioner.caption_features(FEATURES, num_captions=2)
    assert opened.vocabulary == captioner.vocabulary
    assert opened.generation == captioner.generation
    assert opened.training == {"dataset": "toy"}
    assert opened.fingerprint == captioner.fingerprint


def test_fingerprint_follows_weights_and_settings(captioner):
    assert make_captioner(seed=0).fingerprint == captioner.fingerprint
    assert make_captioner(seed=1).fingerprint != captioner.fingerprint
    captioner.generation = GenerationConfig(beam_size=3)
    assert make_captioner(seed=0).fingerprint != captioner.fingerprint


def test_half_precision_file_is_half_as_large_and_nearly_equal(captioner, tmp_path):
    captioner.save(tmp_path / "half.h5", dtype="float16")
    opened = load_captioner(tmp_path / "half.h5")
    for ours, theirs in zip(captioner.decoder.get_weights(), opened.decoder.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4)


def test_a_file_of_8_bits_is_a_quarter_and_keeps_every_sentence_it_can(captioner, tmp_path):
    captioner.save(tmp_path / "int8.h5", dtype="int8")
    opened = load_captioner(tmp_path / "int8.h5")
    for ours, theirs in zip(captioner.decoder.get_weights(), opened.decoder.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=np.abs(ours).max() / 250)
    opened.save(tmp_path / "again.h5", dtype="int8")
    assert load_captioner(tmp_path / "again.h5").fingerprint == opened.fingerprint
    with pytest.raises(InputError, match="there is no dtype 'int4'; give float32, float16, int8"):
        captioner.save(tmp_path / "int4.h5", dtype="int4")


BLOCKS = {
    "000 block4_conv1 kernel": np.random.default_rng(0).normal(size=(3, 3, 64, 16)).astype("float32"),
    "001 block4_conv1 bias": np.random.default_rng(1).normal(size=16).astype("float32"),
    "002 block5_conv1 kernel": np.random.default_rng(2).normal(size=(3, 3, 16, 8)).astype("float32"),
}


@pytest.mark.parametrize(("bits", "share"), [(8, 1 / 4), (16, 1 / 2), (32, 1)])
def test_blocks_that_learned_come_back_as_they_were_rounded(captioner, path, tmp_path, bits, share):
    captioner.encoder_weights = dequantize(quantize(BLOCKS, bits))
    captioner.save(tmp_path / "tuned.h5", dtype="int8")
    opened = load_captioner(tmp_path / "tuned.h5").encoder_weights
    assert list(opened) == list(BLOCKS)
    for name, array in captioner.encoder_weights.items():
        np.testing.assert_array_equal(opened[name], array)
    with h5py.File(tmp_path / "tuned.h5") as file:
        stored = sum(part.nbytes for part in file["arrays/encoder"].values())
    assert stored == pytest.approx(share * sum(array.nbytes for array in BLOCKS.values()), rel=0.02)


def test_files_from_before_open(captioner, path):
    """Blocks as float16, decoder as float32: what earlier releases wrote."""
    with h5py.File(path, "a") as file:
        del file.attrs["digest"]
        for name, array in BLOCKS.items():
            file[f"arrays/encoder/{name}"] = array.astype("float16")
    opened = load_captioner(path)
    assert opened.fingerprint == captioner.fingerprint
    for name, array in BLOCKS.items():
        np.testing.assert_array_equal(opened.encoder_weights[name], array.astype("float16"))


@pytest.mark.parametrize("place", ["arrays/encoder/000 block4_conv1 kernel", "arrays/000 kernel"])
def test_damaged_numbers_of_8_bits_are_refused(captioner, path, place):
    with h5py.File(path, "a") as file:
        del file.attrs["digest"]
        file[place] = np.ones((3, 2), np.int8)
        file[f"{place} scale"] = np.full(2, np.nan, np.float32)
    with pytest.raises(InputError, match=r"image_caption_model\.h5: .*out of range; copy or download"):
        load_captioner(path)


def test_a_word_limit_and_a_setting_reach_the_generation(captioner):
    assert all(len(best[0].caption.split()) <= 2 for best in captioner.caption_features(FEATURES, max_length=2))
    with pytest.raises(InputError, match="unknown setting 'beams'"):
        captioner.caption_features(FEATURES, beams=3)
    assert captioner.caption_features(FEATURES[:0]) == []
    assert predict_caption([], captioner=captioner) == []


def test_features_of_another_encoder_are_refused_by_both_names(captioner):
    other = ENCODER.replace("avg", "grid")
    with pytest.raises(InputError, match=f"{other}.*{ENCODER}"):
        captioner.check_features(FeatureCache(other, (8,), [], {}, []))
    with pytest.raises(InputError, match=r"\(9,\).*\(8,\)"):
        captioner.caption_features(np.zeros((1, 9), "float16"))


def test_more_alternatives_than_sentences_exist(captioner):
    found = captioner.caption_features(FEATURES, num_captions=40, max_length=1)
    assert {len(alternatives) for alternatives in found} == {len(captioner.vocabulary.ordinary_words)}
    assert all(each.caption in captioner.vocabulary for alternatives in found for each in alternatives)
    assert len(captioner.caption_features(FEATURES, num_captions=4)[0]) == 4
    with pytest.raises(InputError, match="raise beam_size"):  # one that is asked for is not widened in silence
        captioner.caption_features(FEATURES, num_captions=4, beam_size=2)


def edit_document(name="captioner", **changes):
    def edit(file):
        document = json.loads(file[f"documents/{name}"][()].tobytes())
        for entry, value in changes.items():
            document[entry] = value(document.get(entry))
        del file[f"documents/{name}"]
        file[f"documents/{name}"] = np.frombuffer(json.dumps(document).encode(), "uint8")

    return edit


def edit_training(**entries):
    return edit_document("training", **{name: lambda _, value=value: value for name, value in entries.items()})


def replace_array(name, array):
    def edit(file):
        key = next(key for key in file["arrays"] if name in key)
        del file["arrays"][key]
        file["arrays"].create_dataset(key, **array)

    return edit


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda file: file.attrs.__setitem__("format_version", FORMAT_VERSION + 1), "format version 2"),
        (lambda file: file.attrs.__setitem__("kind", "training checkpoint"), "not a captioner"),
        (lambda file: file.attrs.__delitem__("kind"), "not a captioner"),
        (lambda file: file.__delitem__("documents/captioner"), "incomplete"),
        (edit_document(decoder=lambda name: "lambda"), "unknown decoder"),
        (edit_document(decoder_config=lambda config: config | {"hidden_dim": 10**9}), "numbers, its decoder has"),
        (edit_document(decoder_config=lambda config: config | {"feature_shape": [8.0e9]}), "feature_shape"),
        (edit_document(decoder_config=lambda config: config | {"feature_shape": [1, 65536]}), "numbers, its decoder"),
        (edit_document(decoder_config=lambda config: config | {"num_heads": float("nan")}), "num_heads"),
        (edit_document(decoder_config=lambda config: config | {"hidden_dim": -16}), "hidden_dim is -16"),
        (edit_document(generation=lambda settings: settings | {"beam_size": 10**9}), "beam_size is 1000000000"),
        (edit_document(generation=lambda settings: settings | {"length_penalty": "x"}), "damaged"),
        (edit_document(decoder_config=lambda config: config | {"hidden_dim": "x"}), "hidden_dim is 'x'"),
        (edit_document(decoder_config=lambda config: config | {"hidden_dim": 15}), "numbers, its decoder has"),
        (edit_document(vocabulary=lambda words: {"words": words["words"][:-1]}), "words for a decoder"),
        (edit_document(encoder=lambda fingerprint: "vgg16"), "no encoder's fingerprint"),
        (edit_document(encoder=lambda fingerprint: 3), "no encoder's fingerprint"),
        (edit_document(generation=lambda settings: settings | {"beam_size": 0}), "beam_size is 0"),
        (edit_training(members=5), "has 5 for members; give a list of objects"),
        (edit_training(members=[5]), "training summary is 5"),
        (edit_training(members=[{"seconds": "x"}]), "has 'x' for seconds"),
        (edit_training(seconds=float("nan")), "has nan for seconds"),
        (edit_training(seconds=10**400), "0 for seconds"),
        (edit_training(self_critical={"seconds": True}), "has True for seconds"),
        (edit_training(self_critical=None), "has None for self_critical"),
        (edit_training(settings=[]), r"has \[\] for settings"),
        (edit_training(history=[{"loss": "x"}]), "for history; give a list of objects of numbers"),
        (edit_training(started_from=7), "has 7 for started_from"),
        (edit_training(dataset=["a"]), "for dataset; give text"),
        (replace_array("logits bias", {"data": np.full(14, np.nan, "float32")}), "NaN"),
        (replace_array("logits bias", {"shape": (2**30,), "dtype": "f4", "chunks": (2**10,)}), "plain array"),
        (replace_array("logits bias", {"data": [b"text"]}), "plain array"),
        (lambda file: file.__setitem__("arrays/more", np.zeros(3, "float32")), "numbers, its decoder has"),
        (lambda file: file.__setitem__("arrays/more", np.zeros(0, "float32")), "arrays, [0-9]+ are wanted"),
        (lambda file: file.__setitem__("arrays/out", h5py.ExternalLink("/etc/passwd", "/")), "link"),
        (lambda file: file.__setitem__("arrays/loop", h5py.SoftLink("/arrays")), "link"),
    ],
)
def test_damaged_and_hostile_files_are_refused(path, edit, message):
    with h5py.File(path, "r+") as file:
        del file.attrs["digest"]  # whoever means harm would write the right one
        edit(file)
    with pytest.raises(InputError, match=message):
        load_captioner(path)


def test_pairs_of_words_are_kept_in_the_file_and_change_what_is_written(captioner, tmp_path):
    captions = "a red dog runs on the ball", "the grass"
    pairs = collect_pairs([captioner.vocabulary.encode(caption) for caption in captions])
    strict = dataclasses.replace(captioner, pairs=pairs)
    assert strict.fingerprint != captioner.fingerprint
    strict.save(tmp_path / "strict.h5", dtype="int8")
    opened = load_captioner(tmp_path / "strict.h5")
    np.testing.assert_array_equal(opened.pairs, pairs)
    for settings in ({}, {"temperature": 2.0, "num_captions": 9}):
        for best in opened.caption_features(FEATURES, **settings):
            tokens = [captioner.vocabulary.encode(each.caption)[:-1] for each in best]
            assert {*map(tuple, collect_pairs(tokens).tolist())} <= {*map(tuple, pairs.tolist())}
    off = strict.caption_features(FEATURES, seen_pairs=False)
    assert off == captioner.caption_features(FEATURES) != strict.caption_features(FEATURES)
    with h5py.File(tmp_path / "strict.h5", "r+") as file:
        del file.attrs["digest"]
        file["arrays/pairs"][0] = 9
    with pytest.raises(InputError, match=r"strict\.h5: the pairs of words are no rising lists"):
        load_captioner(tmp_path / "strict.h5")


def test_cut_and_other_files_are_refused(path, tmp_path):
    whole = path.read_bytes()
    for size in range(0, len(whole), max(1, len(whole) // 40)):
        (tmp_path / "cut.h5").write_bytes(whole[:size])
        with pytest.raises(InputError):
            load_captioner(tmp_path / "cut.h5")
    for content in (b"", b"not HDF5", b"\x89HDF\r\n\x1a\n" + b"\x00" * 50):
        path.write_bytes(content)
        with pytest.raises(InputError, match="no readable HDF5"):
            load_captioner(path)
    with pytest.raises(FileNotFoundError):
        load_captioner(tmp_path / "none.h5")


# ---- the shipped captioner, on real VGG16 weights


@pytest.fixture(scope="module")
def shipped(vgg16_weights):
    return load_captioner()


def picture(colour, size=(300, 200)):
    image = Image.new("RGB", size, colour)
    image.paste("white", (20, 20, 90, 90))
    return image


def test_predict_caption_of_a_path_an_image_and_an_array_agree(shipped, tmp_path):
    image = picture("green")
    image.save(tmp_path / "photo.png")
    sources = [tmp_path / "photo.png", str(tmp_path / "photo.png"), image, np.asarray(image)]
    (caption,) = {predict_caption(source) for source in sources}
    assert len(caption.split()) >= 2
    assert not {"startseq", "endseq", "<unk>", "<pad>"} & set(caption.split())


def test_several_photos_at_once_equal_one_by_one(shipped):
    images = [picture(colour) for colour in ("green", "navy")]
    assert predict_caption(images) == [predict_caption(image) for image in images]


def test_different_photos_get_different_sentences_or_scores(vgg16_weights):
    from captioning_utils.scenes import draw_scene, generate_scene

    alternatives = predict_alternatives([draw_scene(generate_scene(seed)) for seed in range(4)], FAST_CAPTIONER)
    assert len({tuple(each) for each in alternatives}) == 4


def test_captioners_of_the_same_features_share_one_encoder(shipped):
    another = load_captioner()
    assert another.image_encoder() is shipped.image_encoder()


def test_alternatives_come_best_first_with_scores(shipped):
    (alternatives,) = predict_alternatives([picture("green")], num_captions=4)
    scores = [each.score for each in alternatives]
    assert scores == sorted(scores, reverse=True)
    assert len({each.caption for each in alternatives}) == 4


def test_settings_reach_a_shipped_captioner(vgg16_weights):
    image = picture("green")
    assert len(predict_caption(image, FAST_CAPTIONER, max_length=3).split()) <= 3
    sampled = {predict_caption(image, FAST_CAPTIONER, temperature=1.5, seed=seed) for seed in range(5)}
    assert len(sampled) > 1
    with pytest.raises(InputError, match="temperature"):
        predict_caption(image, temperature=-1.0)


def test_a_captioner_of_ones_own_by_path(path):
    with pytest.raises(InputError, match="trained on"):  # its made-up encoder fingerprint is nobody's
        predict_caption(picture("green"), captioner=path)


@pytest.mark.parametrize("settings", [{"beam_size": 2}, {"temperature": 0.9, "seed": 5}])
def test_a_list_of_photos_is_described_a_part_at_a_time(monkeypatch, settings):
    encoder, captioner = ToyEncoder((8,)), make_captioner()
    monkeypatch.setattr(Captioner, "image_encoder", lambda self, weights_path=None: encoder)
    photos = [np.full((8, 8, 3), number, np.uint8) for number in range(70)]
    captions = predict_caption(photos, captioner, **settings)
    assert len(captions) == 70
    assert encoder.batches == [32, 32, 6]
    assert predict_caption(photos[:32], captioner, **settings) == captions[:32]
    assert predict_caption([], captioner) == []
