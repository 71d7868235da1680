"""A finished study as an object, and the files that show it: all of them made of interference.json alone."""

from __future__ import annotations

import html
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multitask.errors import UserError
from multitask.field_docs import explain_fields
from multitask.interference.figures.palette import GAIN, LOSS
from multitask.interference.results.answer import LINES, WIDTH, Answer, answer
from multitask.interference.results.lookup import of_primary
from multitask.interference.results.record import StudyRecord
from multitask.interference.results.record_file import read_record, write_record
from multitask.registry import did_you_mean
from multitask.storage.atomic import atomic
from multitask.terminal.escaping import visible

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


@explain_fields
@dataclass(frozen=True, eq=False, repr=False)
class Study:
    """A finished study. `Study.read(folder)` needs interference.json and nothing else: no models, no data, no torch.

    >>> study = Study.read("runs/study")                              # doctest: +SKIP
    >>> study.effect("sst2", companion="span")["delta"]               # doctest: +SKIP
    1.3
    """

    folder: Path
    """The study's folder."""
    record: StudyRecord
    """Everything, as plain data; see `multitask.interference.results.record`."""

    @classmethod
    def read(cls, folder: str | Path) -> Study:
        """A study read back from its folder (or from a copy of its interference.json).

        Raises:
            UserError: If it is not there, or of another version.
        """
        path = Path(folder)
        if path.is_file():
            return cls(path.parent, read_record(path))
        return cls(path, read_record(path / "interference.json"))

    def answer(self, *, width: int = WIDTH, commands: bool = False) -> Answer:
        """Who loses and gains with whom, what is undecided and what to do, in at most eight lines; `print(study)`.

        Args:
            width: Columns; in fewer than 80 the same sentences take more lines.
            commands: Name the command that prints the tables, too.
        """
        folder = self.folder if (self.folder / "report.html").is_file() else None
        lines = LINES if width >= WIDTH else 2 * LINES
        return answer(self.record, folder, width=width, lines=lines, commands=commands)

    def __str__(self) -> str:
        return str(self.answer())

    def __repr__(self) -> str:
        setting = self.record["setting"]
        numbers = {"task": len(setting["tasks"]), "seed": len(setting["seeds"]), "model": setting["cells"]}
        counts = ", ".join(f"{n:,} {name}{'s' if n != 1 else ''}" for name, n in numbers.items())
        return f"<Study {visible(str(self.folder))!r}: {counts}>"

    @property
    def effects(self) -> pd.DataFrame:
        """A row an effect: kind, task, companion, match, metric, delta, low, high, p, q, verdict and more."""
        import pandas as pd

        return pd.DataFrame(self.record["effects"])

    @property
    def scores(self) -> pd.DataFrame:
        """A row a task, arm and metric: mean and sd over seeds, in points."""
        import pandas as pd

        return pd.DataFrame(self.record["scores"])

    @property
    def exposure(self) -> pd.DataFrame:
        """A row a task and arm: examples, epochs, tokens, shares."""
        import pandas as pd

        return pd.DataFrame(self.record["exposure"])

    @property
    def treatments(self) -> pd.DataFrame:
        """A row a way of training together, the plain joint arm first: mean and worst Δ, front, time, memory."""
        import pandas as pd

        return pd.DataFrame(self.record["treatments"])

    def matrix(self, kind: str = "pair", *, match: str | None = None, value: str = "delta") -> pd.DataFrame:
        """Rows: tasks evaluated; columns: companions; NaN on the diagonal and where nothing was measured.

        Args:
            kind: `pair` or `without`.
            match: `examples` or `steps`; by default the one that the tables lead with.
            value: A column of `effects`, e.g. `low`, `q` or `verdict`.
        """
        import pandas as pd

        names = self.record["setting"]["tasks"]
        match = match or self.record["setting"]["match"][0]
        found = {
            (e["task"], e["companion"]): dict(e)[value]
            for e in of_primary(self.record, self.record["effects"])
            if e["kind"] == kind and e["match"] == match
        }
        missing = None if value == "verdict" else float("nan")
        rows = [[found.get((task, other), missing) for other in names] for task in names]
        return pd.DataFrame(rows, index=names, columns=names)

    def effect(
        self, task: str, companion: str | None = None, *, kind: str | None = None, match: str | None = None
    ) -> dict[str, Any]:
        """One effect on a task's primary metric: of a companion, or (without one) of all the study's tasks together.

        Args:
            task: The task evaluated.
            companion: The other task of a pair.
            kind: By default `pair` with a companion and `company` without; see `multitask.interference.results.record`.
            match: By default the budget that the tables lead with.

        Raises:
            UserError: If it was not measured.
        """
        names = self.record["setting"]["tasks"]
        for name in (task, companion):
            if name is not None and name not in names:
                raise UserError(f"task '{name}' is not in the study: {did_you_mean(name, names)}")
        kind = kind or ("pair" if companion else "company")
        match = match or self.record["setting"]["match"][0]
        for e in of_primary(self.record, self.record["effects"]):
            same = (e["kind"], e["task"], e["companion"]) == (kind, task, companion)
            if same and e["match"] in (match, None):
                return dict(e)
        what = f"{kind} effect of {companion} on {task}" if companion else f"{kind} effect on {task}"
        arms = ", ".join(self.record["setting"]["arms"])
        raise UserError(f"the {what} was not measured: the study has the arms {arms} and the match {match}.")

    @property
    def tasks(self) -> list[str]:
        """The names of its tasks."""
        return list(self.record["setting"]["tasks"])

    def to_markdown(self) -> str:
        """All tables as Markdown."""
        return self.render("markdown")

    def summary_markdown(self) -> str:
        """The answer and the main table as Markdown, for a model card."""
        from multitask.interference.tables import main_table, render_tables
        from multitask.tables.markdown import escape_markdown

        told = answer(self.record, None, width=WIDTH, lines=LINES, commands=False)  # without this machine's folder
        lines = [f"- {escape_markdown(line)}" for line, _ in told.lines(10_000)]
        table = main_table(self.record)
        parts = ["\n".join(lines), *([render_tables([table], "markdown").strip()] if table is not None else [])]
        return "\n\n".join(parts) + "\n"

    def render(self, format: Any = "table", *, width: int | None = None, color: bool | None = None) -> str:
        """All tables: `table`, `markdown`, `csv`, `json`, `latex` or `html` (the whole report)."""
        if format == "html":
            from multitask.interference.report import report_html

            return report_html(self.record)
        from multitask.interference.tables import render

        return render(self.record, format, width=width, color=color)

    def plot(self, name: str = "matrix") -> Figure:
        """A matplotlib figure by name: `matrix`, `leave_one_out`, `forest`, `curves` or `mix`.

        Raises:
            UserError: If the study has none of that name.
        """
        from multitask.interference.figures.figures import figures

        made = figures(self.record)
        if name not in made:
            raise UserError(f"figure '{name}': {did_you_mean(name, list(made))}")
        return made[name]

    def _repr_html_(self) -> str:
        """The answer and the matrix; `render("html")` is the whole report."""
        from multitask.interference.tables import main_table, render_tables

        colours = {"gain": GAIN, "loss": LOSS}
        lines = ""
        for line, of in self.answer(width=120).lines(10_000):
            style = f' style="color:{colours[of.verdict]}"' if of.verdict in colours else ""
            text = html.escape(line)
            lines += f"<div{style}>{f'<b>{text}</b>' if of.topic == 'setting' else text}</div>\n"
        table = main_table(self.record)
        return lines + (render_tables([table], "html") if table is not None else "")


def write_study_files(out: Path, record: StudyRecord) -> Study:
    """Write interference.json, interference.csv, report.html and figures/."""
    from multitask.interference.figures.figures import write_figures
    from multitask.interference.report import write_report
    from multitask.interference.tables import render

    with atomic(out / "interference.csv") as temporary:
        temporary.write_text(render(record, "csv"), encoding="utf-8")
    write_figures(record, out / "figures")
    write_report(record, out / "report.html")
    write_record(out / "interference.json", record)  # last: its presence says that the rest is there
    return Study(out, record)
