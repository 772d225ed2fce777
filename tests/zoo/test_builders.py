"""What all builders of the zoo share: how they are told the size of the images."""

import pytest

from course_cnn import zoo

BUILDERS = {
    "build_lenet5": zoo.build_lenet5,
    "build_mlp": zoo.build_mlp,
    "build_alexnet": zoo.build_alexnet,
    "build_vgg16": zoo.build_vgg16,
    "build_vgg19": zoo.build_vgg19,
    "build_googlenet": zoo.build_googlenet,
    "build_resnet": lambda **settings: zoo.build_resnet(18, **settings),
    "build_cifar_resnet": lambda **settings: zoo.build_cifar_resnet(8, **settings),
    "build_cifar_plain": lambda **settings: zoo.build_cifar_plain(8, **settings),
}


@pytest.mark.parametrize("name", BUILDERS)
@pytest.mark.parametrize("shape", [224, (224, 224), (None, 224, 224, 3), "224x224"])
def test_input_shape_is_height_width_channels(name, shape):
    with pytest.raises(
        ValueError, match=rf"{name}: `input_shape` must be \(height, width, channels\).*\(224, 224, 3\)"
    ):
        BUILDERS[name](input_shape=shape)


@pytest.mark.parametrize("name", BUILDERS)
@pytest.mark.parametrize("setting", [{"num_classes": 0}, {"input_shape": (224, 0, 3)}])
def test_numbers_start_at_one(name, setting):
    with pytest.raises(ValueError, match=rf"{name}: `{next(iter(setting))}` must be an integer >= 1"):
        BUILDERS[name](**setting)


@pytest.mark.parametrize("name", BUILDERS)
@pytest.mark.parametrize("width", [0, -1, "half"])
def test_width_is_positive(name, width):
    with pytest.raises(ValueError, match=rf"{name}: `width` must be a number > 0"):
        BUILDERS[name](width=width)


@pytest.mark.parametrize("name", BUILDERS)
def test_width_scales_every_layer_but_the_logits(name):
    def outputs(width):
        model = BUILDERS[name](input_shape=(96, 96, 3), num_classes=7, width=width)
        return [layer.get_weights()[-1].shape[-1] for layer in model.layers if layer.weights]

    for filters, fewer in zip(outputs(1 / 2), outputs(1 / 8), strict=True):
        assert fewer == 7 if filters == 7 else abs(fewer - filters / 4) <= 1
