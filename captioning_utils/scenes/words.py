"""The words for every fact of a drawn scene: captions are worded with them, and `scenes.truth` reads with them."""

from __future__ import annotations

# The words for every fact. The first word or phrase of each is the commonest; a word may stand for several facts
# (a "child" is a boy or a girl).
OBJECT_WORDS = {  # name: ((singular, plural), ...)
    "man": (("man", "men"), ("person", "people")),
    "woman": (("woman", "women"), ("lady", "ladies"), ("person", "people")),
    "boy": (("boy", "boys"), ("child", "children")),
    "girl": (("girl", "girls"), ("child", "children")),
    "dog": (("dog", "dogs"),),
    "cat": (("cat", "cats"),),
    "bird": (("bird", "birds"),),
    "horse": (("horse", "horses"),),
    "car": (("car", "cars"),),
    "boat": (("boat", "boats"), ("sailboat", "sailboats")),
    "ball": (("ball", "balls"),),
    "kite": (("kite", "kites"),),
    "balloon": (("balloon", "balloons"),),
    "umbrella": (("umbrella", "umbrellas"),),
    "bicycle": (("bicycle", "bicycles"), ("bike", "bikes")),
    "house": (("house", "houses"),),
    "tree": (("tree", "trees"),),
}
COLOUR_WORDS = {
    "red": ("red",),
    "orange": ("orange",),
    "yellow": ("yellow",),
    "green": ("green",),
    "blue": ("blue",),
    "purple": ("purple",),
    "brown": ("brown",),
    "black": ("black",),
    "grey": ("grey", "gray"),
    "white": ("white",),
}
CLOTHES_WORDS = {"man": ("shirt", "shirts"), "woman": ("dress", "dresses")}  # a person's colour is what they wear
CLOTHES_WORDS |= {"boy": CLOTHES_WORDS["man"], "girl": CLOTHES_WORDS["woman"]}
COUNT_WORDS = {1: ("a", "an", "one"), 2: ("two", "a pair of", "a couple of"), 3: ("three",)}
ACTION_WORDS = {  # action: (one does, several do, doing); the last is also used after "there is"
    "standing": ("stands", "stand", "standing"),
    "running": ("runs", "run", "running"),
    "jumping": ("jumps", "jump", "jumping"),
    "sitting": ("sits", "sit", "sitting"),
    "flying": ("flies", "fly", "flying"),
    "sailing": ("sails", "sail", "sailing"),
    "parked": ("is parked", "are parked", "parked"),
}
PREPOSITIONS = {
    "next to": ("next to", "beside", "near"),
    "in front of": ("in front of",),
    "behind": ("behind",),
    "under": ("under", "below"),
    "above": ("above", "over"),
}
VERB_RELATIONS = {  # as in ACTION_WORDS
    "holding": ("holds", "hold", "holding"),
    "flying": ("flies", "fly", "flying"),
    "riding": ("rides", "ride", "riding"),
    "playing with": ("plays with", "play with", "playing with"),
}
INVERSE_RELATIONS = {
    "next to": "next to",
    "in front of": "behind",
    "behind": "in front of",
    "under": "above",
    "above": "under",
}
PLACE_WORDS = {  # place: the words that name it
    "park": ("park",),
    "beach": ("beach", "sea"),
    "street": ("street", "road"),
    "mountain": ("mountains", "mountain"),
    "lake": ("lake",),
    "desert": ("desert",),
    "field": ("field",),
}
WEATHER_WORDS = {
    "sunny": ("sunny", "sunshine", "sun"),
    "cloudy": ("cloudy", "clouds"),
    "rainy": ("rainy", "rain"),
    "snowy": ("snowy", "snow"),
    "night": ("night", "moon"),
}
# How the captions put places and weather into phrases, with the words above.
PLACE_PHRASES = {
    "park": ("in the park", "in a park"),
    "beach": ("on the beach", "at the beach"),
    "street": ("on the street", "on the road", "in the street"),
    "mountain": ("in the mountains", "near a mountain"),
    "lake": ("by the lake", "near a lake"),
    "desert": ("in the desert", "in a desert"),
    "field": ("in a field", "in the field"),
}
WATER_PHRASES = {"beach": ("on the sea", "near the beach"), "lake": ("on the lake", "on a lake")}
WEATHER_PHRASES = {
    "sunny": ("on a sunny day", "in the sunshine", "in the sun"),
    "cloudy": ("on a cloudy day", "under the clouds"),
    "rainy": ("on a rainy day", "in the rain"),
    "snowy": ("on a snowy day", "in the snow"),
    "night": ("at night", "under the moon"),
}
