"""`summarize`: every kind of model, what it cannot follow, how it is shown, and the published networks."""

import re
import time
from html.parser import HTMLParser

import keras
import numpy as np
import pytest
from keras import layers, ops

from course_cnn import layers as ours
from course_cnn import report, zoo
from course_cnn.zoo import published


def small_model():
    return keras.Sequential(
        [keras.Input((12, 10, 3)), layers.Conv2D(4, 3, name="conv"), layers.MaxPooling2D(2), layers.Flatten(),
         layers.Dense(2, name="dense")], name="small"
    )  # fmt: skip


def names(summary):
    return [row.name for row in summary.rows]


# What is followed.


def test_nested_models_are_entered():
    inside = keras.Sequential([keras.Input((12, 10, 3)), layers.Conv2D(4, 3, name="c")], name="inside")
    y = inputs = keras.Input((12, 10, 3))
    outside = keras.Model(inputs, layers.ReLU(name="r")(inside(y)), name="outside")
    top = keras.Sequential([keras.Input((24, 20, 3)), layers.AveragePooling2D(2, name="p"), outside], name="top")
    summary = report.summarize(top)
    assert names(summary)[1:] == ["p", "outside/inside/c", "outside/r"]
    assert summary.total_macs == 10 * 8 * 4 * 27
    assert summary.total_params == top.count_params() == 112
    assert summary.receptive_field == (6, 2, 2.5)


def test_shared_layers_have_a_row_per_call():
    shared = layers.Conv2D(3, 3, padding="same", name="shared")
    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, shared(layers.AveragePooling2D(2)(shared(inputs))))
    summary = report.summarize(model)
    first, _, second = summary.rows[1:]
    assert (first.name, first.call, first.params, first.macs) == ("shared", 1, 84, 64 * 81)
    assert (second.name, second.call, second.params, second.macs) == ("shared", 2, 0, 16 * 81)
    assert (first.receptive_field.size, second.receptive_field.size) == (3, 8)
    assert summary.total_params == model.count_params() == 84
    assert "shared (call 2)" in str(summary)


def test_a_shared_model_costs_twice():
    tower = keras.Sequential([keras.Input((8, 8, 1)), layers.Conv2D(2, 3, name="c"), layers.Flatten()], name="tower")
    a, b = keras.Input((8, 8, 1), name="a"), keras.Input((8, 8, 1), name="b")
    model = keras.Model([a, b], layers.Subtract()([tower(a), tower(b)]))
    summary = report.summarize(model)
    assert summary.total_params == model.count_params() == 20
    assert summary.total_macs == 2 * 36 * 18
    assert [row.call for row in summary.rows if row.name == "tower/c"] == [1, 2]
    assert summary.rows[-1].fields == dict.fromkeys("ab", ((8, 0, 3.5), (8, 0, 3.5)))


def test_the_models_own_graph_stays_as_it_was():
    inputs = keras.Input((8, 8, 3))
    block = ours.ResidualBlock(3)
    model = keras.Model(inputs, block(inputs))
    parts = list(model._flatten_layers())
    before = [(len(part._inbound_nodes), len(part._outbound_nodes)) for part in parts]
    first = report.summarize(model)
    report.summarize(model, input_shape=(16, 16, 3))
    assert [(len(part._inbound_nodes), len(part._outbound_nodes)) for part in parts] == before
    assert report.summarize(model) == first
    assert keras.Model(model.inputs, block.output).count_params() == model.count_params()


@pytest.mark.parametrize(
    "block",
    [
        ours.ConvBlock(4, name="block"),
        ours.ResidualBlock(4, strides=2, name="block"),
        ours.ResidualBlock(8, strides=2, shortcut="identity", name="block"),
        ours.ResidualBlock(2, bottleneck=True, preactivation=True, name="block"),
        ours.Inception((2, 2, 4, 2, 4, 2), name="block"),
    ],
    ids=lambda block: type(block).__name__,
)
def test_a_block_counts_like_its_parts(block):
    inputs = keras.Input((16, 16, 4))
    closed = keras.Model(inputs, block(inputs))
    opened = keras.Model(inputs, block.call(inputs))
    one, other = report.summarize(closed), report.summarize(opened)
    assert [row.name.split("/")[-1] for row in one.rows] == [row.name.split("/")[-1] for row in other.rows]
    assert all(row.name.startswith("block/") for row in one.rows[1:])
    assert one.unknown == other.unknown == ()
    assert one.total_params == other.total_params == closed.count_params()
    assert one.total_macs == other.total_macs > 0
    assert one.receptive_field == other.receptive_field is not None
    assert (one.training_bytes, one.inference_bytes) == (other.training_bytes, other.inference_bytes)


