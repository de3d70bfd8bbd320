"""The LaTeX files in a document of a paper, where there is a LaTeX."""

import re
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from dynamonet.report.table_files import Table, as_latex, as_markdown

PREAMBLE = r"""\documentclass{article}
\usepackage[paperwidth=150in,paperheight=150in]{geometry}
\usepackage{booktabs}
"""


@pytest.fixture
def typeset(tmp_path):
    """`typeset(preamble, body)`: pdflatex, stopped by the first error; what it says is shown if it fails."""
    if shutil.which("pdflatex") is None:
        pytest.skip("no pdflatex is installed here")

    def run(preamble: str, body: str) -> None:
        text = rf"{PREAMBLE}{preamble}\begin{{document}}{body}\end{{document}}"
        (tmp_path / "paper.tex").write_text(text)
        command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=60)
        said = done.stdout.decode(errors="replace")
        assert done.returncode == 0 and (tmp_path / "paper.pdf").is_file(), said
        assert "Missing character" not in said, said

    return run


def test_every_table_and_every_number_can_be_typeset(reported: Path, typeset):
    numbers = reported / "tables/numbers.tex"
    tables = sorted(set(reported.glob("tables/*.tex")) - {numbers})
    macros = re.findall(r"^\\newcommand\{(\\\w+)\}", numbers.read_text(), re.M)
    assert len(tables) > 10 and len(macros) > 100
    body = "".join(rf"\input{{{path.with_suffix('')}}}\par " for path in tables) + ", ".join(macros)
    typeset(rf"\input{{{numbers.with_suffix('')}}}", body)


def test_what_latex_would_take_for_its_own_is_text(typeset):
    cells = [r"[1] a_b ^ ~ \ {x} 5 % & #1 $x", "* starred", "80.0 ± 0.4†, −1.2‡, 16 × 1, a → b, 1–2, < 3 | >"]
    typeset("", as_latex(Table("t", "T % _", pd.DataFrame(), pd.DataFrame({"Model_*": cells, "[x]": cells[::-1]}))))


def test_signs_that_latex_has_no_glyph_for_are_said_by_number(typeset):
    known = "".join(map(chr, range(0xA1, 0x250))) + "αβγδεζηθικλμνξπρστυφχψωΓΔΘΛΞΠΣΥΦΨΩ‐–—‘’“”•…€™≤≥≈∞"
    table = pd.DataFrame({"λ": [known, "中🙂 ∑", "two\n\nlines"], "* [Δ]": ["", "a\n*b", "[1]"]})
    latex = as_latex(Table("t", "T", pd.DataFrame(), table))
    assert r"$\lambda$ & * [$\Delta$] \\" in latex and r"[U+4E2D][U+1F642] [U+2211]" in latex
    assert "two lines" in latex and latex.count(r"$\varphi$") == 1 and "é" in latex
    typeset("", latex)


def test_markdown_keeps_a_cell_in_its_line_and_its_signs():
    cell = "first\nsecond \\ `code` ~~gone~~ [link](http://x) [80.0, 81.0]"
    table = Table("t", "T", pd.DataFrame(), pd.DataFrame({"a": [cell]}))
    lines = as_markdown(table).splitlines()
    assert len(lines) == 5
    assert lines[4].strip("| ") == r"first second \\ \`code\` \~\~gone\~\~ [link]\(http://x) [80.0, 81.0]"
