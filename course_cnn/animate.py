"""The sliding kernel as a moving picture: one self-contained piece of HTML that plays without a kernel or a network.

The still picture (everything computed, window on its last position) is drawn here, as SVG inside an `<img>`: it shows
wherever scripts are off, and Jupyter keeps it in notebooks it does not trust, where it drops inline SVG. Where scripts
run, one of them puts the same SVG into the page and moves its parts. Nothing carries an id: any number of animations
share a page, and the same call writes the same bytes.
"""

import contextlib
import html
import json
import os
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import numpy as np

from course_cnn import _checks, shapes

LARGEST = 32  # pixels a side, zeros included: beyond it nobody can read the numbers
_CELL, _GAP, _HEAD = 32, 28, 24  # drawing units: one pixel's square, room between two grids, a grid's heading
_INK, _BLUE, _ORANGE = "#222222", "#006BA4", "#FF800E"  # the last two from matplotlib's tableau-colorblind10


class Frame(NamedTuple):
    """One position of the kernel: output cell (row, col), its value, and the sum written out as `text`."""

    row: int
    col: int
    value: int | float
    text: str


class Animation:
    """A kernel sliding over a small input. Made by `sliding_kernel` and `sliding_pool`; a notebook shows it playing.

    Attributes:
        frames: list of `Frame`(row, col, value, text), in the order they play.
        svg: str, the still picture: every output written, the window on the last position.
    """

    def __init__(self, summary, frames, svg, fragment):
        self.frames = frames
        self.svg = svg
        self._summary = summary
        self._fragment = fragment

    def __repr__(self):
        return self._summary

    def _repr_html_(self):
        return self._fragment

    def to_html(self):
        """Return a complete HTML page, str, that needs no other file."""
        return (
            '<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width"><title>'
            f"{html.escape(self._summary)}</title></head>\n<body>\n{self._fragment}\n</body>\n</html>\n"
        )

    def save(self, path):
        """Write the complete page to `path` (str or Path), whole or not at all. Returns the Path.

        Raises:
            ValueError: the file cannot be written there.
        """
        path = Path(path)
        part = path.with_name(f"{path.name}.part")
        try:
            part.write_text(self.to_html(), encoding="utf-8")
            os.replace(part, path)
        except OSError as error:
            remedy = f"Choose a file in a folder that exists and is yours to write in ({error.strerror})"
            raise _checks.argument_error(
                "Animation.save", "`path` must be a file that can be written", remedy, path=str(path)
            ) from error
        finally:  # an interruption leaves no part behind either
            with contextlib.suppress(OSError):
                part.unlink()
        return path


def sliding_kernel(x, kernel, *, stride=1, padding=0, dilation=1, title=None, delay=600):
    """Show a kernel sliding over a small input while the output fills in, each sum written out.

    Cross-correlation, which deep learning calls convolution: the kernel is not flipped.

    Args:
        x: array (h, w) or (n,), any numbers; at most 32 pixels a side with its zeros.
        kernel: array (kh, kw), or (k,) for x of shape (n,).
        stride, dilation: int >= 1, pixels, or one int per axis.
        padding: zeros at the border, as in `shapes.output_size`, or one (before, after) pair per axis.
        title: str above the picture; None for a summary of the sizes.
        delay: int >= 50, milliseconds between two positions.

    Returns:
        Animation. Readers who ask their system for reduced motion get it paused.

    Raises:
        ValueError: the kernel does not fit, the arrays disagree on their axes, or the input is too large to read.

    Example:
        >>> animation = sliding_kernel([[1, 2, 0], [0, 1, 3], [2, 0, 1]], [[1, 0], [0, -1]])
        >>> animation
        sliding_kernel: 3x3 input, 2x2 kernel, stride 1 -> 2x2 output
        >>> animation.frames[1]
        Frame(row=0, col=1, value=-1, text='2·1 + 0·0 + 1·0 + 3·(-1) = -1')

    Source: Dumoulin & Visin, "A guide to convolution arithmetic for deep learning", 2016 (its drawings, moving).
    """
    function = "sliding_kernel"
    x, kernel = _numbers(function, "x", x), _numbers(function, "kernel", kernel)
    if kernel.ndim != x.ndim:
        raise _checks.argument_error(
            function, "`x` and `kernel` must have the same number of axes",
            "Use (h, w) with (kh, kw), or (n,) with (k,)",
            **{"x.shape": x.shape, "kernel.shape": kernel.shape},
        )  # fmt: skip
    axes = shapes.windows(x.shape, kernel.shape, stride=stride, padding=padding, dilation=dilation, function=function)

    def combine(patch):
        value = (patch * kernel.ravel()).sum().item()
        products = [f"{_text(a)}·{_factor(b)}" for a, b in zip(patch.tolist(), kernel.ravel().tolist(), strict=True)]
        return value, f"{_shortened(products, ' + ')} = {_text(value)}"

    return _build(function, x, axes, combine, kernel=kernel, padding=padding, title=title, delay=delay)