class Doubled(layers.Layer):
    """A student's layer: made of others, one of which only a branch of its code reads."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.conv, self.extra = layers.Conv2D(2, 3, name="conv"), layers.Dense(2, name="extra")

    def build(self, shape):
        self.conv.build(shape)
        self.extra.build(shape)

    def call(self, x, twice=True):
        return self.conv(x) * 2.0 if twice else self.extra(x)


class Scaled(layers.Layer):
    """A layer with a weight of its own."""

    def build(self, shape):
        self.scale = self.add_weight(shape=(shape[-1],))

    def call(self, x):
        return x * self.scale


class Stubborn(layers.Layer):
    """A layer whose code needs numbers."""

    def call(self, x):
        return x if float(ops.sum(x)) > 0 else -x

    def compute_output_shape(self, shape):
        return shape


class Normalised(layers.Conv2D):
    def convolution_op(self, inputs, kernel):
        return super().convolution_op(inputs, kernel / ops.norm(kernel))


class Renamed(layers.Conv2D):
    """Only the default differs: what it does is what Conv2D does."""


def test_weights_that_no_call_reads_are_listed():
    model = keras.Sequential([keras.Input((8, 8, 1)), Doubled(name="own")])
    summary = report.summarize(model)
    assert names(summary)[1:] == ["own/conv", "own/multiply", "(not called)"]
    assert summary.rows[-1].params == 4
    assert summary.total_params == model.count_params() == 20 + 4
    assert summary.receptive_field == (3, 1, 1)
    inputs = keras.Input((8, 8, 1))
    once = report.summarize(keras.Model(inputs, Doubled(name="own")(inputs, twice=False)))
    assert (names(once)[1:], once.total_macs) == (["own/extra", "(not called)"], 64 * 2)


@pytest.mark.parametrize(
    "layer, shape",
    [
        (layers.Lambda(lambda x: x + 1, name="odd"), (8, 8, 2)),
        (Scaled(name="odd"), (8, 8, 2)),
        (Stubborn(name="odd"), (8, 8, 2)),
        (Normalised(2, 3, name="odd"), (8, 8, 2)),
        (layers.TimeDistributed(layers.Dense(2), name="odd"), (8, 8, 2)),
        (layers.LSTM(3, name="odd"), (8, 2)),
        (layers.Bidirectional(layers.GRU(3), name="odd"), (8, 2)),
        (layers.EinsumDense("abc,cd->abd", (8, 3), name="odd"), (8, 2)),
        (layers.ConvLSTM2D(2, 3, name="odd"), (3, 8, 8, 2)),
    ],
)
def test_unknown_layers_are_named_and_never_counted_as_zero(layer, shape):
    x = inputs = keras.Input(shape)
    x = layers.Dense(2, name="before")(x)
    model = keras.Model(inputs, layers.ReLU(name="after")(layer(x)))
    summary = report.summarize(model)
    before, odd, after = summary.rows[1:]
    assert summary.unknown == ("odd",)
    assert odd.macs is odd.receptive_field is after.receptive_field is None
    assert after.macs == 0
    assert odd.params == layer.count_params()
    assert summary.total_params == model.count_params()
    assert summary.total_macs == before.macs > 0
    for shown in (str(summary), summary._repr_html_()):
        assert f"multiply-adds for one image: at least {before.macs:,}" in shown
        assert "unknown, and not counted: odd" in shown
    frame = summary.to_frame().set_index("name")
    assert frame.macs.isna().to_dict() == {
        inputs._keras_history.operation.name: False,
        "before": False,
        "odd": True,
        "after": False,
    }
    assert frame.receptive_field.isna().tolist() == [False, False, True, True]


def test_attention_is_unknown():
    x = inputs = keras.Input((8, 4))
    model = keras.Model(inputs, layers.MultiHeadAttention(2, 3, name="attention")(x, x))
    summary = report.summarize(model)
    assert summary.unknown == ("attention",)
    assert summary.total_params == model.count_params()
    model = keras.Model(inputs, ops.einsum("abc,abd->acd", x, x))
    assert report.summarize(model).unknown == (names(report.summarize(model))[-1],)


def test_a_layer_that_hides_its_size_is_refused():
    class Hiding(Scaled):
        def compute_output_shape(self, shape):
            return (None, None, shape[-1])

    model = keras.Sequential([keras.Input((8, 2)), Hiding(name="hiding")])
    with pytest.raises(ValueError, match="summarize: the layer hiding does not say how large its output is"):
        report.summarize(model)


def test_a_subclass_that_computes_the_same_is_known():
    model = keras.Sequential([keras.Input((8, 8, 2)), Renamed(3, 3)])
    summary = report.summarize(model)
    assert (summary.unknown, summary.total_macs, summary.rows[-1].type) == ((), 36 * 18 * 3, "Renamed")


def test_layers_that_change_images_in_training_only_leave_the_field_alone():
    parts = [
        layers.RandomFlip("horizontal"),
        layers.RandomRotation(0.1),
        layers.Rescaling(1 / 255),
        layers.Conv2D(1, 3),
    ]
    assert report.summarize(keras.Sequential([keras.Input((8, 8, 1)), *parts])).receptive_field == (3, 1, 1)


def test_inputs_without_image_axes_have_no_field():
    summary = report.summarize(keras.Sequential([keras.Input((20,)), layers.Dense(5)]))
    assert (summary.receptive_field, summary.total_macs, summary.unknown) == (None, 100, ())
    assert "?" not in str(summary)
    words = keras.Sequential([keras.Input((9,)), layers.Embedding(10, 4), layers.Conv1D(2, 3)])
    assert report.summarize(words).total_macs == 7 * 2 * 12


# Sizes other than the model's own.


def test_input_shape_gives_unknown_sizes():
    model = keras.Sequential([keras.Input((None, None, 3)), layers.Conv2D(2, 3, strides=2, padding="same")])
    with pytest.raises(ValueError, match=r"size of the input must be known .*input_shape=\(224, 224, 3\)"):
        report.summarize(model)
    summary = report.summarize(model, input_shape=(224, 224, 3))
    assert summary.total_macs == 112 * 112 * 2 * 27
    assert summary.rows[-1].output_shape == (None, 112, 112, 2)
    assert report.summarize(model, input_shape=(33, 20, 3)).rows[-1].output_shape == (None, 17, 10, 2)


def test_input_shape_reaches_into_every_kind_of_model():
    inputs = keras.Input((16, 16, 4))
    nested = keras.Sequential([keras.Input((None, None, 4)), layers.Conv2D(4, 3)], name="nested")
    x = ours.Inception((2, 2, 4, 2, 4, 2), name="block")(nested(inputs))
    model = keras.Model(inputs, layers.GlobalAveragePooling2D()(x[:, ::2]))
    fixed, other = report.summarize(model), report.summarize(model, input_shape=(16, 16, 4))
    assert fixed == other
    larger = report.summarize(model, input_shape=(30, 30, 4))
    assert larger.total_macs == fixed.total_macs * 4  # (30 - 2)² for (16 - 2)²
    assert larger.total_params == fixed.total_params
    other = keras.Input((None, 2), name="b")
    both = keras.Model([inputs, other], [model(inputs), layers.ReLU()(other)])
    assert report.summarize(both, input_shape=[(30, 30, 4), (5, 2)]).total_macs == larger.total_macs


@pytest.mark.parametrize(
    "size, message",
    [
        ((12, 10), "an integer >= 1 per axis"),
        ((12, 10, 0), "an integer >= 1 per axis"),
        ((12, 10.5, 3), "an integer >= 1 per axis"),
        ((None, 10, 3), "an integer >= 1 per axis"),
        (12, "an integer >= 1 per axis"),
        ((), "an integer >= 1 per axis"),
        ([(12, 10, 3), (12, 10, 3)], "an integer >= 1 per axis"),
        ((12, 10, 1), "a layer does not take its input: "),
        ((24, 20, 3), "a layer does not take its input: dense was built for 80 numbers on axis -1 and gets 396"),
        ((2, 2, 3), "a layer does not take its input: "),
    ],
)
def test_wrong_sizes_are_refused(size, message):
    with pytest.raises(ValueError, match=f"^summarize: .*{message}") as caught:
        report.summarize(small_model(), input_shape=size)
    assert "Use for example input_shape=(12, 10, 3)" in str(caught.value) or "Leave `input_shape` out" in str(
        caught.value
    )
    assert (
        report.summarize(small_model(), input_shape=(12, 10, 3)).total_macs
        == report.summarize(small_model()).total_macs
    )


def test_two_inputs_want_two_sizes():
    a, b = keras.Input((8, 8, 1)), keras.Input((None, 2))
    model = keras.Model([a, b], [layers.Flatten()(a), layers.ReLU()(b)])
    with pytest.raises(ValueError, match=r"for each of the 2 inputs .*input_shape=\[\(8, 8, 1\), \(224, 2\)\]"):
        report.summarize(model, input_shape=(8, 8, 1))
    assert report.summarize(model, input_shape=[(8, 8, 1), (224, 2)]).total_macs == 0


# What is refused. Each remedy is followed.


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.conv = layers.Conv2D(2, 3, name="conv")

    def call(self, x):
        return self.conv(x)


def test_subclassed_models_are_refused_and_can_be_wrapped():
    model = Subclassed()
    with pytest.raises(
        ValueError, match=r"summarize: .*subclassed model .*type\(model\)='Subclassed'.*Wrap it"
    ) as caught:
        report.summarize(model)
    assert "inputs = keras.Input((32, 32, 3)); summarize(keras.Model(inputs, model(inputs)))" in str(caught.value)
    inputs = keras.Input((32, 32, 3))
    summary = report.summarize(keras.Model(inputs, model(inputs)))
    assert names(summary)[1:] == [f"{model.name}/conv"]
    assert summary.total_macs == 30 * 30 * 54


def test_a_functional_model_with_a_call_of_its_own_is_refused():
    class Own(keras.Model):
        def call(self, x):
            return super().call(x) * 2

    inputs = keras.Input((8, 8, 1))
    with pytest.raises(ValueError, match="subclassed"):
        report.summarize(Own(inputs, layers.Conv2D(1, 3)(inputs)))


def test_unbuilt_models_are_refused():
    model = keras.Sequential([layers.Conv2D(2, 3), layers.Flatten(), layers.Dense(2)])
    with pytest.raises(ValueError, match=r"summarize: the model is not built.*model.build\(\(None, 32, 32, 3\)\)"):
        report.summarize(model)
    model.build((None, 32, 32, 3))
    assert report.summarize(model).total_params == model.count_params()
    begun = keras.Sequential([keras.Input((32, 32, 3)), layers.Conv2D(2, 3)])
    assert report.summarize(begun).total_macs == 30 * 30 * 54


def test_a_layer_is_refused():
    layer = layers.Conv2D(2, 3)
    with pytest.raises(ValueError, match=r"a single layer \(type\(model\)='Conv2D'\).*Put it into one"):
        report.summarize(layer)
    assert report.summarize(keras.Sequential([keras.Input((32, 32, 3)), layer])).total_macs == 30 * 30 * 54


@pytest.mark.parametrize("model", ["lenet", None, np.zeros(3), small_model])
def test_what_is_no_keras_model_is_refused(model):
    with pytest.raises(ValueError, match=r"summarize: `model` must be a Keras 3 model .*Pass keras.Sequential"):
        report.summarize(model)


@pytest.mark.parametrize("arguments", [{"batch_size": 0}, {"batch_size": 1.5}, {"depth": -1}, {"depth": "all"}])
def test_wrong_settings_are_refused(arguments):
    (name,) = arguments
    with pytest.raises(ValueError, match=f"summarize: `{name}` must be an integer"):
        report.summarize(small_model(), **arguments)


# How it is shown.


def test_text_is_the_same_everywhere():
    text = str(report.summarize(small_model(), batch_size=32))
    lines = text.splitlines()
    assert lines[0] == "small: 5 layers"
    assert max(map(len, lines)) <= 110
    packed = [" ".join(line.split()) for line in lines]
    assert "conv Conv2D 10 × 8 × 4 112 8,640 98.2 40.0 KiB 3 1 1" in packed
    assert "dense Dense 2 162 160 1.8 256 B 12 × 10 0 5.5 × 4.5" in packed
    assert "parameters: 274, of them trained 274; memory 1.1 KiB" in lines
    assert "multiply-adds for one image: 8,800 (1 MAC = 2 FLOPs)" in lines
    assert "memory of the outputs for 32 images: 105.2 KiB in training, 85.0 KiB at once in inference" in lines


class Cells(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.rows, self.open = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        if tag == "tr":
            self.rows.append([])
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1] in ("td", "th"):
            self.rows[-1].append(data)


def test_html_holds_the_same_cells():
    summary = report.summarize(small_model())
    cells = Cells(summary._repr_html_())
    assert cells.open == []
    assert cells.rows[0] == [
        "layer",
        "type",
        "output",
        "parameters",
        "MACs",
        "% MACs",
        "memory",
        "sees",
        "jump",
        "start",
    ]
    assert cells.rows[2] == ["conv", "Conv2D", "10 × 8 × 4", "112", "8,640", "98.2", "1.2 KiB", "3", "1", "1"]
    assert len(cells.rows) == 1 + len(summary.rows)
    assert set(re.findall(r"color:([^;']*)", summary._repr_html_())) == {"inherit"}  # the page's own, light or dark
    named = keras.Sequential([keras.Input((4, 4, 1)), layers.ReLU(name="a<b")], name="x&y")
    assert "a&lt;b" in report.summarize(named)._repr_html_()
    assert "x&amp;y: 2 layers" in report.summarize(named)._repr_html_()


def test_frame_holds_every_row():
    summary = report.summarize(zoo.build_lenet5(), batch_size=10)
    frame = summary.to_frame()
    assert frame.columns.tolist() == [
        "name", "call", "type", "output_shape", "params", "trainable_params", "macs", "params_share", "macs_share",
        "activation_bytes", "weight_bytes", "receptive_field", "jump", "start", "note",
    ]  # fmt: skip
    assert frame.params.sum() == summary.total_params == 61_706
    assert frame.macs.sum() == summary.total_macs == 416_520
    assert frame.activation_bytes.sum() == summary.training_bytes
    assert frame.params_share.sum() == pytest.approx(1)
    assert frame.macs_share.sum() == pytest.approx(1)
    by_name = frame.set_index("name")
    assert by_name.loc["C3", "macs_share"] == pytest.approx(240_000 / 416_520)
    assert by_name.receptive_field.tolist() == [1, 5, 6, 14, 16, 32, 32, 32, 32]
    assert by_name.jump.tolist() == [1, 1, 2, 2, 4, 0, 0, 0, 0]
    assert by_name.start.tolist() == [0, 2, 2.5, 6.5, 7.5, 15.5, 15.5, 15.5, 15.5]
    oblong = report.summarize(small_model()).to_frame()
    assert oblong.receptive_field.tolist() == [1, 3, 4, (12, 10), (12, 10)]


def test_an_empty_share_divides_by_nothing():
    summary = report.summarize(keras.Sequential([keras.Input((4, 4, 1)), layers.ReLU()]))
    assert (summary.total_params, summary.total_macs) == (0, 0)
    assert "0.0" in str(summary)


def lines_of(model, **options):
    """Names and sums of the lines between the two rules of the text."""
    text = str(report.summarize(model, **options)).splitlines()
    rules = [i for i, line in enumerate(text) if line.startswith("─")]
    return text[0], [line.split()[0] for line in text[rules[1] + 1 : rules[2]]]


def test_long_models_are_shown_in_groups():
    model = zoo.build_cifar_resnet(20)
    heading, lines = lines_of(model)
    calls = len(report.summarize(model).rows)
    assert heading.startswith(
        f"{model.name}: {calls} layers in {len(lines)} groups; each one: summarize(model, depth=0)"
    )
    assert len(lines) <= 40
    assert len(lines_of(model, depth=0)[1]) == calls
    assert len(lines_of(model, depth=1)[1]) <= len(lines_of(model, depth=2)[1]) < calls
    assert report.summarize(model, depth=1).rows == report.summarize(model).rows


def test_groups_need_no_names():
    x = inputs = keras.Input((64, 64, 4))
    for _stage in range(3):
        for _block in range(6):
            x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(4, 3, padding="same")(x)))
            s = layers.Dense(4)(layers.GlobalAveragePooling2D(keepdims=True)(x))
            x = layers.Multiply()([x, s])
        x = layers.MaxPooling2D(2)(x)
    model = keras.Model(inputs, layers.Dense(3, name="top")(layers.GlobalMaxPooling2D(name="pool")(x)))
    _, lines = lines_of(model)
    assert len(lines) == 5  # 64, 32, 16 and 8 pixels, then the two without an image
    assert lines[-1] == "pool…"


def test_groups_are_always_few():
    x = inputs = keras.Input((32, 32, 1))
    for number in range(45):  # neither names nor sizes help
        x = layers.MaxPooling2D(2, name=f"down{number}")(layers.UpSampling2D(2, name=f"up{number}")(x))
    assert len(lines_of(keras.Model(inputs, x))[1]) == 40


def test_groups_sum_up():
    model = keras.Sequential(
        [keras.Input((8, 8, 1)), layers.Conv2D(2, 3, name="a_1"), layers.Lambda(lambda x: x, name="a_2"),
         layers.Conv2D(2, 3, name="b_1"), layers.ReLU(name="b_2")]
    )  # fmt: skip
    packed = [" ".join(line.split()) for line in str(report.summarize(model, depth=1)).splitlines()]
    assert "a… 2 layers 6 × 6 × 2 20 ≥ 648 ? 576 B ? ? ?" in packed
    assert "b… 2 layers 4 × 4 × 2 38 576 47.1 256 B ? ? ?" in packed


# The networks of the papers.


@pytest.mark.parametrize(
    "build, paper",
    [
        pytest.param(lambda: zoo.build_resnet(18), "resnet18", marks=pytest.mark.slow),
        pytest.param(lambda: zoo.build_resnet(34), "resnet34", marks=pytest.mark.slow),
        (lambda: keras.applications.MobileNet(weights=None), "mobilenet"),
    ],
)
def test_small_published_networks(build, paper):
    model = build()
    summary = report.summarize(model)
    assert summary.unknown == ()
    assert summary.total_params == model.count_params()
    if paper == "mobilenet":  # Howard et al., MobileNets, 2017, table 4: 569 million multiply-adds
        assert round(summary.total_macs / 1e6) == 569
        assert summary.receptive_field[:2] == published.figure("mobilenet/receptive-field").value
    else:
        assert summary.total_macs == pytest.approx(published.figure(f"{paper}/macs").value, rel=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("depth", [50, 101, 152])
def test_bottleneck_networks(depth):
    begin = time.process_time()
    model = zoo.build_resnet(depth)
    built = time.process_time()
    summary = report.summarize(model)
    assert time.process_time() - built < (built - begin) / 4  # a fiftieth measured; a ratio holds on slow machines
    assert summary.total_params == published.figure(f"resnet{depth}/params").value
    # The paper rounds, and leaves the shortcuts' projections out in places: within 2 %.
    assert summary.total_macs == pytest.approx(published.figure(f"resnet{depth}/macs").value, rel=0.02)
    assert summary.receptive_field[:2] == published.figure(f"resnet{depth}/receptive-field").value
    assert summary.trainable_params == sum(int(np.prod(w.shape)) for w in model.trainable_weights)
    assert len(str(summary).splitlines()) < 45


@pytest.mark.slow
def test_where_the_stride_sits_in_a_bottleneck_changes_the_field():
    """483 pixels with the stride in the first 1x1 convolution, or at the end of the stage before; 427 in the 3x3."""

    def resnet50(place):
        x = inputs = keras.Input((224, 224, 1))
        x = layers.MaxPooling2D(3, 2, "same")(layers.Conv2D(1, 7, 2, "same")(x))
        for stage, blocks in enumerate((3, 4, 6, 3)):
            for block in range(blocks):
                here = (stage > 0 and block == 0) if place != "end" else (stage < 3 and block == blocks - 1)
                s = 2 if here else 1
                y = layers.Conv2D(1, 1, s if place == "first" else 1)(x)
                y = layers.Conv2D(1, 3, 1 if place == "first" else s, "same")(y)
                x = layers.Add()([layers.Conv2D(1, 1, s)(x), layers.Conv2D(1, 1)(y)])
        return report.summarize(keras.Model(inputs, x)).receptive_field.size

    assert resnet50("first") == resnet50("end") == published.figure("resnet50/receptive-field").value[0]
    assert resnet50("3x3") == 427


@pytest.mark.slow
def test_vgg16():
    summary = report.summarize(keras.applications.VGG16(weights=None))
    assert summary.total_macs == 15_470_264_320
    convolutions = sum(row.macs for row in summary.rows if row.type == "Conv2D")
    assert convolutions == pytest.approx(published.figure("vgg16/macs").value, rel=0.004)  # printed 15.3, counted 15.35
    assert summary.total_params == published.figure("vgg16/params").value
    size, jump, start = summary.receptive_field
    assert (size, jump) == published.figure("vgg16/receptive-field").value
    assert start == (size - 1) / 2 - published.figure("vgg16/receptive-field-padding").value


def test_alexnet_sees_195_pixels():
    rows = {row.name: row for row in report.summarize(zoo.build_alexnet(width=0.1)).rows}
    fields = [row.receptive_field.size for row in rows.values() if row.type in ("Conv2D", "MaxPooling2D")]
    assert fields == [11, 19, 51, 67, 99, 131, 163, 195]
    assert published.figure("alexnet/receptive-field").value == (195, 32)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, macs, field",
    [  # multiply-adds as the papers print them, fields as Araujo et al.; squeeze-and-excitation sees all
        ("DenseNet121", None, (2071, 32)),
        ("InceptionV3", None, "inception-v3"),
        ("InceptionResNetV2", None, "inception-resnet-v2"),
        ("MobileNetV2", 300e6, None),  # Sandler et al. 2018, table 4
        ("MobileNetV3Small", 56e6, "all"),  # Howard et al. 2019, table 3
        ("EfficientNetB0", 0.39e9, "all"),  # Tan & Le 2019, table 2
        ("EfficientNetV2B0", 0.7e9, "all"),  # Tan & Le 2021, table 7
        ("NASNetMobile", 564e6, None),  # Zoph et al. 2018, table 2
        ("Xception", None, None),
        ("ResNet50V2", None, "resnet50"),
        ("ConvNeXtTiny", 4.5e9, None),  # Liu et al. 2022, table 1
    ],
)
def test_every_family_of_keras_applications(name, macs, field):
    model = getattr(keras.applications, name)(weights=None)
    given = {"input_shape": (224, 224, 3)} if None in model.input_shape[1:] else {}
    summary = report.summarize(model, **given)
    assert summary.unknown == ()
    assert [row.note for row in summary.rows if row.note] == []
    assert summary.total_params == model.count_params()
    if macs:
        assert summary.total_macs == pytest.approx(macs, rel=0.03)
    if field == "all":
        assert summary.receptive_field == (224, 0, 111.5)
    elif isinstance(field, str):
        assert summary.receptive_field[:2] == published.figure(f"{field}/receptive-field").value
    elif field:
        assert summary.receptive_field[:2] == field
    assert len(str(summary).splitlines()) < 50
    keras.utils.clear_session()
