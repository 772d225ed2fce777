"""What every stored lecture keeps to: it was run, it is quiet, and it shows the figures it promises.

That the outputs are true is nbval's business (`make test` runs it over every lecture); here we read the stored files.
"""

import json
import re
import tomllib
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
LECTURES = sorted((ROOT / "notebooks").glob("*.ipynb"))
TAGS = {"exercise", "solution", "nbval-ignore-output", "raises-exception", "nbval-skip"}

# Which figures of the source lectures each notebook teaches. A figure may be shown in several; it is asserted in these.
FIGURES = {
    "01": "F044 F045 F089 F090 F092 F154",
    "02": "F038 F039 F040 F041 F042 F043 F103 F104 F140",
    "03": "F046 F047 F048 F049 F050 F051 F052 F053 F054 F055 F056 F063 F064 F105",
    "04": "F057 F058 F059 F060 F061 F062 F065",
    "05": "F031 F032 F033 F034 F035 F036 F037",
    "06": "F066 F067 F068 F122 F143 F144 F197",
    "07": "F106 F107 F108 F109 F112 F113 F120 F123 F124 F125 F126 F127 F128 F129 F155 F160",
    "08": "F005 F006 F007 F008 F009 F070 F071 F072 F077 F078 F079 F080 F081 F119 F130 F134 F135 F139 F157",
    "09": "F004 F110 F111 F131 F132 F156 F158 F161 F162",
    "10": "F001 F002 F003 F010 F011 F069 F073 F074 F075 F114 F118 F133 F136 F137 F138 F144 F159 F163 F164 F165 F166",
    "11": "F012 F013 F019 F020 F021 F082 F115 F116",
    "12": "F167 F168 F169 F170 F171 F172 F173 F174",
    "13": "F084 F085 F086 F087 F088 F091 F093 F094 F095 F096 F117 F141 F142",
    "14": "F152 F175 F176 F177",
    "15": "F022 F023 F024 F025 F030 F083 F187 F188 F189 F190 F191",
    "16": "F014 F015 F016 F017 F018 F029 F076 F097 F098 F099 F100 F101 F102 F145",
    "17": "F146 F147 F148 F149 F178 F179 F180 F181 F182 F183",
    "18": "F026 F027 F028 F121 F184 F185 F186",
    "19": "F150 F151 F192 F193 F194 F195",
}
VERDICTS = {"stands", "corrected", "worked out", "not computable"}


def read(path):
    return nbformat.read(path, as_version=4)


def printed(cell):
    """All text a cell's outputs show."""
    text = []
    for output in cell.get("outputs", []):
        text.append(output.get("text", ""))
        text.append(output.get("data", {}).get("text/plain", ""))
        text.append(re.sub(r"<[^>]+>", " ", output.get("data", {}).get("text/html", "")))
    return "\n".join(text)


def tags(cell):
    return set(cell.metadata.get("tags", []))


def test_the_lectures_are_here():
    assert [path.name[:2] for path in LECTURES] == ["00", *sorted(FIGURES)]


@pytest.mark.parametrize("path", LECTURES, ids=lambda path: path.name[:2])
def test_stored_outputs_are_a_readers_view(path):
    notebook = read(path)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    for number, cell in enumerate(notebook.cells, 1):
        where = f"{path.name} cell {number}"
        known = TAGS | {name for name in tags(cell) if re.fullmatch(r"F\d{3}", name)}
        assert tags(cell) <= known, f"{where}: unknown tag"
        if cell.cell_type != "code":
            continue
        assert cell.source.strip(), f"{where}: empty"
        assert cell.source.count("\n") < 24, f"{where}: too long to read; move it to course_cnn"
        assert cell.execution_count or "nbval-skip" in tags(cell), f"{where}: never run"
        for output in cell.outputs:
            assert output.get("name") != "stderr", f"{where}: {output.text[:200]}"
            assert output.output_type != "error" or "raises-exception" in tags(cell), f"{where}: an error is stored"
        assert not re.search(r"/(home|root|tmp|work|Users)/\w|[A-Z]:\\\\", json.dumps(cell.outputs)), f"{where}: a path"
        assert "<Axes" not in printed(cell), f"{where}: ends with an Axes; add a semicolon"


@pytest.mark.parametrize("path", LECTURES, ids=lambda path: path.name[:2])
def test_a_lecture_has_its_parts(path):
    notebook = read(path)
    first, second = notebook.cells[:2]
    assert first.source.startswith(f"# {path.name[:2]} · ")
    assert "You will be able to" in first.source
    assert second.cell_type == "code"
    assert "seed_everything(0)" in second.source or path.name.startswith("00")
    headings = re.findall(r"^## (.+)$", "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown"), re.M)
    if not path.name.startswith("00"):
        assert headings[-3:] == ["Exercises", "Solutions", "Sources"], headings
        assert sum("exercise" in tags(cell) for cell in notebook.cells) >= 3
        assert sum("Predict" in cell.source for cell in notebook.cells if cell.cell_type == "markdown") >= 3


@pytest.mark.parametrize("path", LECTURES, ids=lambda path: path.name[:2])
def test_no_line_of_text_begins_like_a_list_by_accident(path):
    """A sentence that wraps before "2019." would be shown as item 2019 of a list."""
    for cell in read(path).cells:
        if cell.cell_type == "markdown":
            found = re.search(r"^[^\n]+\n *(1|\d{2,})\.( |$)[^\n]*", cell.source, re.MULTILINE)
            assert not found, found.group()


@pytest.mark.parametrize("number", FIGURES)
def test_every_figure_is_shown(number):
    """The expected text comes from the table of the source lectures, the shown text from the code of the notebook."""
    (path,) = (path for path in LECTURES if path.name.startswith(number))
    table = tomllib.loads((ROOT / f"data/lecture_figures/{number}.toml").read_text(encoding="utf-8"))
    assert set(table) == set(FIGURES[number].split())
    cells = read(path).cells
    for key, figure in table.items():
        assert figure["verdict"] in VERDICTS, key
        assert re.fullmatch(r"00[0-4]", figure["deck"]), key
        shown = "\n".join(printed(cell) for cell in cells if cell.cell_type == "code" and key in tags(cell))
        assert figure["shown"], f"{key}: nothing to look for"
        for text in figure["shown"]:
            assert text in shown, f"{key}: {text!r} is not in the output of the cells tagged {key}:\n{shown}"
