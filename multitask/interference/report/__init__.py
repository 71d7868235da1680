"""report.html: a study as one page that needs nothing else, made of its record alone.

`page` gathers what the templates show; `matrix`, `forest`, `charts` and `tables` are its parts. The templates in
`templates/` extend the base page of `multitask.pages`; study.css and study.js stand beside study.html.j2.
"""

from __future__ import annotations

from multitask.interference.report.page import report_html as report_html
from multitask.interference.report.page import write_report as write_report
