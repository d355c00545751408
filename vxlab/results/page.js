"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const OUTCOMES = {
  p: ["passed", "✓"], f: ["failed", "×"], e: ["error", "!"], s: ["skipped", "–"],
  x: ["xfailed", "~"], y: ["xpassed", "+"], n: ["not run", "?"], " ": ["absent", ""],
};
const columns = data.columns;
const sided = columns.some(column => column.side);
const rows = data.groups.flatMap(group => group.rows);
const byId = new Map();
data.groups.forEach((group, g) => group.rows.forEach((row, r) => byId.set(row.i, [g, r])));
const place = id => document.getElementById(id);

/** An element with properties (data-*, aria-* and others as attributes) and children. */
function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name in element && !name.includes("-")) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.filter(child => child !== "" && child !== null && child !== undefined));
  return element;
}
const many = (count, word) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;
const called = column => [column.side && `${column.side}:`, [column.kernel, column.iproute2,
  column.backend].join(" / ")].filter(Boolean).join(" ");
const took = seconds => seconds >= 60
  ? `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`
  : `${seconds.toFixed(seconds < 10 ? 2 : 1)} s`;
const isBad = letter => letter === "f" || letter === "e";
const hasBad = row => /[fe]/.test(row.o);
const when = text => text.slice(0, 16).replace("T", " ");

// --- head ----------------------------------------------------------------------------------

function showHead() {
  document.querySelector("h1").textContent = document.title;
  data.runs.forEach((run, number) => {
    const ended = run.ended ? `ended ${when(run.ended)}` : "not ended";
    const host = Object.entries(run.host).map(([key, value]) => `${key} ${value}`).join(", ");
    place("facts").append(make("p", { className: "facts" },
      sided ? make("b", {}, `${"AB"[number]}  `) : "",
      [run.name, ended, `vxlab ${run.version}`, host].filter(Boolean).join(" · ")));
  });
  place("facts").append(...data.facts.map(fact => make("p", { className: "facts" }, fact)));
  place("tiles").append(...data.tiles.map(([count, name, bad]) =>
    make("li", { className: bad && count ? "bad" : "" },
      make("b", {}, count.toLocaleString("en")), name)));
  const seen = new Set(rows.flatMap(row => [...row.o]));
  place("legend").append(...[..."pfesxyn"].filter(letter => seen.has(letter)).map(letter =>
    make("span", {}, make("span", { className: `c ${letter}` }, OUTCOMES[letter][1]),
      OUTCOMES[letter][0])));
}

const counted = column => [..."pfesxyn"].filter(letter => column.counts[letter])
  .map(letter => `${column.counts[letter]} ${OUTCOMES[letter][0]}`).join(", ");
const failed = column => (column.counts.f || 0) + (column.counts.e || 0);

function showColumns() {
  const names = [...(sided ? ["run"] : []), "kernel", "iproute2", "backend", "outcomes", "failed",
    "skipped", "time", "state"];
  const body = make("tbody");
  columns.forEach((column, number) => {
    const count = letter => column.counts[letter] || 0;
    const share = make("div", { className: "share", title: counted(column) });
    for (const letter of "pyxsnef") {
      if (count(letter)) share.append(make("i", { className: letter,
        style: `flex: ${count(letter)}` }));
    }
    const state = make("td", { className: "muted" }, column.dead ? "†" : column.state);
    const why = [column.last && `while ${column.last} ran`, column.reason].filter(Boolean);
    body.append(make("tr", { className: isFirst(number) ? "next" : "" },
      ...(sided ? [make("td", {}, column.side)] : []),
      make("td", { title: column.release }, column.kernel), make("td", {}, column.iproute2),
      make("td", {}, column.backend), make("td", {}, share),
      make("td", { className: "number" }, String(failed(column))),
      make("td", { className: "number" }, String(count("s"))),
      make("td", { className: "number" }, took(column.seconds)), state));
    if (column.dead || why.length) body.append(make("tr", {}, make("td",
      { className: "why", colSpan: names.length },
      make("div", {}, make("b", {}, column.dead ? `† ${column.state} ` : ""), why.join(": ")))));
  });
  place("columns").append(make("table", { className: "cells" },
    make("thead", {}, make("tr", {}, ...names.map(name => make("th", { scope: "col",
      className: ["failed", "skipped", "time"].includes(name) ? "number" : "" }, name)))),
    body));
}

