"""The tutorials' pipeline, as thousands of notebooks have it: the other side of the benchmarks.

VGG16 sees a photo at a time by `model.predict`. A generator makes a row of every prefix of every caption, padded on the
left with `pad_sequences`, with the photo's features beside it and the next word one-hot by `to_categorical`. A sentence
is written by one `model.predict` a word over all words so far.
"""

import keras
import numpy as np
from keras.applications.vgg16 import preprocess_input

PHOTOS_PER_STEP = 32


def extract_features(paths, model):
    """Features of photos, one `predict` each; dict of path to array."""
    features = {}
    for path in paths:
        image = keras.utils.load_img(path, target_size=model.input_shape[1:3])
        image = keras.utils.img_to_array(image)
        image = image.reshape((1, *image.shape))
        features[path] = model.predict(preprocess_input(image), verbose=0)
    return features


def generate_batches(captions, features, longest, vocabulary_size):
    """Yield ((features, prefixes), one-hot next words) for 32 photos at a time, for one epoch.

    Args:
        captions: dict of image_id to list of token ids.
        features: dict of image_id to array.
        longest: int, length that the prefixes are padded to.
        vocabulary_size: int.
    """
    photos = list(captions)
    for start in range(0, len(photos), PHOTOS_PER_STEP):
        images, prefixes, targets = [], [], []
        for image_id in photos[start : start + PHOTOS_PER_STEP]:
            for ids in captions[image_id]:
                for end in range(1, len(ids)):
                    images.append(features[image_id])
                    prefixes.append(keras.utils.pad_sequences([ids[:end]], maxlen=longest)[0])
                    targets.append(keras.utils.to_categorical([ids[end]], num_classes=vocabulary_size)[0])
        yield (np.array(images), np.array(prefixes)), np.array(targets)


def build_model(feature_dim, vocabulary_size, longest, config):
    """The tutorials' functional merge model, with the layers and sizes of a `MergeDecoder`, compiled."""
    image = keras.Input((feature_dim,))
    words = keras.Input((longest,))
    image_vector = keras.layers.LayerNormalization()(image)
    image_vector = keras.layers.Dropout(config.dropout)(image_vector)
    image_vector = keras.layers.Dense(config.hidden_dim, activation="relu")(image_vector)
    embedded = keras.layers.Embedding(vocabulary_size, config.embedding_dim, mask_zero=True)(words)
    embedded = keras.layers.Dropout(config.dropout)(embedded)
    word_vector = keras.layers.Dropout(config.hidden_dropout)(keras.layers.LSTM(config.hidden_dim)(embedded))
    merged = keras.layers.add([image_vector, word_vector])
    merged = keras.layers.Dense(config.hidden_dim, activation="relu")(merged)
    merged = keras.layers.Dropout(config.hidden_dropout)(merged)
    model = keras.Model([image, words], keras.layers.Dense(vocabulary_size, activation="softmax")(merged))
    model.compile(optimizer=keras.optimizers.Adam(1e-3), loss="categorical_crossentropy")
    return model


def copy_weights(decoder, model):
    """Give the classic model the weights of a `MergeDecoder` over pooled features."""
    own = {type(layer).__name__: layer for layer in model.layers}  # of the three below it has one each
    own["LayerNormalization"].set_weights(decoder.normalise.get_weights())
    own["Embedding"].set_weights(decoder.embed.get_weights())
    own["LSTM"].set_weights(decoder.lstm.get_weights())
    dense = [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    for layer, source in zip(dense, (decoder.image, decoder.merged, decoder.logits), strict=True):
        layer.set_weights(source.get_weights())


def describe(model, feature, vocabulary, longest):
    """The tutorials' loop for one photo: the likeliest next word, until the end token; list of token ids.

    Words that this project's greedy search never writes are passed over here, too, so that both write the same.
    """
    tokens = [vocabulary.start_id]
    while len(tokens) <= longest and tokens[-1] != vocabulary.end_id:
        prefix = keras.utils.pad_sequences([tokens], maxlen=longest)
        probabilities = model.predict((feature[None], prefix), verbose=0)[0]
        never = [vocabulary.pad_id, vocabulary.start_id, vocabulary.unknown_id]
        probabilities[never if len(tokens) > 1 else [*never, vocabulary.end_id]] = -1
        tokens.append(int(np.argmax(probabilities)))
    return tokens[1:]
