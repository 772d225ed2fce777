"""Tiny real SavedModels, one factory per format. Each writes a folder and returns the Keras model it was made from."""

import numpy as np

from course_cnn._tensorflow import tf

# isort: split
import keras


def network(*, batch_norm=True, dropout=True, size=8, channels=3, features=4, seed=0):
    """Build a body of two stages that gives `features` numbers per image; every weight has a value of its own.

    `size` None takes images of any size.
    """
    layers = [keras.Input((size, size, channels), name="images")]
    layers += [keras.layers.Conv2D(5, 3, strides=2, padding="same", name="stage1_conv")]
    layers += [keras.layers.BatchNormalization(momentum=0.5, name="stage1_bn")] if batch_norm else []
    layers += [keras.layers.ReLU(), keras.layers.Conv2D(features, 3, padding="same", name="stage2_conv")]
    layers += [keras.layers.Dropout(0.5, seed=seed)] if dropout else []
    layers += [keras.layers.GlobalAveragePooling2D()]
    x = layers[0]
    for layer in layers[1:]:
        x = layer(x)
    model = keras.Model(layers[0], x)
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        low, high = (0.5, 2) if "variance" in variable.path or "gamma" in variable.path else (-0.5, 0.5)
        variable.assign(rng.uniform(low, high, variable.shape))
    return model


def hub_format(path, *, training_argument=True, momentum=False, trainable=True, outputs=1, **settings):
    """Write a SavedModel that can be called, with `variables` and `trainable_variables`: what TF-Hub calls TF2 format.

    With `momentum` a call has one more argument, a number with a default, as the MobileNets on TF-Hub have.
    `trainable` False lists no variable as trainable. With `outputs` 2 a call gives a dictionary {"maps", "vector"}.
    """
    model = network(**settings)
    body = model
    if outputs == 2:
        body = keras.Model(model.inputs, {"maps": model.layers[-2].output, "vector": model.output})
    images = tf.TensorSpec((None, *model.input_shape[1:]), tf.float32, name="images")
    module = tf.train.Checkpoint()
    module.variables = [v.value for v in model.weights]
    module.trainable_variables = [v.value for v in model.trainable_weights] if trainable else []
    module.regularization_losses = []
    module.random = [v.value for v in model.variables[len(model.weights) :]]  # dropout's seed
    if momentum:
        call = tf.function(lambda images, training=False, batch_norm_momentum=0.99: body(images, training=training))
        number = tf.TensorSpec((), tf.float32, name="batch_norm_momentum")
        for training in (False, True):
            call.get_concrete_function(images, training=training, batch_norm_momentum=number)
    elif training_argument:
        call = tf.function(lambda images, training=False: body(images, training=training), autograph=False)
        for training in (False, True):
            call.get_concrete_function(images, training=training)
    else:
        call = tf.function(lambda images: body(images, training=False), input_signature=[images], autograph=False)
    module.__call__ = call
    tf.saved_model.save(module, str(path))
    return model


def keras_export(path, **settings):
    """Write what `model.export` of Keras 3 writes: an endpoint `serve` without a `training` argument."""
    model = network(**settings)
    model.export(str(path), verbose=False)
    return model


def signature_only(path, *, signatures=("serving_default",), outputs=1, constants=False, **settings):
    """Write a SavedModel with signatures only, each a function with named inputs and a dictionary of outputs.

    Of several signatures, each after the first gives twice the features of the one before. `constants` True freezes
    the weights into the graph: no variables are left.
    """
    model = network(**settings)
    images = tf.TensorSpec((None, *model.input_shape[1:]), tf.float32, name="images")

    def signature(factor):
        def call(images):
            y = factor * model(images, training=False)
            return {"vector": y} | ({"negative": -y} if outputs == 2 else {})

        return tf.function(call, input_signature=[images], autograph=False)

    functions = {name: signature(2.0**i) for i, name in enumerate(signatures)}
    module = tf.train.Checkpoint()
    module.kept = [v.value for v in model.variables]
    if constants:
        from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

        frozen = convert_variables_to_constants_v2(functions["serving_default"].get_concrete_function())
        module = tf.train.Checkpoint()
        functions = {
            "serving_default": tf.function(lambda images: {"vector": frozen(images)[0]}, input_signature=[images])
        }
    tf.saved_model.save(module, str(path), signatures=functions)
    return model


def function_of(path, call, *specs, **attributes):
    """Write a SavedModel that calls a function of your own on tensors of these specs; attributes are saved with it."""
    module = tf.train.Checkpoint(**attributes)
    module.__call__ = tf.function(call, input_signature=list(specs), autograph=False)
    tf.saved_model.save(module, str(path))
