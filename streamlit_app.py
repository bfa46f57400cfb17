"""The web page: `streamlit run streamlit_app.py`. What it does without Streamlit is in `captioning_utils.app.page`."""

import contextlib
import hashlib
import json
import math
from typing import NamedTuple

import streamlit as st

import captioning_utils
from captioning_utils import InputError
from captioning_utils.app import page
from captioning_utils.app.queue import CaptionQueue
from captioning_utils.base.checks import options_of
from captioning_utils.base.tables import to_csv
from captioning_utils.settings import FAST_CAPTIONER, GenerationConfig

SCENES = (23, 35, 27, 0, 31, 16)  # seeds of the drawn scenes that are shown first
SETTINGS = {field.name: field.metadata for field in options_of(GenerationConfig)}  # what each is, and its slider
ALTERNATIVES, TEMPERATURE = 3, 0.7  # what the sliders begin with where the captioner has no setting of its own
# Pixels; on a narrower screen as wide as the screen.
PAGE_WIDTH, CAMERA_WIDTH, MAP_WIDTH, TILE_WIDTH = 1100, 560, 340, 128
SCORE = (
    "The score ranks the sentences, higher is better. It is their log-probability, evened out for length; with "
    "consensus, how far a sentence agrees with the others that were found, from 0 to 1."
)
QUICK = "This sentence is from a quick look; a better one follows."
WAITING = "Looking at the photo and writing (photos before it: {}). New settings take a few seconds longer, once…"
NO_MAPS = "This captioner has no look for each word to show. Those with the decoder attention or transformer have."
LIMITS = """
- The captioners that ship with this page learned from photographs of people and dogs outdoors. Drawings, indoor scenes
  and anything rare get a fluent sentence that is often wrong.
- They guess gender, age and activity from looks. Decide nothing about anyone by them, and do not let them be the only
  description for someone who cannot see the photo.
- A photo is squashed to a small square before the captioner sees it. Small things are lost.
- Photos go to the machine that runs this page, which keeps them as long as you look at them and sends them nowhere.

The network that looks at the photos is VGG16 by the Visual Geometry Group, University of Oxford (CC BY 4.0).
"""


class Choice(NamedTuple):
    """A captioner that the visitor chose."""

    name: str
    key: str  # tells it from all others
    captioner: object
    quick: "Choice | None" = None  # writes a first sentence while this one looks longer


# ---- what is loaded once, for all who use the page


@st.cache_resource(show_spinner="Starting TensorFlow. This takes a few seconds, once…")
def start_backend():
    """Load Keras; give the queue in which the photos of all visitors wait."""
    captioning_utils.load_backend()
    return CaptionQueue()


@st.cache_resource(show_spinner="Opening the captioner…")
def load_shipped(path, modified):
    return captioning_utils.load_captioner(path)


@st.cache_resource(show_spinner="Checking your captioner…", max_entries=4)
def load_uploaded(digest, _file):
    return page.open_captioner(_file.getbuffer(), _file.name)


# ---- what is computed once for a photo


@st.cache_data(show_spinner=False)
def open_samples():
    return page.sample_photos()


@st.cache_data(show_spinner=False, max_entries=100)
def draw_scene(seed):
    return page.sample_scene(seed)


@st.cache_data(show_spinner=False, max_entries=2 * page.MAX_PHOTOS)
def open_photo(key, sizes, _source):
    with start_backend().place():
        return page.open_photo(_source, sizes)


@st.cache_data(show_spinner=False, max_entries=1000)
def write_captions(photo_key, captioner_key, settings, _photo, _captioner):
    image = _photo.inputs[_captioner.image_encoder().image_size]
    return start_backend().caption(_captioner, image, **settings)


@st.cache_data(show_spinner=False, max_entries=2 * page.MAX_PHOTOS)
def find_attention(photo_key, captioner_key, caption, _photo, _captioner):
    from captioning_utils.explain import compute_attention_maps

    with start_backend().networks:
        image = _photo.inputs[_captioner.image_encoder().image_size]
        maps = compute_attention_maps(_captioner, image, caption)
        return maps.words[:-1], maps.weights[:-1]  # the last word is the mark of the end


# ---- which photos


def choose_photos():
    """Ask for photos; gives a list of `page.Source`."""
    ways = {"Sample photos": choose_sample} if open_samples() else {}
    ways |= {"Drawn scenes": choose_scene, "Your photos": upload_photos, "Camera": take_photo}
    way = st.segmented_control("What shall be described?", list(ways), default=next(iter(ways)), required=True)
    return ways[way]()


