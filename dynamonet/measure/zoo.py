"""Every model of the catalogue at its published input, its cost beside the published one."""

import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from rich.console import Console
from rich.table import Table as Rows

from dynamonet.errors import UserError
from dynamonet.files import write_json
from dynamonet.measure.stage import measure
from dynamonet.measure.zoo_tables import deviations, speed_table, zoo_table
from dynamonet.models.card import Views
from dynamonet.models.catalogue import model_file, model_module, model_names
from dynamonet.progress import progress
from dynamonet.records import Record
from dynamonet.report.table_files import Table, write_table
from dynamonet.spec import ModelSpec

CLASSES = 400
"""Those of Kinetics-400, for which parameters and GMACs are published."""
WIDE = ("Products", "Norms as in training", "Views")
"""Columns of the zoo's table that a terminal has no room for."""
PLAIN_WIDTH = 140
"""Characters in a line, where the output is no terminal."""


def measure_all(
    out: Path, names: list[str] | None = None, *, speed: bool = False, precision: str = "fp32", threads: int = 1
) -> None:
    """Measure models at the input of their published GMACs, all of them by default, each in a process of its own.

    Writes `<out>/measure/<model>.json` and `<out>/tables/zoo.*`, with `speed` also `zoo_speed.*`, and prints them. A
    model that fails is named in one sentence and the others are measured. Raises UserError at the end if one has
    failed, or if one deviates from its published numbers.
    """
    names = names or model_names()
    records, failures = {}, {}
    with progress("measure") as report:
        for done, name in enumerate(names):
            report(done, len(names), name)
            try:
                records[name] = _record(name, out / "measure", speed, precision, threads)
            except UserError as error:
                failures[name] = str(error)
        report(len(names), len(names))
    zoo = zoo_table(records, failures)
    write_table(zoo, out / "tables")
    _print(zoo, left_out=WIDE)
    if speed:
        speeds = speed_table(records)
        write_table(speeds, out / "tables")
        _print(speeds, left_out=("Device",))
    wrong = [*failures.values(), *deviations(zoo.tidy)]
    for sentence in wrong:
        print(sentence, file=sys.stderr)
    if wrong:
        raise UserError(
            f"of {len(names)} models {len(failures)} could not be measured, and {len(wrong) - len(failures)} published "
            "numbers are not met: mend what is said above"
        )


def zoo_spec(name: str, threads: int) -> ModelSpec:
    """What is measured of model `name`: its network as published, at the clip of its published GMACs."""
    card = model_module(name).CARD
    counted = next((value.input for value in card.published if value.metric == "gmacs_per_clip"), None)
    views = card.views or Views()
    return ModelSpec(
        model=name,
        build=name,
        options={},
        clip=counted or card.clip,
        num_classes=CLASSES,
        views=views.model_copy(update={"crop": None}) if counted else views,
        threads=threads,
    )


def _record(name: str, folder: Path, speed: bool, precision: str, threads: int) -> Record:
    """Measure one model in a process of its own: memory is its own, and what kills it ends it alone."""
    spec_path = folder / f"{name}.spec.json"
    write_json(spec_path, zoo_spec(name, threads).model_dump())
    spec_path.with_name(f"{name}.json").unlink(missing_ok=True)
    # One that starts others has imported all that they need, once, and has computed nothing.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["dynamonet.measure.stage"])
    with ProcessPoolExecutor(1, context) as process:
        try:
            process.submit(measure, spec_path, speed, precision).result()
        except BrokenProcessPool as error:
            raise UserError(f"{model_file(name)}: its process was killed, as where memory has run out") from error
        except UserError:
            raise
        except Exception as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise UserError(f"{model_file(name)}: it runs, and cannot be measured: {reason}") from error
    return Record.read(spec_path.with_name(f"{name}.json"))


def _print(table: Table, left_out: tuple[str, ...]) -> None:
    cells = table.flat.drop(columns=list(left_out))
    rows = Rows(title=table.title)
    for name in cells:
        rows.add_column(name, justify="left" if name == "Model" else "right", overflow="fold")
    for row in cells.itertuples(index=False):
        rows.add_row(*row)
    Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH).print(rows)