def sliding_pool(x, pool_size=2, *, stride=None, kind="max", title=None, delay=600):
    """Show max or average pooling: the window slides, the output fills in.

    Args:
        x: array (h, w) or (n,), any numbers; at most 32 pixels a side.
        pool_size: int >= 1, or one int per axis, pixels.
        stride: int >= 1, or one int per axis; None for `pool_size`, so that windows do not overlap.
        kind: "max" or "average".
        title, delay: as for `sliding_kernel`.

    Returns:
        Animation.

    Raises:
        ValueError: the window does not fit, `kind` is unknown, or the input is too large to read.

    Example:
        >>> sliding_pool([[1, 3, 2, 0], [4, 2, 1, 1]], kind="average").frames[0]
        Frame(row=0, col=0, value=2.5, text='(1 + 3 + 4 + 2) / 4 = 2.5')
    """
    function = "sliding_pool"
    x = _numbers(function, "x", x)
    _checks.choice(function, "kind", kind, ("max", "average"))
    axes = shapes.pool_windows(x.shape, pool_size, stride=stride, function=function)

    def combine(patch):
        values = [_text(a) for a in patch.tolist()]
        if kind == "max":
            value = patch.max().item()
            return value, f"max({_shortened(values, ', ')}) = {_text(value)}"
        value = patch.mean().item()
        return value, f"({_shortened(values, ' + ')}) / {patch.size} = {_text(value)}"

    return _build(function, x, axes, combine, kind=kind, title=title, delay=delay)


def _numbers(function, name, array):
    """Return `array` as int64 or float64, one or two axes: a sum of uint8 products would wrap around in silence."""
    try:
        array = np.asarray(array)
        array = array.astype("int64" if array.dtype.kind in "bui" else "float64")
    except (TypeError, ValueError):
        raise _checks.argument_error(
            function, f"`{name}` must be an array of numbers", "Give every row the same number of numbers",
            **{name: array},
        ) from None  # fmt: skip
    if array.ndim not in (1, 2) or array.size == 0:
        raise _checks.argument_error(
            function, f"`{name}` must have axes (h, w) or (n,) and at least one number",
            f"Take one channel of one image, for example {name}[0, :, :, 0]", **{f"{name}.shape": array.shape},
        )  # fmt: skip
    if not np.isfinite(array).all():
        raise _checks.argument_error(function, f"`{name}` must hold finite numbers", f"Use np.nan_to_num({name})")
    return array


def _text(value):
    """Write a number as short as it can be read: whole numbers whole, others to two decimals."""
    size = abs(value)
    if float(value).is_integer() and size < 1e6:
        return str(int(value))
    if size >= 100 or size < 0.01:
        return f"{value:.3g}" if size >= 100 else f"{value:.1g}"
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _factor(value):
    return f"({_text(value)})" if value < 0 else _text(value)