def choose_sample():
    chosen = choose_tile(open_samples())
    st.caption(f"What a person sees here: {page.escape_markdown(chosen.description)}")
    return [chosen]


def choose_scene():
    first = st.session_state.setdefault("first_scene", None)
    seeds = SCENES if first is None else range(first, first + len(SCENES))
    chosen = choose_tile({seed: draw_scene(seed) for seed in seeds})
    st.button("Draw others", icon=":material/refresh:", on_click=draw_others)
    st.caption("These scenes are drawn. A captioner that learned from photographs is often wrong about them.")
    return [chosen]


def choose_tile(samples):
    """Show samples, {key: (label, source)}, as little pictures with a button each; gives the chosen source."""
    if st.session_state.get("sample") not in samples:
        st.session_state.sample = next(iter(samples))
    with st.container(horizontal=True):
        for key, (label, source) in samples.items():
            with st.container(width=TILE_WIDTH, gap="xsmall"):
                st.image(page.crop_square(source.file), alt=source.description, width="stretch")
                icon = ":material/check:" if key == st.session_state.sample else None
                st.button(label, key=f"sample {key}", icon=icon, width="stretch", on_click=pick_sample, args=(key,))
    return samples[st.session_state.sample][1]


def pick_sample(key):
    st.session_state.sample = key


def draw_others():
    first = st.session_state.first_scene
    st.session_state.first_scene = 100 if first is None else first + len(SCENES)


def upload_photos():
    files = st.file_uploader(
        "Photos, one or many",
        type=page.photo_extensions(),
        accept_multiple_files=True,
        max_upload_size=page.MAX_PHOTO_MEGABYTES,
    )
    if len(files) > page.MAX_PHOTOS:
        st.warning(f"{len(files)} photos are too many at once; the first {page.MAX_PHOTOS} are described.")
    return [page.Source(file.file_id, file.name, file) for file in files[: page.MAX_PHOTOS]]


def take_photo():
    st.caption("Your browser asks whether it may use the camera. It does so only on this machine or over https.")
    file = st.camera_input("Take a photo", resolution="1080p", width=CAMERA_WIDTH)
    return [page.Source(file.file_id, "camera.jpg", file)] if file else []


# ---- which captioners, and how they write


def choose_captioners():
    """Ask for one captioner, or for two to compare; gives a list of `Choice`."""
    from captioning_utils.captioner import shipped_captioners

    place = st.sidebar.container()
    with st.sidebar.expander("Add a captioner of your own"):
        uploaded = upload_captioners()
    shipped = shipped_captioners()
    with place:
        first = ask_captioner("Describe with", uploaded, shipped, 0)
        others = [{name: choice for name, choice in each.items() if name != first.name} for each in (uploaded, shipped)]
        second = ask_captioner("Compare with", *others, None)
    return [choice for choice in (first, second) if choice]


def ask_captioner(label, uploaded, shipped, index):
    """A box to choose from, and a line on what was chosen; gives a `Choice`, or None for no choice."""
    name = st.selectbox(label, [*uploaded, *shipped], index, placeholder="nothing")
    if not name:
        return None
    choice = uploaded.get(name) or load_choice(name)
    st.caption(page.escape_markdown(choice.captioner.describe()))
    return choice


def load_choice(name):
    """A captioner that ships with the package; the fast one goes before those that see photos in another way."""
    from captioning_utils.captioner import captioner_path

    path = captioner_path(name)
    modified = path.stat().st_mtime_ns
    captioner = load_shipped(path, modified)
    quick = None if name == FAST_CAPTIONER else load_choice(FAST_CAPTIONER)
    if quick and quick.captioner.encoder == captioner.encoder:
        quick = None
    return Choice(name, f"{path} {modified}", captioner, quick)


def upload_captioners():
    """Ask for captioner files; gives those that can be used: {name: `Choice`}."""
    files = st.file_uploader(
        "Files that `train.py` wrote (image_caption_model.h5)",
        type=".h5",
        accept_multiple_files=True,
        max_upload_size=page.MAX_CAPTIONER_MEGABYTES,
    )
    choices = {}
    for file in files:
        digest = hashlib.sha256(file.getbuffer()).hexdigest()
        try:
            name = f"{file.name} (yours)"
            choices[name] = Choice(name, digest, load_uploaded(digest, file))
        except (InputError, OSError) as error:
            refuse(error)
    st.caption("The file is checked before it is used. It holds numbers and words; nothing in it is run.")
    return choices