function showNotes() {
  place("what").textContent = sided ? "What changed from A to B" : "What changes at which version";
  const parts = new Map();
  for (const note of data.notes) {
    if (!parts.has(note.at)) parts.set(note.at, []);
    parts.get(note.at).push(note);
  }
  for (const [at, notes] of parts) {
    notes.sort((one, other) => Number(other.worse) - Number(one.worse));
    const worse = notes.filter(note => note.worse).length;
    const list = make("ul", { className: "notes" }, ...notes.map(noted));
    const count = notes.length + (worse ? `, ${worse} unexpected and worse` : "");
    place("notes").append(make("details", { open: worse > 0 || parts.size === 1 },
      make("summary", {}, `${at} `, make("span", { className: "count" }, count)), list));
  }
  if (!parts.size) place("notes").append(make("p", { className: "empty" }, "Nothing changes."));
}

function noted(note) {
  const dead = note.at !== "dead cell" ? -1 : columns.findIndex(column => column.dead
    && column.side !== "A" && note.title.endsWith(called({ ...column, side: "" })));
  const link = dead >= 0 ? { "data-about": dead } : byId.has(note.ids[0]) && { "data-id": note.ids[0] };
  const title = link ? make("button", { type: "button", className: "link", ...link }, note.title)
    : make("span", { className: "id" }, note.title);
  return make("li", { className: note.worse ? "worse" : "" }, title, " ",
    note.known ? make("span", { className: "badge" }, `known: ${note.known}`) : "",
    make("div", {}, [note.what, note.where].filter(Boolean).join(" · ")),
    note.reason ? make("div", { className: "reason" }, note.reason) : "");
}

// --- heat map ------------------------------------------------------------------------------

const FEW = 9000; // cells
let mode = "all";
let needle = "";
let chosen = null; // [group, row, column]
let folded = new Set(); // groups that are shut
let body = [];

/** What the lines of the head show: first what a pair of columns has in common. */
const levels = ["kernel", "iproute2", "backend"].filter(level =>
  level !== "backend" || new Set(columns.map(column => column.backend)).size > 1);
if (sided) {
  const differs = level => columns.some((column, c) =>
    c % 2 && column[level] !== columns[c - 1][level]);
  levels.sort((one, other) => differs(one) - differs(other));
  levels.push("side");
}
const last = levels[levels.length - 1];

function headRows() {
  const failures = make("tr", {}, make("th", { className: "corner", scope: "row" }, "failed"));
  columns.forEach((column, c) => {
    const bad = failed(column);
    const mark = column.dead ? "†" : column.unfinished ? "…" : "";
    failures.append(make("th", { className: isFirst(c) ? "figure first" : "figure" },
      make("button", { type: "button", className: bad || column.dead ? "about bad" : "about",
        "data-about": c, title: `${called(column)}: ${column.state}; ${counted(column)}`,
        "aria-label": `About ${called(column)}: ${column.state}, ${bad} failed` },
      `${mark}${bad}`)));
  });
  return [...levels.map(levelRow), failures];
}

function levelRow(level, depth) {
  const tr = make("tr", {}, make("th", { className: "corner", scope: "row" },
    level === "side" ? "run" : level));
  for (let start = 0; start < columns.length;) {
    const same = number => levels.slice(0, depth + 1)
      .every(each => columns[number][each] === columns[start][each]);
    let end = start + 1;
    while (level !== last && end < columns.length && same(end)) end += 1;
    const column = columns[start];
    const dead = level === last && column.dead;
    tr.append(make("th", { colSpan: end - start, scope: "col",
      title: level === last ? `${called(column)}: ${column.state}` : column[level],
      className: [isFirst(start) && "first", dead && "dead"].filter(Boolean).join(" ") },
      column[level]));
    start = end;
  }
  return tr;
}
const isFirst = c => c > 0 && columns[c][levels[0]] !== columns[c - 1][levels[0]];

function showMap() {
  const table = make("table", { className: "grid", role: "grid", "aria-label": "Scenarios by column",
    style: `--n: ${columns.length}; --least: ${last === "backend" ? 60
      : columns.length <= 20 ? 46 : 34}px` });
  table.append(make("thead", {}, ...headRows()));
  body = data.groups.map((group, g) => {
    const part = make("tbody", { "data-g": g });
    table.append(part);
    return part;
  });
  place("map").append(table);
  place("map").style.setProperty("--head", `${table.tHead.offsetHeight - 1}px`);
}

/** Shut the groups that nobody looks for: many rows are slow, and hard to find one's way in. */
function fold() {
  folded = new Set();
  if (rows.length * columns.length <= FEW || mode !== "all" || needle.trim()) return;
  data.groups.forEach((group, g) => {
    if (!group.rows.some(row => row.c > 1)) folded.add(g);
  });
}

