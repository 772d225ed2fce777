"""A Summary as text, as HTML and as a DataFrame.

What is shown of a long model are groups of neighbouring rows; the frame holds every row.
"""

import html as markup
import math
from fractions import Fraction
from itertools import groupby

LONG = 40  # rows; a longer model is shown in groups
TITLES = {
    "name": "layer", "type": "type", "output": "output", "params": "parameters", "macs": "MACs", "share": "% MACs",
    "memory": "memory", "sees": "sees", "jump": "jump", "start": "start",
}  # fmt: skip
LEFT = ("name", "type", "output")  # columns of words; the others hold numbers and are set flush right


def frame(summary):
    """Return a `pandas.DataFrame`, one row per call of a layer; what is unknown is missing."""
    import pandas  # here, since a report is mostly printed, and this takes half a second

    table = pandas.DataFrame(
        {
            "name": row.name, "call": row.call, "type": row.type, "output_shape": row.output_shape,
            "params": row.params, "trainable_params": row.trainable_params, "macs": row.macs,
            "params_share": row.params_share, "macs_share": row.macs_share,
            "activation_bytes": row.activation_bytes, "weight_bytes": row.weight_bytes,
            **_field_columns(row, summary), "note": row.note,
        }
        for row in summary.rows
    )  # fmt: skip
    return table.astype({"macs": "Int64", "macs_share": "Float64"})


def _field_columns(row, summary):
    """Return the columns of the first input under plain names, those of others with the input's name."""
    columns = {}
    for number, name in enumerate(summary.inputs):
        axes = row.fields.get(name) or ()
        for title, part in (("receptive_field", "size"), ("jump", "jump"), ("start", "start")):
            values = tuple(getattr(axis, part) for axis in axes)
            alike = values[0] if len(set(values)) == 1 else values or None
            columns[f"{title} of {name}" if number else title] = alike
    return columns


def plain(summary):
    """Return a table of fixed-width text: the same wherever it is printed."""
    lines = [TITLES, *_lines(summary)]
    width = {column: max(len(line[column]) for line in lines) for column in TITLES}
    shown = [
        "  ".join(
            line[column].ljust(width[column]) if column in LEFT else line[column].rjust(width[column])
            for column in TITLES
        ).rstrip()
        for line in lines
    ]
    rule = "─" * max(map(len, shown))
    return "\n".join([_heading(summary, lines), rule, shown[0], rule, *shown[1:], rule, *_footer(summary)])


def html(summary):
    """Return a table for a notebook. It takes the page's colours, so it reads on a light and on a dark one."""
    lines = list(_lines(summary))
    rows = []
    for line in [TITLES, *lines]:
        tag = "th" if line is TITLES else "td"
        cells = [f'<{tag} style="{_style(column, line)}">{markup.escape(line[column])}</{tag}>' for column in TITLES]
        rows.append(f"<tr>{''.join(cells)}</tr>")
    footer = "<br>".join(map(markup.escape, _footer(summary)))
    return (
        f'<div style="overflow-x:auto"><b>{markup.escape(_heading(summary, [TITLES, *lines]))}</b>'
        f'<table style="color:inherit;border-collapse:collapse;font-variant-numeric:tabular-nums">'
        f"<thead>{rows[0]}</thead><tbody>{''.join(rows[1:])}</tbody></table>"
        f'<div style="font-size:90%">{footer}</div></div>'
    )


def _style(column, line):
    """Return the look of a cell; behind the share of multiply-adds stands a bar of that length."""
    style = f"padding:2px 6px;white-space:nowrap;text-align:{'left' if column in LEFT else 'right'}"
    if column == "share" and line["share"][:1].isdigit():
        style += f";background:linear-gradient(to right,rgba(90,140,220,.4) {line['share']}%,transparent 0)"
    return style


def _heading(summary, lines):
    calls = len(summary.rows)
    if len(lines) - 1 == calls:
        return f"{summary.name}: {calls} layers"
    return (
        f"{summary.name}: {calls} layers in {len(lines) - 1} groups; each one: summarize(model, depth=0) or to_frame()"
    )


def _footer(summary):
    """Yield the totals, and what has to be said with them."""
    at_least = "at least " if summary.unknown else ""
    yield (
        f"parameters: {summary.total_params:,}, of them trained {summary.trainable_params:,}; "
        f"memory {_bytes(summary.weight_bytes)}"
    )
    yield f"multiply-adds for one image: {at_least}{summary.total_macs:,} (1 MAC = 2 FLOPs)"
    images = "1 image" if summary.batch_size == 1 else f"{summary.batch_size} images"
    yield (
        f"memory of the outputs for {images}: {_bytes(summary.training_bytes)} in training, "
        f"{_bytes(summary.inference_bytes)} at once in inference"
    )
    if summary.unknown:
        yield f"unknown, and not counted: {', '.join(summary.unknown)}"
    for row in summary.rows:
        if row.note and row.macs is not None:
            yield f"{row.name}: {row.note}"
    if len(summary.inputs) > 1:
        yield f"sees, jump, start: in pixels of {summary.inputs[0]}; to_frame() has the other inputs"
    else:
        yield "sees, jump, start: receptive field of a unit, distance to the next one's, centre of the first; in pixels"


