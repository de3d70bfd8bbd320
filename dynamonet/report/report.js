"use strict";

// Sort a table by a column: by number where every cell that has a value starts with one, else as text.
const ABSENT = /^(–|missing|reference|none|n <|$)/;
const NUMBER = /^[[(]?([+-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?)(?!\w)/;

function sortBy(header) {
  const body = header.closest("table").tBodies[0];
  const rising = header.getAttribute("aria-sort") !== "ascending";
  const rows = [...body.rows].map((row) => {
    const text = row.cells[header.cellIndex].textContent.trim();
    const number = NUMBER.exec(text.replaceAll("−", "-"));
    return { row, text, absent: ABSENT.test(text), value: number && Number(number[1]) };
  });
  const numeric = rows.every((one) => one.absent || one.value !== null);
  const order = new Intl.Collator("en", { numeric: true }).compare;
  rows.sort((a, b) => {
    if (a.absent || b.absent) return a.absent - b.absent;  // missing values stay last
    return (numeric ? a.value - b.value : order(a.text, b.text)) * (rising ? 1 : -1);
  });
  for (const other of header.parentNode.cells) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", rising ? "ascending" : "descending");
  body.append(...rows.map((one) => one.row));
}

for (const button of document.querySelectorAll("thead button")) {
  button.addEventListener("click", () => sortBy(button.parentNode));
}

// The records: `#run:NAME`, `#measure:MODEL`, `#data:NAME` show one, `#rows:TABLE:ROW` those behind a row.
const RECORD = /^#(run|measure|data|rows):/;
const dialog = document.getElementById("record");
let read = null;

function records() {
  read ??= JSON.parse(document.getElementById("records").textContent);
  return read;
}

function element(tag, text, attributes = {}) {
  const made = document.createElement(tag);
  made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

function recordBody(record) {
  const { keys, facts } = records();
  const files = element("p", "Files: ");
  for (const file of record.files) files.append(element("a", file, { href: record.folder + file }), " ");
  const sections = new Map();
  for (const place of record.facts) {
    const [key, text] = facts[place];
    const [section, label] = keys[key];
    if (!sections.has(section)) sections.set(section, element("dl", ""));
    sections.get(section).append(element("dt", label), element("dd", text));
  }
  return [files, ...[...sections].flatMap(([section, list]) => [element("h3", section), list])];
}

function listBody(table, row) {
  const names = Object.keys(records().records);
  const list = element("ul", "");
  for (const place of records().rows[table][row]) {
    const item = element("li", "");
    const link = { href: "#" + names[place], "data-from": `#rows:${table}:${row}` };
    item.append(element("a", records().records[names[place]].title, link));
    list.append(item);
  }
  return [list];
}

function show(hash, from) {
  const name = decodeURIComponent(hash.slice(1));
  const [kind, table, row] = name.split(":");
  const behind = kind === "rows" ? records().rows[table]?.[row] : null;
  const record = records().records[name];
  if (!record && !behind) return;
  dialog.querySelector("h2").textContent = record ? record.title : `${behind.length} records behind this row`;
  const back = from ? [element("a", "← all records of the row", { href: from })] : [];
  dialog.querySelector(".body").replaceChildren(...back, ...(record ? recordBody(record) : listBody(table, row)));
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a");
  if (!link || !RECORD.test(link.getAttribute("href")) || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  show(link.getAttribute("href"), link.dataset.from);
});
const follow = () => RECORD.test(location.hash) && show(location.hash);
addEventListener("hashchange", follow);
follow();

// A figure enlarged: first as large as the window, then in steps.
const enlarged = document.getElementById("enlarged");
const stage = enlarged.querySelector(".stage");
const STEP = 1.5;
let steps = 0;

function scale(by) {
  const picture = stage.querySelector("img");
  steps = by ? Math.min(6, Math.max(0, steps + by)) : 0;
  const ratio = picture.naturalWidth / picture.naturalHeight;
  const fitting = Math.min(stage.clientWidth - 16, (stage.clientHeight - 16) * ratio);
  picture.style.width = `${Math.round(fitting * STEP ** steps)}px`;
}

for (const button of document.querySelectorAll(".picture button")) {
  button.addEventListener("click", () => {
    const picture = button.querySelector("img");
    stage.replaceChildren(element("img", "", { alt: picture.alt, src: picture.src }));
    enlarged.querySelector("h2").textContent = picture.alt;
    enlarged.showModal();
    stage.querySelector("img").decode().then(() => scale(0));
  });
}
enlarged.querySelector(".larger").addEventListener("click", () => scale(1));
enlarged.querySelector(".smaller").addEventListener("click", () => scale(-1));
enlarged.addEventListener("keydown", (event) => {
  if (event.key === "+" || event.key === "=") scale(1);
  if (event.key === "-") scale(-1);
});
for (const one of [dialog, enlarged]) {
  one.addEventListener("click", (event) => event.target === one && one.close());  // beside it
}

// What is folded up is printed all the same.
let folded = [];
addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll("details:not([open])")];
  for (const one of folded) one.open = true;
});
addEventListener("afterprint", () => folded.forEach((one) => { one.open = false; }));