def choose_settings(choices):
    """Ask how sentences are chosen, the first captioner's own way first; gives fields of `GenerationConfig`."""
    own = choices[0].captioner.generation
    positions = [choice.captioner.decoder.max_length or math.inf for choice in choices]
    ways = {"Search": choose_search, "Sample": choose_sampling}
    with st.sidebar:
        st.header("How it writes", anchor=False)
        first = "Sample" if own.temperature else "Search"
        way = st.segmented_control("Way of writing", list(ways), default=first, required=True)
        settings = ways[way](own)
        wanted = slider("num_captions", ALTERNATIVES)
        settings["num_captions"] = min(wanted, settings.get("beam_size", wanted))
        settings["max_length"] = slider("max_length", own.max_length, most=max(2, min(positions)))
    return settings


def choose_search(own):
    settings = {
        "beam_size": slider("beam_size", own.beam_size),
        "length_penalty": slider("length_penalty", own.length_penalty),
        "temperature": None,
    }
    with explained("consensus"):
        settings["consensus"] = st.toggle("Consensus", own.consensus)
    return settings


def choose_sampling(own):
    settings = {
        "temperature": slider("temperature", own.temperature or TEMPERATURE),
        "top_p": slider("top_p", own.top_p),
    }
    with explained("seed"):
        settings["seed"] = st.number_input("Seed", 0, 2**32 - 1, own.seed)
    return settings


def slider(field, value, most=math.inf):
    """A slider that begins at a captioner's own `value`, as far as the slider reaches."""
    lowest, highest, step = SETTINGS[field]["slider"]
    highest = min(highest, most)
    with explained(field):
        return st.slider(label_of(field), lowest, highest, type(step)(min(max(value, lowest), highest)), step)


def label_of(field):
    return field.replace("_", " ").capitalize()


@contextlib.contextmanager
def explained(field):
    """Put a setting's help below its control. Not into its label: screen readers would read the Markdown's signs."""
    with st.container(gap=None):
        yield
        explanation = SETTINGS[field]["help"]
        st.caption(f"{explanation[0].upper()}{explanation[1:]}.")


# ---- what it says


def refuse(error):
    st.error(page.escape_markdown(str(error)), icon=":material/error:")


def show_results(sources, choices, settings):
    """Show every photo with its sentences; gives the rows to download."""
    sizes = tuple({choice.captioner.image_encoder().image_size for choice in with_quick(choices)})
    rows = []
    for number, source in enumerate(sources):
        own = settings | {"seed": (settings["seed"] + number) % 2**32} if "seed" in settings else settings
        with st.container(border=True):
            try:
                with st.spinner(f"Opening {page.escape_markdown(source.name)}…"):
                    photo = open_photo(source.key, sizes, source)
                rows += show_photo(photo, choices, own, alone=len(sources) == 1)
            except (InputError, OSError) as error:
                refuse(error)
    return rows


def with_quick(choices):
    """All captioners that write: those chosen, and the fast ones before them."""
    return [each for choice in choices for each in (choice.quick, choice) if each]


def show_photo(photo, choices, settings, alone):
    """Show one photo with what each captioner says; gives its rows to download."""
    picture, *panels = st.columns([2, 3] if len(choices) == 1 else [1, 1, 1], gap="medium")
    picture = picture.empty()
    rows = []
    for choice, panel in zip(choices, panels, strict=True):
        with panel:
            sentences = st.empty()
            if choice.quick:
                (quick,) = write_captions(photo.key, choice.quick.key, {}, photo, choice.quick.captioner)
                with sentences.container():
                    st.header(page.escape_markdown(quick.caption), anchor=False)
                    st.caption(QUICK)
                show_picture(picture, photo, rows[0]["caption"] if rows else quick.caption)
            with st.spinner(WAITING.format(len(start_backend()))):
                found = write_captions(photo.key, choice.key, settings, photo, choice.captioner)
            with sentences.container():
                show_sentences(choice, found, named=len(choices) > 1)
            show_attention(photo, choice, found[0].caption, alone)
            show_input(photo, choice)
        rows += page.caption_rows(photo.name, choice.name, found)
    show_picture(picture, photo, rows[0]["caption"])
    return rows


