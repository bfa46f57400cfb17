import pytest

from captioning_utils import GenerationConfig, InputError, TrainingConfig
from captioning_utils.settings import SelfCriticalConfig


@pytest.mark.parametrize(
    ("config", "name", "value", "allowed"),
    [
        (GenerationConfig, "temperature", "0.7", "None, or a number above 0, up to 100"),
        (GenerationConfig, "temperature", True, "None, or a number above 0, up to 100"),
        (GenerationConfig, "temperature", float("nan"), "None, or a number above 0, up to 100"),
        (GenerationConfig, "top_p", None, "a number above 0, up to 1"),
        (GenerationConfig, "top_p", 0, "a number above 0, up to 1"),
        (GenerationConfig, "block_repeats", 2.0, "0, or a whole number from 2 to 10"),
        (GenerationConfig, "block_repeats", False, "0, or a whole number from 2 to 10"),
        (GenerationConfig, "block_repeats", 1, "0, or a whole number from 2 to 10"),
        (GenerationConfig, "length_penalty", "1", "a number from 0 to 10"),
        (GenerationConfig, "consensus", 1, "True or False"),
        (GenerationConfig, "beam_size", 2.5, "a whole number from 1 to 1000"),
        (GenerationConfig, "seed", 2**32, "a whole number from 0 to 4294967295"),
        (GenerationConfig, "beam_size", 0, "a whole number from 1 to 1000"),
        (GenerationConfig, "beam_size", 10**9, "a whole number from 1 to 1000"),
        (GenerationConfig, "temperature", 0, "None, or a number above 0, up to 100"),
        (GenerationConfig, "temperature", -1.0, "None, or a number above 0, up to 100"),
        (GenerationConfig, "temperature", 1e9, "None, or a number above 0, up to 100"),
        (GenerationConfig, "length_penalty", -1, "a number from 0 to 10"),
        (GenerationConfig, "seed", -1, "a whole number from 0 to 4294967295"),
        (TrainingConfig, "decoder", None, "text"),
        (TrainingConfig, "epochs", "3", "a whole number of 1 or more"),
        (TrainingConfig, "learning_rate", float("inf"), "a number above 0"),
        (TrainingConfig, "label_smoothing", 1, "a number from 0 up to, not including, 1"),
        (TrainingConfig, "learning_rate", 0, "a number above 0"),
        (TrainingConfig, "epochs", 0, "a whole number of 1 or more"),
        (TrainingConfig, "epochs", 2.5, "a whole number of 1 or more"),
        (TrainingConfig, "seed", -1, "a whole number from 0 to 4294967295"),
        (SelfCriticalConfig, "samples", 1, "a whole number of 2 or more"),
        (SelfCriticalConfig, "epochs", 0, "a whole number of 1 or more"),
        (SelfCriticalConfig, "learning_rate", 0.0, "a number above 0"),
        (SelfCriticalConfig, "seed", -1, "a whole number from 0 to 4294967295"),
        (SelfCriticalConfig, "clip_norm", -1.0, "a number above 0"),
    ],
)
def test_a_value_of_the_wrong_type_or_out_of_range_is_refused(config, name, value, allowed):
    with pytest.raises(InputError) as refused:
        config(**{name: value})
    assert str(refused.value) == f"{name} is {value!r}; give {allowed}"


@pytest.mark.parametrize(
    ("config", "settings", "message"),
    [
        (GenerationConfig, {"max_length": 0}, "max_length"),
        (GenerationConfig, {"num_captions": 9, "beam_size": 3}, "raise beam_size"),
        (TrainingConfig, {"warmup": "much"}, "warmup"),
        (SelfCriticalConfig, {"cross_entropy": -1}, "cross_entropy"),
        (SelfCriticalConfig, {"min_length_ratio": 1.5}, "min_length_ratio"),
    ],
)
def test_other_settings_are_refused_too(config, settings, message):
    with pytest.raises(InputError, match=message):
        config(**settings)


def test_what_is_allowed_is_taken():
    config = GenerationConfig(temperature=1, length_penalty=2, block_repeats=0, top_p=1)
    assert (config.temperature, config.length_penalty, config.block_repeats, config.top_p) == (1, 2, 0, 1)
    assert GenerationConfig(temperature=None).temperature is None
