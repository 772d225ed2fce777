"""LeNet-5 of 1998 and the net of 20 and 50 filters."""

from course_cnn.zoo.published._figure import Figure

_LECUN = "LeCun et al., Gradient-based learning applied to document recognition, Proc. IEEE 86(11), 1998"
_COUNT = "counted from the layers as they are built today"
_GULLI = "Gulli & Pal, Deep Learning with Keras, 2017, chapter 3 (layers); counted"

FIGURES = (
    Figure("lenet5-1998/sizes", (28, 14, 10, 5), "height and width of C1, S2, C3, S4, pixels", f"{_LECUN}, figure 2"),
    Figure("lenet5-1998/units", (400, 120, 84, 10), "units from S4 on, flattened", f"{_LECUN}, figure 2"),
    Figure("lenet5-1998/params", 61_706, "parameters with full C3 and plain pooling", _COUNT),
    Figure("lenet5-1998/layer-params", (156, 2_416, 48_120, 10_164, 850), "C1, C3, C5, F6, output", _COUNT),
    Figure("lenet5-1998/params-paper", 60_000, "parameters, without the output layer", f"{_LECUN}, section II.B"),
    Figure(
        "lenet5-1998/layer-params-paper", (156, 12, 1_516, 32, 48_120, 10_164),
        "C1, S2, C3, S4, C5, F6: C3 reads only some of the maps, S2 and S4 learn a coefficient and a bias per map",
        f"{_LECUN}, section II.B",
    ),
    Figure("lenet5-1998/s2-c3-weights", 2_400, "weights from S2 to C3, every map with every map", _COUNT),
    Figure("lenet5-1998/s2-c3-params", 2_416, "the same with biases", _COUNT),
    Figure("lenet5-1998/s2-c3-params-paper", 1_516, "60 of the 96 pairs of maps, and biases", f"{_LECUN}, table I"),
    Figure("lenet5-1998/c1-connections", 122_304, "multiply-adds of C1, one more per bias", f"{_LECUN}, section II.B"),
    Figure("lenet5-1998/mnist-error", 0.0095, "share of test digits, no distortions", f"{_LECUN}, section III.B"),
    Figure("lenet-20-50/sizes", (28, 14, 14, 7), "height and width of C1, S2, C3, S4, pixels", _GULLI),
    Figure("lenet-20-50/units", (2_450, 500, 10), "units from S4 on, flattened", _GULLI),
    Figure("lenet-20-50/layer-weights", (500, 25_000, 1_225_000, 5_000), "C1, C3, F5, output, no biases", _GULLI),
    Figure("lenet-20-50/weights", 1_255_500, "weights, no biases", _GULLI),
    Figure("lenet-20-50/params", 1_256_080, "weights and biases", _GULLI),
    Figure("mlp-300-100/params", 266_610, "weights and biases of 784-300-100-10", _COUNT),
    Figure("mlp-300-100/mnist-error", 0.0305, "share of test digits, no distortions", f"{_LECUN}, section III.C"),
)  # fmt: skip