def _shortened(terms, sign):
    return sign.join(terms if len(terms) <= 12 else [*terms[:4], "…", terms[-1]])


def _build(function, x, axes, combine, *, kernel=None, padding=0, kind=None, title, delay):
    """Compute every position, draw the still picture, wrap both with the script."""
    delay = _checks.integer(function, "delay", delay, minimum=50)
    padded = np.pad(x, [(axis.before, axis.after) for axis in axes])
    if max(padded.shape) > LARGEST:
        raise _checks.argument_error(
            function, f"the input with its zeros must be at most {LARGEST} pixels a side, or its numbers are too small "
            "to read", f"Cut out a corner: x[{', '.join([':16'] * x.ndim)}]",
            **{"x.shape": x.shape, "padded shape": padded.shape},
        )  # fmt: skip

    def size(extents):
        return "x".join(map(str, extents))

    pieces = [f"{size(x.shape)} input", f"{size(axis.taps for axis in axes)} {'kernel' if kind is None else kind}"]
    for name in ("stride", "dilation"):
        values = [getattr(axis, name) for axis in axes]
        if name == "stride" or set(values) != {1}:
            pieces.append(f"{name} {values[0] if len(set(values)) == 1 else tuple(values)}")
    if any(axis.before or axis.after for axis in axes):
        pieces.append(f"padding {padding}")
    summary = f"{function}: {', '.join(pieces)} -> {size(axis.out for axis in axes)} output"

    if x.ndim == 1:  # a sequence is drawn as an image of one row
        axes = [shapes.window(1, 1), *axes]
        padded, kernel = padded[None], None if kernel is None else kernel[None]
    frames = []
    for row, col in np.ndindex(axes[0].out, axes[1].out):
        rows, cols = (
            start * axis.stride + axis.dilation * np.arange(axis.taps)
            for start, axis in zip((row, col), axes, strict=True)
        )
        value, text = combine(padded[np.ix_(rows, cols)].ravel())
        frames.append(Frame(row, col, value, text))
    svg = _draw(padded, axes, kernel, frames, summary, x.ndim)
    sums = [f"output {f.col if x.ndim == 1 else (f.row, f.col)}: {f.text}" for f in frames]
    return Animation(summary, frames, svg, _fragment(svg, axes, sums, summary, title, delay))


def _draw(padded, axes, kernel, frames, summary, ndim):
    """Return the SVG of the last frame: input, kernel and output side by side, or one above the other in 1-D."""

    def by(shape):
        return "×".join(map(str, shape[-ndim:]))

    rows, cols = axes
    output = np.array([frame.value for frame in frames]).reshape(rows.out, cols.out)
    zeros = "" if padded.shape == (rows.size, cols.size) else " (zeros hatched)"
    grids = [(f"input {by((rows.size, cols.size))}{zeros}", padded, "input")]
    if kernel is not None:
        grids.append((f"kernel {by(kernel.shape)}", kernel, "kernel"))
    grids.append((f"output {by(output.shape)}", output, "output"))

    stacked = ndim == 1
    tallest = max(grid.shape[0] for _, grid, _ in grids)
    left = top = width = height = 0
    parts = []
    for heading, grid, role in grids:
        h, w = grid.shape
        y = top + _HEAD + (0 if stacked else (tallest - h) * _CELL // 2)
        parts.append(_grid(heading, grid, role, axes, kernel, left + 2, y))
        room = max(w * _CELL, 8 * len(heading))  # headings are wider than small grids
        width, height = max(width, left + room + 4), max(height, y + h * _CELL + 2)
        left, top = (0, top + _HEAD + _CELL + 8) if stacked else (left + room + _GAP, 0)
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{height}' viewBox='0 0 {width} {height}' "
        f"role='img' aria-label='{html.escape(summary)}' style='max-width:100%;height:auto;background:#ffffff' "
        f"font-family='sans-serif' font-size='13' fill='{_INK}'>{''.join(parts)}</svg>"
    )


