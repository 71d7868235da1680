"""One value for every table that is shown, and its forms: terminal, Markdown, LaTeX, CSV, HTML.

    from multitask.tables.html import html_table
    from multitask.tables.numbers import number
    from multitask.tables.table import Cell, Column, Table
    from multitask.tables.terminal import print_tables

    table = Table("Scores", (Column("task", left=True), Column("score")), ((Cell("sst2"), number(81.2)),), key="scores")
    print_tables(table)         on a terminal of any width; `terminal_text([table])` is the text
    html_table(table, id="scores", links={(0, 1): "#x3"})   one <table>, as Markup

and `markdown.markdown_text([table])`, `latex.latex_text([table])`, `csv.csv_text(table)`, `html.html_text([table])`.

In a Jinja2 template with autoescape `{{ table }}` is the table with its notes, and `{{ html_table(table, id="…") }}`
the table alone: all text of it is escaped, so nothing is to be marked as safe. Columns of numbers have class `n`; cells
have `data-key` (unrounded, to sort by) and the class of their verdict: `gain`, `loss`, `equal`, `no-evidence`.

Words
    key       of a table: a stable name for programs (`company-examples`); the key column is the first one
    detail    a second line of a cell: the interval under an effect
    optional  a column that may be left out where the terminal is narrow
"""