def _lines(summary):
    """Yield one dict of texts per line of the table."""
    for name, rows in _groups(summary):
        last = rows[-1]
        counted = sum(row.macs or 0 for row in rows)
        some = any(row.macs is None for row in rows)
        yield {
            "name": name, "type": last.type if len(rows) == 1 else f"{len(rows)} layers",
            "output": _shape(last.output_shape), "params": f"{sum(row.params for row in rows):,}",
            "macs": "unknown" if some and not counted else f"{'≥ ' if some else ''}{counted:,}",
            "share": "?" if some else f"{100 * counted / (summary.total_macs or 1):.1f}",
            "memory": _bytes(sum(row.activation_bytes for row in rows)),
            **_sees(last, summary),
        }  # fmt: skip


def _sees(row, summary):
    """Return the three columns of the first input; empty where it is no image or not seen, "?" where unknown."""
    axes = row.fields.get(summary.inputs[0], ())
    if not axes:
        return dict.fromkeys(("sees", "jump", "start"), "?" if axes is None else "")
    columns = {
        "sees": [str(axis.size) for axis in axes],
        "jump": [str(Fraction(axis.jump).limit_denominator(10**6)) for axis in axes],
        "start": [f"{axis.start:g}" for axis in axes],
    }
    return {name: values[0] if len(set(values)) == 1 else " × ".join(values) for name, values in columns.items()}


def _shape(shape):
    if shape and isinstance(shape[0], tuple):
        return ", ".join(map(_shape, shape))
    return " × ".join(map(str, shape[1:]))


def _bytes(number):
    """Write bytes in powers of 1024.

    Example:
        >>> _bytes(600), _bytes(9 * 2**20)
        ('600 B', '9.0 MiB')
    """
    if number < 1024:
        return f"{number} B"
    power = 1 + (number >= 2**20) + (number >= 2**30)
    return f"{number / 1024**power:.1f} {('KiB', 'MiB', 'GiB')[power - 1]}"


def _groups(summary):
    """Return (name, rows) pairs: every row by itself, or neighbours put together so that a long model fits a page.

    By the words their names begin with, or by the size of the image, whichever leaves the smallest groups.
    """
    if summary.depth == 0 or (summary.depth is None and len(summary.rows) <= LONG):
        return [(_label(row), [row]) for row in summary.rows]
    if summary.depth is not None:
        return _by_name(summary.rows, summary.depth)
    choices = [_by_name(summary.rows, depth) for depth in (3, 2, 1)] + [_by_size(summary.rows)]
    short = [choice for choice in choices if len(choice) <= LONG] or [_merged(choices[-1])]
    return min(short, key=lambda choice: max(len(rows) for _, rows in choice))


def _label(row):
    return row.name if row.call == 1 else f"{row.name} (call {row.call})"


def _by_name(rows, depth):
    """Put neighbours together whose names begin with the same `depth` words."""
    groups = [(name, list(group)) for name, group in groupby(rows, lambda row: _beginning(row.name, depth))]
    return [(_label(group[0]) if len(group) == 1 else f"{name}…", group) for name, group in groups]


def _beginning(name, depth):
    """Return the first words of a name, with what stood between them.

    Example:
        >>> _beginning("conv4_block2_1_conv", 2)
        'conv4_block2'
    """
    words = name.replace("/", "_").split("_")[:depth]
    return name[: len("_".join(words))]


def _by_size(rows):
    """Put neighbours together whose outputs are images of about one size: 57, 56 and 60 pixels make one stage.

    A single pixel between larger images, as in squeeze-and-excitation, belongs to the stage around it.
    """
    stages = [_stage(row.output_shape) for row in rows]
    larger = max((i for i, stage in enumerate(stages) if any(stage)), default=0)
    for i in range(1, larger):
        if not any(stages[i]):
            stages[i] = stages[i - 1]
    pairs = groupby(zip(stages, rows, strict=True), lambda pair: pair[0])
    groups = [[row for _, row in group] for _, group in pairs]
    return [(_label(group[0]) + "…" * (len(group) > 1), group) for group in groups]


def _stage(shape):
    """Return the rounded logarithms of an image's height and width; () for what is no image."""
    return tuple(round(math.log2(size)) for size in shape[1:-1]) if isinstance(shape[-1], int) else ()


def _merged(groups):
    """Put the smallest group together with the one before, until few enough are left."""
    while len(groups) > LONG:
        at = min(range(1, len(groups)), key=lambda i: len(groups[i][1]))
        rows = groups[at - 1][1] + groups[at][1]
        groups = [*groups[: at - 1], (f"{_label(rows[0])}…", rows), *groups[at + 1 :]]
    return groups