/** The rows of a group that the filter and the chosen button leave, by their numbers. */
function left(group) {
  const words = needle.toLowerCase().split(/\s+/).filter(Boolean);
  return group.rows.flatMap((row, number) => {
    if (mode === "changes" && !row.c) return [];
    if (mode === "failures" && !hasBad(row)) return [];
    const text = [row.i, ...(row.k || []).map(known => known[0])].join(" ").toLowerCase();
    return words.every(word => text.includes(word)) ? [number] : [];
  });
}

function refresh() {
  let count = 0;
  data.groups.forEach((group, g) => {
    const numbers = left(group);
    count += numbers.length;
    fill(g, numbers);
  });
  place("none").hidden = count > 0;
  place("none").textContent = rows.length
    ? "No scenario is left: choose “All”, or empty the filter." : "No scenario has run.";
  place("shown").textContent = `${count.toLocaleString("en")} of ${many(rows.length, "scenario")}`;
  document.querySelectorAll("[data-mode]").forEach(button =>
    button.setAttribute("aria-pressed", String(button.dataset.mode === mode)));
  if (!place("map").querySelector("td[tabindex='0']")) {
    const first = place("map").querySelector("td[data-c]");
    if (first) first.tabIndex = 0;
  }
}

function fill(g, numbers) {
  const group = data.groups[g];
  const shut = folded.has(g);
  body[g].replaceChildren();
  if (!numbers.length) return;
  body[g].append(groupRow(group, g, numbers, shut));
  if (!shut) body[g].append(...numbers.map(r => scenarioRow(group.rows[r], g, r)));
}