def _grid(heading, grid, role, axes, kernel, x, y):
    """Return one grid with its numbers, its heading, and on top of it what the script moves."""
    rows, cols = axes
    longest = max(len(_text(value)) for value in grid.flat)
    font = round(min(14, 54 / longest), 1)  # a figure is 0.56 of the font size wide, a cell 32
    squares, hatches, numbers = [], [], []
    for (i, j), value in np.ndenumerate(grid):
        cell_x, cell_y = j * _CELL, i * _CELL
        text = _text(value)
        zero = role == "input" and not (
            rows.before <= i < rows.before + rows.size and cols.before <= j < cols.before + cols.size
        )
        squares.append(f"M{cell_x} {cell_y}h{_CELL}v{_CELL}h-{_CELL}z")
        if zero:
            hatches.append(
                f"M{cell_x} {cell_y + 16}l16-16M{cell_x} {cell_y + _CELL}l32-32M{cell_x + 16} {cell_y + 32}l16-16"
            )
        part = " data-part='value'" if role == "output" else ""
        fill = " fill='#595959'" if zero else ""
        numbers.append(f"<text x='{cell_x + 16}' y='{cell_y + 21}'{part}{fill}>{text}</text>")

    over = ""
    if role == "input":
        over = _window(rows, cols, kernel)
        if hatches:
            over = (
                f"<rect x='{cols.before * _CELL}' y='{rows.before * _CELL}' width='{cols.size * _CELL}' height="
                f"'{rows.size * _CELL}' fill='none' stroke='{_INK}' stroke-width='2'/>{over}"
            )
    elif role == "output":
        over = (
            f"<rect data-part='mark' width='{_CELL}' height='{_CELL}' fill='none' stroke='{_ORANGE}' stroke-width='4' "
            f"transform='translate({(cols.out - 1) * _CELL} {(rows.out - 1) * _CELL})'/>"
        )
    fill = {"input": "#ffffff", "kernel": "#ffe6cf", "output": "#dcebf5"}[role]
    return (
        f"<g transform='translate({x} {y})'><text x='0' y='-8'>{heading}</text>"
        f"<path d='{''.join(squares)}' fill='{fill}' stroke='#898989'/>"
        f"<path d='{''.join(hatches)}' stroke='#cfcfcf' fill='none'/>"
        f"<g text-anchor='middle' font-size='{font}'>{''.join(numbers)}</g>{over}</g>"
    )


def _window(rows, cols, kernel):
    """Return the kernel's taps as they lie on the input, a weight in the corner of each, and the frame around them."""
    taps = []
    for i, j in np.ndindex(rows.taps, cols.taps):
        x, y = j * cols.dilation * _CELL, i * rows.dilation * _CELL
        taps.append(f"<rect x='{x}' y='{y}' width='{_CELL}' height='{_CELL}'/>")
        if kernel is not None:
            text = f"×{_text(kernel[i, j])}"
            taps.append(
                f"<text x='{x + _CELL - 2}' y='{y + _CELL - 3}' font-size='{9 if len(text) < 4 else 8}' "
                f"text-anchor='end' fill='#7a3200' fill-opacity='1' stroke='none'>{text}</text>"
            )
    x, y = (cols.out - 1) * cols.stride * _CELL, (rows.out - 1) * rows.stride * _CELL
    return (
        f"<g data-part='window' transform='translate({x} {y})' fill='{_ORANGE}' fill-opacity='.25' stroke='{_ORANGE}'>"
        f"{''.join(taps)}<rect width='{cols.span * _CELL}' height='{rows.span * _CELL}' fill='none' "
        f"stroke-width='4'/></g>"
    )


