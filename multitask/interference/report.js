"use strict";
// Everything is in the page without this script; it adds sorting, filters and the details of a matrix's cell.

const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const make = (name, properties = {}, ...children) => {
  const node = Object.assign(document.createElement(name), properties);
  node.append(...children);
  return node;
};

// ---- tables that sort by the buttons in their headers; what was not measured stays last in both directions

const words = new Intl.Collator("en", { numeric: true });

function sortBy(table, column, direction) {
  const body = table.tBodies[0];
  const number = table.tHead.rows[0].cells[column].classList.contains("n");
  const key = (row) => {
    const cell = row.cells[column];
    if (!number) return cell.textContent.trim();
    return cell.dataset.key === undefined ? null : Number(cell.dataset.key);
  };
  const rows = [...body.rows].map((row) => [key(row), row]);
  rows.sort(([a], [b]) => {
    if (a === null || b === null) return (a === null) - (b === null);
    return direction * (number ? a - b : words.compare(a, b));
  });
  body.append(...rows.map(([, row]) => row));
}

for (const table of all("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = make("button", { type: "button" }, ...head.childNodes);
    head.append(button);
    head.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      heads.forEach((other) => other.setAttribute("aria-sort", "none"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      sortBy(table, column, up ? 1 : -1);
    });
  });
}

// ---- filters: a control for each property; an item is shown if it has all the chosen values and the searched text

function filters(place, properties, items, noun, shown = () => {}) {
  const output = make("output");
  const controls = properties.map(([title, of]) => {
    const values = [...new Set(items.map(of))].filter((value) => value !== "");
    const select = make("select", {}, make("option", { value: "" }, "all"));
    select.append(...values.map((value) => make("option", { value }, value)));
    return { title, of, control: select };
  });
  const search = make("input", { type: "search", autocomplete: "off" });
  const texts = new Map();
  const apply = () => {
    const wanted = search.value.trim().toLowerCase();
    let count = 0;
    for (const item of items) {
      let fits = controls.every(({ of, control }) => !control.value || of(item) === control.value);
      if (fits && wanted) {
        if (!texts.has(item)) texts.set(item, item.textContent.toLowerCase());
        fits = texts.get(item).includes(wanted);
      }
      item.hidden = !fits;
      count += fits;
    }
    output.textContent = `${count.toLocaleString("en")} of ${items.length.toLocaleString("en")} ${noun}`;
    shown(controls.some(({ control }) => control.value) || wanted !== "");
  };
  const reset = make("button", { type: "button" }, "Show all");
  const clear = () => {
    for (const { control } of controls) control.value = "";
    search.value = "";
    apply();
  };
  reset.addEventListener("click", clear);
  place.append(...controls.map(({ title, control }) => make("label", {}, title, control)));
  place.append(make("label", {}, "text", search), reset, output);
  place.addEventListener("input", apply);
  place.hidden = false;
  output.setAttribute("role", "status");
  apply();
  return clear;
}

const clears = [];
for (const place of all(".filters[data-table]")) {
  const table = document.getElementById(place.dataset.table);
  const heads = [...table.tHead.rows[0].cells];
  const properties = heads
    .map((head, column) => [head.textContent, (row) => row.cells[column].dataset.value ?? row.cells[column].textContent, head])
    .filter(([, , head]) => head.hasAttribute("data-filter"));
  clears.push(filters(place, properties, [...table.tBodies[0].rows], "effects"));
}
for (const place of all(".filters[data-examples]")) {
  const groups = all("details.group");
  const items = all("details.group article");
  const of = (name) => (item) => item.dataset[name] ?? item.closest("details").dataset[name] ?? "";
  const properties = [["comparison", of("kind")], ["task", of("task")], ["companion", of("companion")]];
  properties.push(["budget", of("match")], ["direction", of("direction")]);
  clears.push(
    filters(place, properties, items, "examples", (active) => {
      for (const group of groups) {
        group.hidden = !all("article", group).some((item) => !item.hidden);
        if (active && !group.hidden) group.open = true;
      }
      if (!active) groups.forEach((group, i) => { group.open = i === 0; });
    }),
  );
}

// ---- what a link points to is shown, whatever is folded or filtered away

function reveal() {
  const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  if (target.closest("[hidden]")) clears.forEach((clear) => clear());
  for (let node = target; node; node = node.parentElement) if (node.tagName === "DETAILS") node.open = true;
  target.scrollIntoView();
}
addEventListener("hashchange", reveal);
reveal();

// ---- a cell's details: on hover, on focus and by a tap; Escape closes them

const tip = make("div", { id: "tip", hidden: true });
tip.setAttribute("role", "tooltip");
document.body.append(tip);
let timer = 0;

function show(link) {
  clearTimeout(timer);
  if (!tip.hidden && tip.link === link) return;
  tip.link = link;
  tip.replaceChildren(link.dataset.tip, make("br"), make("a", { href: link.hash }, "In the table of effects"));
  if (link.dataset.examples) tip.append(make("a", { href: `#${link.dataset.examples}` }, "Changed examples"));
  tip.hidden = false;
  const cell = link.getBoundingClientRect();
  const below = cell.bottom + 6 + tip.offsetHeight < innerHeight;
  tip.style.left = `${Math.max(8, Math.min(cell.left, document.documentElement.clientWidth - tip.offsetWidth - 8))}px`;
  tip.style.top = `${below ? cell.bottom + 6 : Math.max(8, cell.top - 6 - tip.offsetHeight)}px`;
}
const hide = () => { tip.hidden = true; };
const later = () => { clearTimeout(timer); timer = setTimeout(hide, 250); };

for (const link of all(".heat a")) {
  link.dataset.tip = link.title;
  link.removeAttribute("title");
  link.setAttribute("aria-describedby", "tip");
  link.addEventListener("pointerenter", () => show(link));
  link.addEventListener("pointerleave", later);
  link.addEventListener("focus", () => show(link));
  link.addEventListener("blur", later);
  link.addEventListener("click", (event) => {
    if (event.detail === 0) return; // Enter: the details are shown already, on to the row
    event.preventDefault();
    show(link);
  });
}
tip.addEventListener("pointerenter", () => clearTimeout(timer));
tip.addEventListener("pointerleave", later);
tip.addEventListener("focusin", () => clearTimeout(timer));
tip.addEventListener("click", (event) => { if (event.target.closest("a")) setTimeout(hide); });
addEventListener("scroll", hide, { passive: true, capture: true });
addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });

// ---- on paper everything is unfolded

let folded = [];
addEventListener("beforeprint", () => {
  folded = all("details:not([open])");
  folded.forEach((details) => { details.open = true; });
});
addEventListener("afterprint", () => folded.forEach((details) => { details.open = false; }));