def show_picture(place, photo, alt):
    with place.container():
        st.image(photo.preview, alt=alt, width="stretch")
        st.caption(f"{page.escape_markdown(photo.name)}, {photo.width}×{photo.height} pixels")


def show_sentences(choice, found, named):
    if named:
        st.caption(page.escape_markdown(choice.name))
    best, *others = found
    st.header(page.escape_markdown(best.caption), anchor=False)
    st.caption(f"Score {show_score(best)}", help=SCORE)
    if others:
        sentences = [page.escape_markdown(each.caption) for each in others]
        scores = [show_score(each) for each in others]
        st.table({"It also considered": sentences, "Score": scores}, border="horizontal", hide_index=True)


def show_score(caption):
    return f"{caption.score:.2f}".replace("-", "−")


def show_attention(photo, choice, caption, alone):
    if not choice.captioner.decoder.has_attention:
        if alone:
            st.caption(NO_MAPS)
        return
    key = f"attention {photo.key} {choice.key}"
    box = st.expander("Where it looked, word by word", expanded=alone, key=key, on_change="rerun")
    if box.open:
        with box:
            show_word(photo, choice, caption)


@st.fragment
def show_word(photo, choice, caption):
    """A slider over the words, and the photo as the captioner saw it at the chosen one."""
    try:
        with st.spinner("Following its look from word to word…"):
            words, weights = find_attention(photo.key, choice.key, caption, photo, choice.captioner)
    except InputError as error:  # a grid that is no square, or a sentence as long as the captioner can read
        refuse(error)
        return
    labels = [f"{number}. {word}" for number, word in enumerate(words, 1)]
    clearest = labels[weights.max(axis=(1, 2)).argmax()]
    chosen = labels.index(st.select_slider("Word", labels, clearest, key=f"word {photo.key} {choice.key} {caption}"))
    marked = [page.escape_markdown(word) for word in words]
    marked[chosen] = f":primary-background[**{marked[chosen]}**]"
    st.markdown(" ".join(marked))
    place = page.name_place(weights[chosen])
    alt = f"The photo, bright where the captioner looked for “{words[chosen]}”: mostly {place}."
    st.image(page.light_attention(photo.preview, weights[chosen]), alt=alt, width=MAP_WIDTH)
    st.caption(f"For “{page.escape_markdown(words[chosen])}” it looked mostly at {place}.")


def show_input(photo, choice):
    with st.expander("What it saw"):
        height, width = choice.captioner.image_encoder().image_size
        st.image(photo.inputs[height, width], alt=f"The photo squashed to {width}×{height} pixels.", width=width)
        st.caption(f"The photo, squashed to {width}×{height} pixels. This is all that the captioner gets.")


def offer_downloads(rows):
    with st.container(horizontal=True):
        for kind, text, mime in (
            ("CSV", to_csv(rows), "text/csv"),
            ("JSON", json.dumps(rows, ensure_ascii=False, indent=1), "application/json"),
        ):
            name = f"captions.{kind.lower()}"
            st.download_button(f"Download {kind}", text, name, mime, on_click="ignore", icon=":material/download:")


def main():
    _, icon = draw_scene(SCENES[0])
    st.set_page_config("Photos in, sentences out", icon.file, layout="wide")
    st.sidebar.header("Captioner", anchor=False)
    with st.container(horizontal_alignment="center"), st.container(width=PAGE_WIDTH):
        st.title("Photos in, sentences out", anchor=False)
        st.write(
            "Give a photo. A neural network looks at it and writes what it sees, word by word. "
            "Other captioners and settings are in the side panel."
        )
        sources = choose_photos()
        show_page(sources)
        with st.expander("What to know before you trust it"):
            st.markdown(LIMITS)


def show_page(sources):
    """All that needs the networks."""
    start_backend()
    choices = choose_captioners()
    settings = choose_settings(choices)
    try:
        for choice in with_quick(choices):
            name = choice.captioner.encoder_id.name
            waiting = f"Getting {name} ready, which looks at the photos. Its weights are downloaded if need be…"
            with st.spinner(waiting), start_backend().networks:
                choice.captioner.image_encoder()
    except (InputError, OSError) as error:
        refuse(error)
        return
    rows = show_results(sources, choices, settings)
    if rows:
        offer_downloads(rows)


main()