def _fragment(svg, axes, sums, summary, title, delay):
    """Return the HTML a notebook stores: heading, picture, written-out sum, controls (hidden), script.

    `hidden` has a value because JupyterLab removes it without one where it does not trust the notebook.
    """
    rows, cols = axes
    data = {"columns": cols.out, "right": cols.stride * _CELL, "down": rows.stride * _CELL, "cell": _CELL,
            "delay": delay, "sums": sums}  # fmt: skip
    data = html.escape(json.dumps(data, ensure_ascii=False, separators=(",", ":")), quote=False).replace("'", "&#39;")
    button = "type='button' style='min-width:2.5em;color:#222222;background:#eeeeee;border:1px solid #898989'"
    return f"""<div class="course-cnn-animation" data-animation='{data}' style="background:#ffffff;color:{_INK};\
color-scheme:light;padding:10px;max-width:100%;font-family:sans-serif">
<div style="font-weight:bold;margin-bottom:8px">{html.escape(summary if title is None else title)}</div>
<img data-part="still" alt="{html.escape(summary)}" style="max-width:100%" \
src="data:image/svg+xml,{quote(svg, safe=" /:;=,()'")}">
<div data-part="sum" style="font-family:monospace;margin:8px 0;min-height:2.6em">\
{html.escape(sums[-1])}</div>
<div data-part="controls" hidden="hidden">
<button data-part="back" aria-label="step back" {button}>◀</button>
<button data-part="play" aria-label="play" {button}>play</button>
<button data-part="forward" aria-label="step forward" {button}>▶</button>
<input data-part="slider" type="range" min="0" max="{len(sums) - 1}" value="{len(sums) - 1}" \
aria-label="position of the kernel" style="width:14em;max-width:100%;vertical-align:middle">
<span data-part="count"></span>
</div>
<script>{_SCRIPT}</script>
</div>"""


# Finds every animation of the page that does not play yet, by class: notebooks insert scripts late, and again.
_SCRIPT = """
(() => {
  for (const root of document.querySelectorAll(".course-cnn-animation")) {
    if (root.courseCnnReady) continue;
    root.courseCnnReady = true;
    const {columns, right, down, cell, delay, sums} = JSON.parse(root.dataset.animation);
    const part = (name) => root.querySelector(`[data-part="${name}"]`);
    const still = part("still");
    const source = decodeURIComponent(still.getAttribute("src").split(",").slice(1).join(","));
    const svg = new DOMParser().parseFromString(source, "image/svg+xml").documentElement;
    still.replaceWith(document.importNode(svg, true));
    const values = root.querySelectorAll('[data-part="value"]');
    const slider = part("slider"), play = part("play");
    const last = sums.length - 1;
    let at = 0, timer = null;
    const show = (k) => {
      at = Math.min(Math.max(k, 0), last);
      const row = Math.floor(at / columns), col = at % columns;
      part("window").setAttribute("transform", `translate(${col * right} ${row * down})`);
      part("mark").setAttribute("transform", `translate(${col * cell} ${row * cell})`);
      values.forEach((value, i) => value.setAttribute("visibility", i > at ? "hidden" : "visible"));
      part("sum").textContent = sums[at];
      part("count").textContent = `${at + 1} of ${last + 1}`;
      slider.value = at;
      slider.setAttribute("aria-valuetext", `${at + 1} of ${last + 1}, ${sums[at]}`);
    };
    const stop = () => {
      clearInterval(timer);
      timer = null;
      play.textContent = "play";
      play.setAttribute("aria-label", "play");
    };
    const start = () => {
      if (at === last) show(0);
      play.textContent = "pause";
      play.setAttribute("aria-label", "pause");
      timer = setInterval(() => {
        if (at < last && root.isConnected) show(at + 1);
        else stop();
      }, delay);
    };
    play.onclick = () => (timer === null ? start() : stop());
    part("back").onclick = () => { stop(); show(at - 1); };
    part("forward").onclick = () => { stop(); show(at + 1); };
    slider.oninput = () => { stop(); show(Number(slider.value)); };
    part("controls").hidden = false;
    show(0);
    if (!matchMedia("(prefers-reduced-motion: reduce)").matches) start();
  }
})();
"""
