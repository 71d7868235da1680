"use strict";
// Everything is in the page without this script; it sorts and filters tables and opens what a link points to.

const all = (selector, within = document) => [...within.querySelectorAll(selector)];

// ---- tables that sort by the buttons in their headers; what was not measured stays last in both directions

const words = new Intl.Collator("en", { numeric: true });
const valueOf = (cell) => {
  if (cell.dataset.key !== undefined) return Number(cell.dataset.key);
  const shown = parseFloat(cell.textContent.replace("−", "-").replace("<", "").replaceAll(",", ""));
  return Number.isNaN(shown) ? null : shown;
};
for (const table of all("table.sortable")) {
  const heads = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    head.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => {
      const direction = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      heads.forEach((other) => other.setAttribute("aria-sort", "none"));
      head.setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
      const number = head.classList.contains("n");
      const rows = [...table.tBodies[0].rows].map((row) => {
        const cell = row.cells[column];
        if (!number) return [cell.textContent.trim(), row];
        return [valueOf(cell), row];
      });
      rows.sort(([a], [b]) => {
        if (a === null || b === null) return (a === null) - (b === null);
        return direction * (number ? a - b : words.compare(a, b));
      });
      table.tBodies[0].append(...rows.map(([, row]) => row));
    });
  });
}

// ---- a filter above a table: a row is shown if it has every word that was typed

for (const place of all(".filter[data-for]")) {
  const [input, output] = [place.querySelector("input"), place.querySelector("output")];
  const rows = [...document.getElementById(place.dataset.for).tBodies[0].rows];
  const texts = rows.map((row) => row.textContent.toLowerCase());
  const apply = () => {
    const wanted = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    rows.forEach((row, i) => { row.hidden = !wanted.every((word) => texts[i].includes(word)); });
    output.textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length}`;
  };
  input.addEventListener("input", apply);
  place.hidden = false;
  apply();
}

// ---- what a link points to is open

function reveal() {
  const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  for (let node = target; node; node = node.parentElement) if (node.tagName === "DETAILS") node.open = true;
  target.scrollIntoView();
}
addEventListener("hashchange", reveal);
reveal();

// ---- on paper everything is unfolded but what is for the screen alone

let folded = [];
addEventListener("beforeprint", () => {
  folded = all("details:not([open], .screen)");
  folded.forEach((details) => { details.open = true; });
});
addEventListener("afterprint", () => folded.forEach((details) => { details.open = false; }));