function groupRow(group, g, numbers, shut) {
  const button = make("button", { type: "button", className: "fold", "data-g": g,
    "aria-expanded": String(!shut), title: group.file },
    group.file.replace(/^.*\//, ""), make("span", { className: "muted" }, ` ${numbers.length}`));
  const tr = make("tr", { className: "group" }, make("th", { scope: "rowgroup" }, button));
  columns.forEach((column, c) => {
    const found = {};
    for (const r of numbers) found[group.rows[r].o[c]] = (found[group.rows[r].o[c]] || 0) + 1;
    const bad = (found.f || 0) + (found.e || 0);
    const worst = [..."fen"].find(letter => found[letter])
      || Object.keys(found).reduce((one, other) => found[other] > found[one] ? other : one);
    const said = Object.entries(found).map(([letter, n]) => `${n} ${OUTCOMES[letter][0]}`);
    const shown = bad || (shut && OUTCOMES[worst][1]);
    tr.append(make("td", { className: isFirst(c) ? "first" : "", title: said.join(", ") },
      shown ? make("i", { className: worst }, String(shown)) : ""));
  });
  return tr;
}

function scenarioRow(row, g, r) {
  const mark = row.c ? make("span", { className: row.c > 1 ? "mark worse" : "mark",
    title: row.c > 1 ? "changes unexpectedly, for the worse" : "changes" }, row.c > 1 ? "●" : "○") : "";
  const th = make("th", { scope: "row", title: row.i }, mark, row.n);
  for (const known of row.k || []) {
    th.append(" ", make("span", { className: "badge", title: known[1] }, known[0]));
  }
  const tr = make("tr", {}, th);
  columns.forEach((column, c) => {
    const letter = row.o[c];
    const [name, symbol] = OUTCOMES[letter];
    const td = document.createElement("td");
    td.className = `c ${letter}${isFirst(c) ? " first" : ""}`;
    td.textContent = symbol;
    td.tabIndex = -1;
    td.setAttribute("aria-label", name);
    td.dataset.g = g; td.dataset.r = r; td.dataset.c = c;
    if (chosen && chosen[0] === g && chosen[1] === r && chosen[2] === c) {
      td.setAttribute("aria-selected", "true");
      td.tabIndex = 0;
    }
    tr.append(td);
  });
  return tr;
}

const cellAt = (g, r, c) => body[g].querySelector(`td[data-r="${r}"][data-c="${c}"]`);

function choose(g, r, c, focus = true) {
  if (folded.has(g)) { folded.delete(g); fill(g, left(data.groups[g])); }
  if (!cellAt(g, r, c)) { mode = "all"; needle = ""; place("filter").value = ""; fold();
    folded.delete(g); refresh(); }
  place("map").querySelectorAll("[aria-selected], td[tabindex='0']").forEach(td => {
    td.removeAttribute("aria-selected");
    td.tabIndex = -1;
  });
  chosen = [g, r, c];
  const td = cellAt(g, r, c);
  td.setAttribute("aria-selected", "true");
  td.tabIndex = 0;
  if (focus) td.focus({ preventScroll: true });
  showCase(data.groups[g].rows[r], c);
  reveal(td);
}

/** Bring a cell into sight, below the head of the table and right of its first column. */
function reveal(td) {
  const map = place("map");
  const head = map.querySelector("thead").offsetHeight + 26; // and the name of the group
  const name = td.parentElement.firstElementChild.offsetWidth;
  const hidden = map.getBoundingClientRect().bottom - innerHeight;
  if (td.getBoundingClientRect().bottom > innerHeight && hidden > 0) scrollBy(0, hidden);
  const box = td.getBoundingClientRect();
  const around = map.getBoundingClientRect();
  if (box.top < around.top + head) map.scrollTop -= around.top + head - box.top + 40;
  else if (box.bottom > around.top + map.clientHeight) {
    map.scrollTop += box.bottom - around.top - map.clientHeight + 40;
  }
  if (box.left < around.left + name) map.scrollLeft -= around.left + name - box.left;
  else if (box.right > around.left + map.clientWidth) {
    map.scrollLeft += box.right - around.left - map.clientWidth;
  }
}

// --- panel ---------------------------------------------------------------------------------

function showCase(row, c) {
  const column = columns[c];
  const letter = row.o[c];
  const [reason, evidence] = ((row.d || {})[c] || [0, 0]).map(number => data.texts[number]);
  const [file, name] = row.i === row.n ? ["", row.i] : [row.i.slice(0, -row.n.length), row.n];
  const parts = [
    make("h2", {}, file ? make("span", { className: "file" }, file) : "", name),
    make("p", {}, make("span", { className: `verdict ${letter}` },
      `${OUTCOMES[letter][1]} ${OUTCOMES[letter][0]}`), ` ${called(column)}`),
  ];
  if (row.b) parts.push(make("h3", {}, "Behaviour"), make("p", {}, data.texts[row.b]));
  if (reason) parts.push(make("h3", {}, "Reason"), make("pre", {}, reason));
  if (columns.length > 1) parts.push(make("h3", {}, "All columns"), strip(row, c));
  const told = data.notes.filter(note => note.ids[0] === row.i);
  if (told.length) parts.push(make("h3", {}, "Changes"), ...told.map(note => make("p", {},
    [note.at !== "differs" && `${note.at}:`, note.what].filter(Boolean).join(" ")
    + (note.where ? ` · ${note.where}` : "") + (note.known ? ` · known: ${note.known}` : ""))));
  if (row.k) parts.push(make("h3", {}, "Known differences"),
    ...row.k.map(known => make("p", {}, known[1])));
  if (evidence) parts.push(make("h3", {}, "Evidence"), make("pre", {}, evidence));
  parts.push(...where(column, "pfexy".includes(letter) ? took(row.s[c]) : ""));
  if (letter === "n") parts.push(...consoleLog(column));
  showPanel(parts);
}

function showColumn(c) {
  const column = columns[c];
  showPanel([
    make("h2", {}, called(column)),
    make("p", {}, make("b", {}, column.state), ` · ${counted(column) || "no scenarios"}`),
    ...(column.reason ? [make("h3", {}, "Reason"), make("pre", {}, column.reason)] : []),
    ...(column.last ? [make("h3", {}, "It was running"), make("p", {}, column.last)] : []),
    ...where(column, took(column.seconds)), ...consoleLog(column),
  ]);
}

/** What one scenario did in all columns, a line for each value of the head's first line. */
function strip(row, chosen) {
  const lines = new Map();
  columns.forEach((column, c) => {
    const line = column[levels[0]];
    if (!lines.has(line)) lines.set(line, make("div"));
    const [name, symbol] = OUTCOMES[row.o[c]];
    lines.get(line).append(make("button", { type: "button", className: `c ${row.o[c]}`,
      "data-c": c, "aria-pressed": String(c === chosen), title: `${called(column)}: ${name}`,
      "aria-label": `${called(column)}: ${name}` }, `${symbol} `,
      make("small", {}, levels.slice(1).map(level => column[level]).join(" "))));
  });
  return make("div", { className: "strip" },
    ...[...lines].flatMap(([line, buttons]) => [make("b", {}, line), buttons]));
}

function where(column, time) {
  const facts = { run: column.side, kernel: column.kernel, release: column.release,
    iproute2: column.iproute2, backend: column.backend, cell: column.state, ...column.tools,
    took: time };
  return [make("h3", {}, "Where"), make("dl", {}, ...Object.entries(facts)
    .filter(([, value]) => value)
    .flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]))];
}

