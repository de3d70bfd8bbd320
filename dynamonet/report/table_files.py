"""A table of the report, its cells, and its CSV, Markdown and LaTeX files."""

import math
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from dynamonet import files
from dynamonet.report.statistics import MINIMUM_N, Summary

STALE = "†"
CHANGED = "‡"
NOT_APPLICABLE = "–"
STALE_NOTE = f"{STALE} A record behind this value is stale: the table of runs says why."
CHANGED_NOTE = (
    f"{CHANGED} A run is missing since its settings changed, as the table of runs says; the old one is not used."
)
NOT_APPLICABLE_NOTE = f"{NOT_APPLICABLE} Not part of the study, or not defined for this model."
MISSING = "missing"
NO_INTERVAL = f"n < {MINIMUM_N}"
SUFFIXES = ("csv", "md", "tex", "sources.csv")

GREEK = "αβγδεζηθικλμνξπρστυφχψωΓΔΘΛΞΠΣΥΦΨΩ"
GREEK_NAMES = """
    alpha beta gamma delta varepsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon varphi chi psi
    omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega
"""
_TEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "&": r"\&",
        "%": r"\%",
        "$": r"\$",
        "#": r"\#",
        "_": r"\_",
        "{": r"\{",
        "}": r"\}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        "±": r"$\pm$",
        "×": r"$\times$",
        "†": r"\textdagger{}",
        "‡": r"\textdaggerdbl{}",
        "→": r"$\rightarrow$",
        "–": "--",
        "−": "$-$",
        "≤": r"$\leq$",
        "≥": r"$\geq$",
        "≈": r"$\approx$",
        "∞": r"$\infty$",
    }
    | {letter: rf"$\{name}$" for letter, name in zip(GREEK, GREEK_NAMES.split(), strict=True)}
)
_TEX_KNOWS = frozenset(map(chr, range(0xA1, 0x180))) - set("«»ÐÞðþĄąĐđĘęĦħĮįĸĿŀŉŊŋŦŧŲųſ") | set("‐—‘’“”•…€™")
"""Beside ASCII and `_TEX`, what pdflatex has a glyph for without any package."""
_MARKDOWN = str.maketrans(
    {"|": r"\|", "<": "&lt;", ">": "&gt;", "&": "&amp;"} | {mark: rf"\{mark}" for mark in "\\`_*~"}
)


@dataclass(frozen=True)
class Table:
    """`tidy` is for machines (CSV, one fact per column); `readable` is for people, all cells being text."""

    key: str
    title: str
    tidy: pd.DataFrame
    readable: pd.DataFrame
    notes: list[str] = field(default_factory=list)

    @property
    def flat(self) -> pd.DataFrame:
        """The readable table with one header row: 'UCF101: top-1 %'."""
        flat = self.readable.copy()
        flat.columns = [": ".join(filter(None, column)) if isinstance(column, tuple) else column for column in flat]
        return flat

    @property
    def marked_notes(self) -> list[str]:
        """The notes, with those for the marks that occur in a cell."""
        cells = self.readable.to_numpy(dtype=str).ravel()
        marks = {STALE: STALE_NOTE, CHANGED: CHANGED_NOTE, NOT_APPLICABLE: NOT_APPLICABLE_NOTE}
        occurring = [
            note
            for mark, note in marks.items()
            if any(cell == mark or (mark != NOT_APPLICABLE and mark in cell) for cell in cells)
        ]
        return [*self.notes, *occurring]


def write_table(table: Table, folder: Path) -> None:
    """Its CSV, Markdown and LaTeX; which records its cells are from, `sources.py` says."""
    files.write_text(folder / f"{table.key}.csv", table.tidy.to_csv(index=False, float_format="%.6g"))
    files.write_text(folder / f"{table.key}.md", as_markdown(table))
    files.write_text(folder / f"{table.key}.tex", as_latex(table))


def as_markdown(table: Table) -> str:
    flat = table.flat.map(_markdown)
    headers = [_markdown(header) for header in flat]
    # Number parsing would turn "85.30" into 85.3.
    body = flat.to_markdown(index=False, headers=headers, disable_numparse=True)
    notes = [f"{_markdown(note)}  " for note in table.marked_notes]
    return "\n".join([f"# {table.title}", "", body, "", *notes]).rstrip() + "\n"


def as_latex(table: Table) -> str:
    """A booktabs tabular; the caption and notes come as comments, for the paper to phrase its own."""
    escaped = table.readable.map(_tex)
    if isinstance(escaped.columns, pd.MultiIndex):
        tuples = [tuple(map(_tex, column)) for column in escaped.columns]
        escaped.columns = pd.MultiIndex.from_tuples(tuples)
    else:
        escaped.columns = list(map(_tex, escaped.columns))
    # After the end of a row LaTeX would take a star or a bracket for an argument of that end.
    escaped.iloc[:, 0] = [f"{{}}{cell}" if cell.startswith(("[", "*")) else cell for cell in escaped.iloc[:, 0]]
    style = escaped.style.hide(axis="index")
    body = style.to_latex(hrules=True, column_format="l" * len(escaped.columns), multicol_align="c")
    comments = [f"% {' '.join(line.split())}" for line in [table.title, *table.marked_notes]]
    return "\n".join([*comments, body])


def _markdown(text: str) -> str:
    """In one line, without markup; `](` would make a link of text in brackets."""
    return " ".join(text.split()).translate(_MARKDOWN).replace("](", r"]\(")


def _tex(text: str) -> str:
    """In one line, with every sign that pdflatex has no glyph for as its number, such as [U+4E2D]."""

    def written(sign: str) -> str:
        return _TEX.get(ord(sign)) or (sign if sign.isascii() or sign in _TEX_KNOWS else f"[U+{ord(sign):04X}]")

    return "".join(map(written, " ".join(text.split())))


def number(value: float, decimals: int, signed: bool = False, stale: bool = False) -> str:
    if value is None or math.isnan(value):
        return NOT_APPLICABLE
    return f"{value:{'+' if signed else ''}.{decimals}f}".replace("-", "−") + (STALE if stale else "")


def mean_sd(summary: Summary, decimals: int, missing: int, expected: int, stale: bool) -> str:
    """'85.3 ± 0.4'; says 'missing 3 of 3' rather than nothing."""
    if summary.n == 0:
        return f"missing {missing} of {expected}" if missing else NOT_APPLICABLE
    spread = "" if math.isnan(summary.sd) else f" ± {summary.sd:.{decimals}f}"
    return f"{number(summary.mean, decimals)}{spread}{STALE if stale else ''}"


def interval(low: float, high: float, decimals: int, signed: bool = False, stale: bool = False) -> str:
    if math.isnan(low):
        return NO_INTERVAL
    return f"[{number(low, decimals, signed)}, {number(high, decimals, signed)}]{STALE if stale else ''}"


def count(n: int, missing: int, expected: int) -> str:
    return f"{n}, missing {missing} of {expected}" if missing else str(n)


def units(n: int, plural: str) -> str:
    return f"{n} {plural if n != 1 else plural.removesuffix('s')}"
