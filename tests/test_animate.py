"""The sliding kernel: its numbers against scipy, its HTML against what a notebook page asks of it."""

import json
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from urllib.parse import unquote

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import correlate2d

from course_cnn import animate, shapes

X = np.array([[1, 2, 0, 1], [0, 1, 3, 1], [2, 0, 1, 0]])
VOID = {"meta", "img", "input", "br"}


class Page(HTMLParser):
    """Collects every element and fails on a tag that is closed out of order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.scripts = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)

    def part(self, name):
        found = [attrs for _, attrs in self.elements if attrs.get("data-part") == name]
        assert len(found) == 1
        return found[0]


def values_in(svg):
    return [text.text for text in ET.fromstring(svg).iter() if text.get("data-part") == "value"]


@settings(max_examples=60, deadline=None)
@given(
    kernel_size=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    extra=st.tuples(st.integers(0, 4), st.integers(0, 4)),
    stride=st.integers(1, 3),
    padding=st.sampled_from([0, 1, (0, 2), "same", "full", "causal", ((1, 0), (0, 2))]),
    dilation=st.integers(1, 2),
    whole=st.booleans(),
    seed=st.integers(0, 99),
)
def test_frames_hold_the_correlation(kernel_size, extra, stride, padding, dilation, whole, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=[dilation * (k - 1) + 1 + e for k, e in zip(kernel_size, extra, strict=True)])
    kernel = rng.normal(size=kernel_size)
    if whole:
        x, kernel = (5 * x).astype(int), (5 * kernel).astype(int)
    frames = animate.sliding_kernel(x, kernel, stride=stride, padding=padding, dilation=dilation).frames
    axes = shapes.windows(x.shape, kernel.shape, stride=stride, padding=padding, dilation=dilation)
    holes = np.zeros([axis.span for axis in axes])
    holes[::dilation, ::dilation] = kernel
    padded = np.pad(x, [(axis.before, axis.after) for axis in axes])
    want = correlate2d(padded, holes, mode="valid")[::stride, ::stride]
    got = np.array([frame.value for frame in frames]).reshape(want.shape)
    np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-12)
    assert [(frame.row, frame.col) for frame in frames] == list(np.ndindex(want.shape))
    assert all(isinstance(frame.value, int) for frame in frames) == whole


@pytest.mark.parametrize("kind, reduce", [("max", np.max), ("average", np.mean)])
def test_pooling_frames(kind, reduce):
    x = np.random.default_rng(0).normal(size=(5, 7))
    for pool_size, stride in ((2, None), (3, 1), ((2, 3), 2)):
        frames = animate.sliding_pool(x, pool_size, stride=stride, kind=kind).frames
        ph, pw = shapes.per_axis_ints("", "", pool_size, 2)
        sh, sw = shapes.per_axis_ints("", "", pool_size if stride is None else stride, 2)
        for row, col, value, _ in frames:
            patch = x[row * sh : row * sh + ph, col * sw : col * sw + pw]
            np.testing.assert_allclose(value, reduce(patch), rtol=1e-12)
        assert len(frames) == ((5 - ph) // sh + 1) * ((7 - pw) // sw + 1)


def test_uint8_does_not_wrap_around():
    x = np.full((2, 2), 200, np.uint8)
    assert animate.sliding_kernel(x, np.full((2, 2), 200, np.uint8)).frames[0].value == 160_000


def test_sequence_is_one_row():
    animation = animate.sliding_kernel([1, 2, 4, 8], [1, -1], padding="causal")
    assert [frame[:3] for frame in animation.frames] == [(0, 0, -1), (0, 1, -1), (0, 2, -2), (0, 3, -4)]
    assert repr(animation) == "sliding_kernel: 4 input, 2 kernel, stride 1, padding causal -> 4 output"
    assert values_in(animation.svg) == ["-1", "-1", "-2", "-4"]
    assert "output 3: 4·1 + 8·(-1) = -4" in animation._repr_html_()


@pytest.mark.parametrize(
    "animation, text",
    [
        (
            animate.sliding_kernel(np.ones((4, 4)), np.ones((3, 3)), padding=1),
            "sliding_kernel: 4x4 input, 3x3 kernel, stride 1, padding 1 -> 4x4 output",
        ),
        (
            animate.sliding_kernel(np.ones((7, 9)), np.ones((2, 2)), stride=(1, 2), dilation=3),
            "sliding_kernel: 7x9 input, 2x2 kernel, stride (1, 2), dilation 3 -> 4x3 output",
        ),
        (
            animate.sliding_pool(np.ones((4, 6)), (2, 3)),
            "sliding_pool: 4x6 input, 2x3 max, stride (2, 3) -> 2x2 output",
        ),
    ],
)
def test_repr(animation, text):
    assert repr(animation) == text


def test_long_sums_are_shortened():
    animation = animate.sliding_kernel(np.ones((4, 4)), np.full((4, 4), 0.5))
    assert animation.frames[0].text == "1·0.5 + 1·0.5 + 1·0.5 + 1·0.5 + … + 1·0.5 = 8"
    assert animate.sliding_pool([[-1, 2.25], [0.004, 150.25]]).frames[0].text == "max(-1, 2.25, 0.004, 150) = 150"


def test_page_is_well_formed_and_needs_nothing_from_outside():
    animation = animate.sliding_kernel(X, [[1, 0], [0, -1]], padding=1, stride=2, title="<b>Step & stride</b>")
    page = Page(animation.to_html())
    assert "&lt;b&gt;Step &amp; stride&lt;/b&gt;" in animation.to_html()
    assert not any(tag == "b" for tag, _ in page.elements)
    assert re.findall(r"https?:[^ '\"<>]*", unquote(animation.to_html())) == ["http://www.w3.org/2000/svg"]
    for _, attributes in page.elements:
        assert "id" not in attributes
        assert attributes.get("src", "data:").startswith("data:")
        assert "href" not in attributes


def test_still_picture_shows_everything_without_script():
    animation = animate.sliding_kernel(X, [[1, 0], [0, -1]])
    page = Page(animation._repr_html_())
    still = page.part("still")
    assert still["alt"] == repr(animation)
    kind, svg = still["src"].split(",", 1)
    assert kind == "data:image/svg+xml"
    assert unquote(svg) == animation.svg
    assert values_in(animation.svg) == [str(frame.value) for frame in animation.frames]
    assert page.part("controls")["hidden"] == "hidden"  # JupyterLab drops it without a value
    root = ET.fromstring(animation.svg)
    assert [e.get("transform") for e in root.iter() if e.get("data-part") == "window"] == ["translate(64 32)"]
    assert len([e for e in root.iter() if e.get("data-part") == "mark"]) == 1
    assert "background:#ffffff" in root.get("style")  # dark themes


def test_added_zeros_look_different():
    def zeros(svg):
        return [e.text for e in ET.fromstring(svg).iter() if e.get("fill") == "#595959"]

    assert zeros(animate.sliding_kernel(X, [[1]], padding=0).svg) == []
    assert zeros(animate.sliding_kernel(X, [[1]], padding=1).svg) == ["0"] * (5 * 6 - 12)


def test_script_gets_the_sums_and_the_steps():
    animation = animate.sliding_kernel(X, [[1, 0], [0, -1]], stride=(1, 2), delay=250)
    page = Page(animation._repr_html_())
    data = json.loads(page.elements[0][1]["data-animation"])
    sums = data.pop("sums")
    assert sums == [f"output ({f.row}, {f.col}): {f.text}" for f in animation.frames]
    assert data == {"columns": 2, "right": 64, "down": 32, "cell": 32, "delay": 250}
    assert page.part("slider")["max"] == "3"
    (script,) = page.scripts
    for name in set(re.findall(r'part\("(\w+)"\)', script)):
        assert animation._repr_html_().count(f'data-part="{name}"') + animation.svg.count(f"data-part='{name}'") == 1
    assert "prefers-reduced-motion" in script
    assert "getElementById" not in script


def test_same_call_same_bytes_and_two_on_a_page():
    first, second = (animate.sliding_kernel(X / 3, [[1, 0.5]])._repr_html_() for _ in range(2))
    assert first == second
    page = Page(first + animate.sliding_pool(X)._repr_html_())
    assert sum(attributes.get("class") == "course-cnn-animation" for _, attributes in page.elements) == 2


def test_stays_small():
    rng = np.random.default_rng(0)
    animation = animate.sliding_kernel(rng.normal(size=(10, 10)), rng.normal(size=(3, 3)), padding=1)
    assert len(animation.to_html().encode()) < 60_000


def test_save(tmp_path):
    animation = animate.sliding_kernel(X, [[1, 0]])
    path = animation.save(tmp_path / "kernel.html")
    assert path.read_text(encoding="utf-8") == animation.to_html()
    assert [file.name for file in tmp_path.iterdir()] == ["kernel.html"]


@pytest.mark.parametrize("where", ["missing/kernel.html", "taken"])
def test_save_leaves_nothing_behind_when_it_fails(tmp_path, where):
    (tmp_path / "taken").mkdir()
    with pytest.raises(ValueError, match=r"Animation.save: `path` must be a file that can be written \(path="):
        animate.sliding_kernel(X, [[1, 0]]).save(tmp_path / where)
    assert [file.name for file in tmp_path.iterdir()] == ["taken"]


def test_an_interrupted_save_leaves_nothing_behind(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(animate.os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        animate.sliding_kernel(X, [[1, 0]]).save(tmp_path / "kernel.html")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: animate.sliding_kernel(X, [1, 2]), "must have the same number of axes"),
        (lambda: animate.sliding_kernel(X[None], X[None]), r"`x` must have axes \(h, w\) or \(n,\)"),
        (lambda: animate.sliding_kernel(X, [[]]), "at least one number"),
        (lambda: animate.sliding_kernel([[1, 2], [3]], [[1]]), "`x` must be an array of numbers"),
        (lambda: animate.sliding_kernel("cat", [[1]]), "`x` must be an array of numbers"),
        (lambda: animate.sliding_kernel(X, [[np.nan]]), "`kernel` must hold finite numbers"),
        (lambda: animate.sliding_kernel(X, np.ones((4, 4))), "sliding_kernel: the kernel spans 4 pixels"),
        (lambda: animate.sliding_kernel(X, [[1]], stride=0), "`stride` must be an integer >= 1"),
        (lambda: animate.sliding_kernel(X, [[1]], delay=10), "`delay` must be an integer >= 50"),
        (lambda: animate.sliding_kernel(np.ones((28, 28)), [[1]], padding=3), "at most 32 pixels a side"),
        (lambda: animate.sliding_pool(X, kind="mean"), "`kind` must be one of 'max', 'average'"),
        (lambda: animate.sliding_pool(X, 5), "sliding_pool: the kernel spans 5 pixels"),
        (lambda: animate.sliding_pool(X, (1, 2, 3)), "`pool_size` must be one integer, or one per axis"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_remedy_for_a_large_input_works():
    x = np.ones((40, 40))
    with pytest.raises(ValueError, match=r"Cut out a corner: x\[:16, :16\]"):
        animate.sliding_kernel(x, np.ones((3, 3)))
    assert animate.sliding_kernel(x[:16, :16], np.ones((3, 3))).frames[-1].value == 9