const consoleLog = column => column.log
  ? [make("h3", {}, "End of the console's log"), make("pre", {}, data.texts[column.log])] : [];

function showPanel(parts) {
  place("panel").replaceChildren(
    make("button", { type: "button", className: "close", "aria-label": "Close" }, "×"), ...parts);
  place("panel").scrollTop = 0;
  staying(true);
}

function shutPanel() {
  staying(false);
  const td = chosen && cellAt(...chosen);
  if (td) td.focus({ preventScroll: true });
}

/** Open or shut the panel, which changes the page's width: the map stays where a person sees it. */
function staying(open) {
  const before = place("map").getBoundingClientRect().top;
  place("panel").hidden = !open;
  document.body.classList.toggle("open", open);
  scrollBy(0, place("map").getBoundingClientRect().top - before);
}

// --- what a person does --------------------------------------------------------------------

place("map").addEventListener("click", event => {
  const fold = event.target.closest(".fold");
  const td = event.target.closest("td[data-c]");
  const about = event.target.closest("[data-about]");
  if (about) showColumn(Number(about.dataset.about));
  else if (fold) {
    const g = Number(fold.dataset.g);
    if (!folded.delete(g)) folded.add(g);
    fill(g, left(data.groups[g]));
    body[g].querySelector(".fold").focus();
  } else if (td) choose(...["g", "r", "c"].map(name => Number(td.dataset[name])));
});

const MOVES = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
place("map").addEventListener("keydown", event => {
  const td = event.target.closest("td[data-c]");
  if (!td) return;
  if (event.key === "Enter" || event.key === " ") {
    choose(...["g", "r", "c"].map(name => Number(td.dataset[name])));
  } else if (event.key in MOVES) {
    const [down, right] = MOVES[event.key];
    const lines = [...place("map").querySelectorAll("tbody tr:not(.group)")];
    const line = lines[lines.indexOf(td.parentElement) + down];
    const next = line && line.querySelector(`td[data-c="${Number(td.dataset.c) + right}"]`);
    if (!next) return;
    td.tabIndex = -1;
    next.tabIndex = 0;
    next.focus({ preventScroll: true });
    reveal(next);
    if (!place("panel").hidden) choose(...["g", "r", "c"].map(name => Number(next.dataset[name])));
  } else return;
  event.preventDefault();
});

place("notes").addEventListener("click", event => {
  const { id, about } = event.target.dataset;
  if (about !== undefined) showColumn(Number(about));
  if (id === undefined) return;
  const [g, r] = byId.get(id);
  const row = data.groups[g].rows[r];
  choose(g, r, whereToLook(row), false);
  place("map").scrollIntoView({ block: "start" });
});

/** The column that a note on a row is about: what failed there, changed, was cut off or slower. */
function whereToLook(row) {
  const known = c => row.o[c] !== "n";
  const before = c => sided ? row.o[c - 1] : [...row.o.slice(0, c)].findLast(each => each !== "n");
  const all = [...columns.keys()];
  const changed = all.filter(c => known(c) && (sided ? c % 2 : c) && row.o[c] !== before(c)
    && before(c) !== undefined);
  const bad = changed.find(c => isBad(row.o[c])) ?? all.find(c => isBad(row.o[c]));
  const longer = c => row.s[c] - row.s[c - 1];
  const slowest = all.filter(c => sided && c % 2)
    .reduce((one, other) => longer(other) > longer(one) ? other : one, sided ? 1 : 0);
  return bad ?? changed[0] ?? all.find(c => columns[c].last === row.i) ?? slowest;
}

place("panel").addEventListener("click", event => {
  if (event.target.closest(".close")) shutPanel();
  const other = event.target.closest(".strip button");
  if (other) {
    const c = Number(other.dataset.c);
    choose(chosen[0], chosen[1], c, false);
    place("panel").querySelector(`.strip [data-c="${c}"]`).focus();
  }
});

document.addEventListener("keydown", event => {
  if (event.key === "Escape" && !place("panel").hidden) shutPanel();
});
document.querySelector(".choice").addEventListener("click", event => {
  if (!event.target.dataset.mode) return;
  mode = event.target.dataset.mode;
  fold();
  refresh();
});
place("filter").addEventListener("input", event => {
  needle = event.target.value;
  fold();
  refresh();
});

fold();
showHead();
showColumns();
showNotes();
showMap();
refresh();
