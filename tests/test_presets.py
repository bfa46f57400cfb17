import pytest

from captioning_utils.commands import shell
from captioning_utils.commands import train as train_command
from captioning_utils.decoders import DECODERS, build_config
from captioning_utils.encoders import ENCODERS
from captioning_utils.settings import FINE_TUNING_RATE, PRESETS, TrainingConfig


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_a_valid_run(name):
    preset = PRESETS[name]
    config = TrainingConfig(decoder=preset.decoder, seed=3, **preset.settings)
    assert name == "flickr8k_fine_tuned" or name.endswith(config.decoder)
    assert config.seed == 3
    assert preset.decoder in DECODERS
    assert preset.layer in ENCODERS[preset.encoder].layers
    sizes = build_config(preset.decoder, vocabulary_size=10_000, feature_shape=(49, 512), **config.decoder_settings)
    assert sizes.count_parameters() < 40e6
    assert config.max_words + 2 <= getattr(sizes, "max_positions", 64)


def test_help_lists_the_presets(capsys):
    with pytest.raises(SystemExit):
        train_command.train_main(["--help"])
    text = capsys.readouterr().out
    assert all(f"{name}:" in text for name in PRESETS)
    assert str(FINE_TUNING_RATE) in text


def read(*arguments):
    return train_command.read_train_options([str(argument) for argument in arguments])[0]


def test_typed_options_count_more_than_the_preset():
    options = read("--preset", "flickr8k_attention", "--epochs", 2, "--layer", "block5_conv3")
    assert (options.epochs, options.layer, options.decoder) == (2, "block5_conv3", "attention")
    assert options.learning_rate == PRESETS["flickr8k_attention"].settings["learning_rate"]
    assert TrainingConfig(**options.settings).seed == TrainingConfig().seed


def test_without_a_preset_the_defaults_stand():
    options = read()
    assert (options.encoder, options.layer, options.dtype) == ("vgg16", "grid", "float32")
    assert TrainingConfig(**options.settings) == TrainingConfig()


def test_a_captioner_to_start_from_decides_decoder_encoder_and_rate():
    options = read("--start_from", "flickr8k_merge")
    assert (options.decoder, options.encoder, options.layer) == ("merge", "vgg16", "grid")
    assert options.learning_rate == FINE_TUNING_RATE
    assert read("--start_from", "flickr8k_merge", "--learning_rate", "0.01").learning_rate == 0.01
    assert read("--start_from", "flickr8k_merge", "--preset", "flickr8k_merge", "--decoder", "merge").decoder == "merge"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--start_from", "flickr8k_merge", "--layer", "avg"], "--start_from flickr8k_merge has the layer grid; leave"),
        (["--start_from", "flickr8k_merge", "--decoder", "attention"], "has the decoder merge; leave out --decoder"),
        (["--start_from", "nothing.h5"], "there is no captioner 'nothing.h5'"),
        (["--preset", "flickr8k_merge", "--decoder", "attention"], "--preset flickr8k_merge is not for the attention"),
        (["--preset", "flickr8k_attention", "--start_from", "flickr8k_merge"], "is not for the merge decoder"),
        (["--encoder_blocks", "1", "--features", "cache"], "--features are of photos as they are; leave it out"),
    ],
)
def test_contradictions_are_refused_in_one_line(capsys, arguments, message):
    assert shell.run_command(train_command.train_main, arguments) == shell.REFUSED
    errors = capsys.readouterr().err
    assert message in errors
    assert errors.count("\n") == 1
