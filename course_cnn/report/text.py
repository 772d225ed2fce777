"""A Summary as text, as HTML and as a DataFrame.

What is shown of a long model are groups of neighbouring rows; the frame holds every row.
"""

import html as markup
from fractions import Fraction
from itertools import groupby

import pandas

LONG = 40  # rows; a longer model is shown in groups

NUMBERS = ("params", "macs", "share", "memory", "sees", "jump", "start")  # columns set flush right


def frame(summary):
    """Return a `pandas.DataFrame`, one row per call of a layer, counts as integers and unknown ones as missing."""
    rows = [
        {
            "name": row.name, "call": row.call, "type": row.type, "output_shape": row.output_shape,
            "params": row.params, "trainable_params": row.trainable_params, "macs": row.macs,
            "params_share": row.params / (summary.total_params or 1),
            "macs_share": None if row.macs is None else row.macs / (summary.total_macs or 1),
            "activation_bytes": row.activation_bytes, "weight_bytes": row.weight_bytes,
            **_field_columns(row, summary), "note": row.note,
        }
        for row in summary.rows
    ]  # fmt: skip
    table = pandas.DataFrame(rows)
    return table.astype({"macs": "Int64", "macs_share": "Float64"})


def _field_columns(row, summary):
    """Return the columns of the first input under plain names, those of others with the input's name."""
    columns = {}
    for number, name in enumerate(summary.inputs):
        behind = f" of {name}" if number else ""
        for part in ("size", "jump", "start"):
            key = "receptive_field" if part == "size" else part
            columns[key + behind] = _alike([getattr(axis, part) for axis in row.fields.get(name) or ()])
    return columns


def _alike(values):
    """Return the one value of all axes, or a tuple; None for none."""
    return None if not values else values[0] if len(set(values)) == 1 else tuple(values)


def plain(summary):
    """Return a table of fixed-width text: the same wherever it is printed."""
    columns = ("name", "type", "output", "params", "macs", "share", "memory", "sees", "jump", "start")
    lines = [
        dict(
            zip(
                columns,
                ("layer", "type", "output", "params", "MACs", "MACs %", "memory", "sees", "jump", "start"),
                strict=True,
            )
        )
    ]
    lines += list(_lines(summary))
    width = {key: max(len(line[key]) for line in lines) for key in columns}
    shown = [
        "  ".join(
            line[key].rjust(width[key]) if key in NUMBERS else line[key].ljust(width[key]) for key in columns
        ).rstrip()
        for line in lines
    ]
    rule = "-" * max(map(len, shown))
    return "\n".join([heading(summary), rule, shown[0], rule, *shown[1:], rule, *totals(summary)])


def html(summary):
    """Return a table for a notebook, readable on a light and on a dark page."""
    return f"<pre>{markup.escape(plain(summary))}</pre>"


def heading(summary):
    """Name the model."""
    return f"{summary.name}: {len(summary.rows)} calls of layers"


def totals(summary):
    """Return the lines below the table."""
    at_least = "at least " if summary.unknown else ""
    trained = f"{summary.total_params:,}, of which trained {summary.trainable_params:,}"
    yield f"parameters: {trained}; {size(summary.weight_bytes)}"
    yield f"multiply-adds for one image: {at_least}{summary.total_macs:,} (1 MAC = 2 FLOPs)"
    yield (
        f"memory of the outputs, batch of {summary.batch_size}: training {size(summary.training_bytes)}, "
        f"inference {size(summary.inference_bytes)}"
    )
    if summary.unknown:
        yield f"not counted, since unknown: {', '.join(summary.unknown)}"


def size(number):
    """Write bytes in powers of 1024.

    Example:
        >>> size(600), size(9 * 2**20)
        ('600 B', '9.0 MiB')
    """
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024 or unit == "GiB":
            return f"{number:.0f} B" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024


def _lines(summary):
    """Yield one dict of texts per line of the table."""
    for name, rows in _groups(summary):
        last = rows[-1]
        macs = None if any(row.macs is None for row in rows) else sum(row.macs for row in rows)
        field = last.receptive_field
        yield {
            "name": name, "type": last.type if len(rows) == 1 else f"{len(rows)} layers",
            "output": _shape(last.output_shape), "params": f"{sum(row.params for row in rows):,}",
            "macs": "unknown" if macs is None else f"{macs:,}",
            "share": "?" if macs is None else f"{100 * macs / (summary.total_macs or 1):.1f}",
            "memory": size(sum(row.activation_bytes for row in rows)),
            **_sees(last, field),
        }  # fmt: skip


def _sees(row, field):
    if field is None:
        unknown = None in row.fields.values()
        return dict.fromkeys(("sees", "jump", "start"), "?" if unknown else "")
    axes = field if isinstance(field[0], tuple) else (field,)
    return {
        "sees": " × ".join(str(axis.size) for axis in axes),
        "jump": " × ".join(str(Fraction(axis.jump).limit_denominator(10**6)) for axis in axes),
        "start": " × ".join(f"{axis.start:g}" for axis in axes),
    }


def _shape(shape):
    if shape and isinstance(shape[0], tuple):
        return ", ".join(map(_shape, shape))
    return " × ".join(map(str, shape[1:]))


def _groups(summary):
    """Return (name, rows) pairs: every row by itself, or rows put together so that a long model fits a page."""
    every = [(row.name if row.call == 1 else f"{row.name} (call {row.call})", [row]) for row in summary.rows]
    if summary.depth == 0 or (summary.depth is None and len(every) <= LONG):
        return every
    if summary.depth is not None:
        return _by_name(summary.rows, summary.depth)
    choices = [_by_name(summary.rows, depth) for depth in (1, 2, 3)] + [_by_size(summary.rows)]
    short = [choice for choice in choices if len(choice) <= LONG]
    return min(short, key=lambda choice: max(len(rows) for _, rows in choice), default=choices[-1])


def _by_name(rows, depth):
    """Put neighbours together whose names begin with the same `depth` words."""
    parts = groupby(rows, key=lambda row: row.name.replace("/", "_").split("_")[:depth])
    groups = [("_".join(words), list(rows)) for words, rows in parts]
    return [(rows[0].name if len(rows) == 1 else f"{name}…", rows) for name, rows in groups]


def _by_size(rows):
    """Put neighbours together whose outputs are images of one size."""
    groups = [list(group) for _, group in groupby(rows, key=lambda row: row.output_shape[1:-1])]
    return [(group[0].name if len(group) == 1 else f"{group[0].name} … {group[-1].name}", group) for group in groups]
