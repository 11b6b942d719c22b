// The groups as columns and their templates as cards. Only what changed is drawn; a card is a thing of its own, known
// by its text, since no text stands twice in a file.

import { button, byId, count, make, say, toast, words } from "./dom.js";
import { ADD, WORDS, addHere, cutOff, editCard, isEdited, keepTyped } from "./editing.js";
import { groupMenu } from "./dialogs.js";
import { act, findingsOf, groupOf, listen, nameOf, state, templateOf } from "./store.js";

export const EXCLUDED = "\u0000excluded"; // no group can have these ids
export const NEW = "\u0000new";

const columns = new Map(); // id -> {section, list, cards: Map(text -> li), ...}
export const selection = new Set(); // texts
const chosenCards = new Set();
let active = null; // the button in the board that Tab reaches
let numbers = 0;
const choosing = [];
export const whenChosen = (listener) => choosing.push(listener);

// ---- colours and shapes of groups, as on the map

export function hueOf(id) {
  const place = state.order.indexOf(id);
  return place < 0 ? 0 : Math.round((260 + place * 137.508) % 360);
}

// ---- drawing

listen((changed) => {
  const had = textOf(document.activeElement), near = had && neighbour(had);
  const cut = changed.order ? drawOrder() : [];
  for (const id of changed.groups) if (state.groups[id]) drawGroup(id);
  if (changed.excluded || changed.order) drawExcluded();
  if (changed.findings) drawFindings();
  if (changed.images) for (const id of state.order) drawImages(id);
  if (changed.groups.size) {
    for (const text of selection) if (!groupOf(text) && !isExcluded(text)) selection.delete(text);
    markChosen();
    applyFilter();
  }
  // A card that moved is drawn anew where it is now: the focus goes along, or to what was beside it.
  if (had && document.activeElement === document.body && !focusOn(had) && near) focusOn(near);
  if (!active?.isConnected) reach(board.querySelector("button.words, button.title"));
  for (const one of cut) goOn(one);
});

// Go on with what was typed where that is now; what has no place any more is shown, and is no longer kept.
export function goOn({ prompt, about, typed }) {
  if (prompt === WORDS && groupOf(about)) editCard(about, cardOf(about), typed);
  else if (prompt === ADD && state.groups[about]) add(about, typed);
  else {
    if (typed.trim() && typed !== about) toast("What you were typing has no place any more:", typed);
    keepTyped(prompt, about, "");
  }
}

const board = byId("board");
const isExcluded = (text) => state.excluded.some((one) => one.text === text);

// The columns in their order; gives what was being typed in those that went.
function drawOrder() {
  const cut = [];
  for (const id of [...columns.keys()]) {
    if (id !== EXCLUDED && id !== NEW && !state.groups[id]) {
      cut.push(...cutOff(columns.get(id).section));
      columns.get(id).section.remove();
      columns.delete(id);
    }
  }
  let after = null;
  for (const id of [...state.order, NEW, EXCLUDED]) {
    const column = columns.get(id) ?? newColumn(id);
    const next = after ? after.nextElementSibling : board.firstElementChild;
    if (next !== column.section) board.insertBefore(column.section, next);
    column.section.style.setProperty("--hue", hueOf(id));
    after = column.section;
  }
  return cut;
}

function newColumn(id) {
  const number = ++numbers;
  const list = make("ul", { class: "cards" });
  const title = button("", () => groupMenu(id, title), { class: "title", tabindex: "-1", id: `group-${number}`,
    "aria-haspopup": "dialog" });
  const section = make("section", { class: "column", "aria-labelledby": `group-${number}` });
  section.dataset.group = id;
  const column = { section, list, title, cards: new Map(), drawn: null, number };
  if (id === NEW) {
    section.classList.add("new");
    section.removeAttribute("aria-labelledby");
    section.setAttribute("aria-label", "New group");
    const open = button("+ New group", () => import("./dialogs.js").then((one) => one.newGroup([...selection])),
      { class: "title", tabindex: "-1" });
    column.title = open;
    section.append(open, make("p", { class: "hint" }, "Drop templates here, too."));
  } else if (id === EXCLUDED) {
    section.classList.add("excluded");
    title.textContent = "Excluded";
    title.removeAttribute("aria-haspopup");
    column.about = make("p", { class: "hint" });
    section.append(make("header", {}, make("h2", {}, title)), column.about, list);
  } else {
    column.meta = make("span", { class: "meta" });
    column.about = make("p", { class: "hint" });
    column.remarks = make("ul", { class: "remarks" });
    column.images = make("div", { class: "images" });
    column.add = button("+ Add a template", () => addHere(id, column), { class: "add", tabindex: "-1" });
    section.append(make("header", {}, make("h2", {}, title), column.meta), column.about, column.remarks,
      column.images, list, column.add);
  }
  columns.set(id, column);
  return column;
}

function drawGroup(id) {
  const group = state.groups[id], column = columns.get(id);
  column.title.replaceChildren(make("bdi", {}, group.title || id));
  column.meta.replaceChildren(`${group.seen}/${group.templates.length} reviewed`);
  if (group.locked) column.meta.append(" · locked");
  column.about.textContent = group.description;
  column.section.classList.toggle("locked", group.locked);
  column.section.classList.toggle("reviewed", group.seen === group.templates.length);
  fill(column, group.templates.map((one) => ({ ...one, group: id })));
}

function drawExcluded() {
  const column = columns.get(EXCLUDED) ?? newColumn(EXCLUDED);
  column.about.textContent = state.excluded.length
    ? "These do not come back when groups are made anew. Drag one into a group to restore it."
    : "Drop here what should not come back.";
  fill(column, state.excluded.map((one) => ({ ...one, out: true })));
}

// The cards of a column, in order: those that are as they were are left alone.
function fill(column, templates) {
  const wanted = new Set(templates.map((one) => one.text));
  for (const [text, card] of column.cards) {
    if (!wanted.has(text) && !isEdited(card)) {
      card.remove();
      column.cards.delete(text);
    }
  }
  let before = null;
  for (const template of templates) {
    let card = column.cards.get(template.text);
    if (!card) {
      card = newCard(template.text);
      column.cards.set(template.text, card);
    }
    const next = before ? before.nextElementSibling : column.list.firstElementChild;
    if (next !== card) column.list.insertBefore(card, next);
    drawCard(card, template);
    before = card;
  }
}

function newCard(text) {
  const number = ++numbers;
  const about = make("p", { class: "marks", id: `about-${number}` });
  const shown = make("button", { type: "button", class: "words", tabindex: "-1", "aria-describedby": about.id },
    make("bdi", {}, ...words(text)));
  const card = make("li", { class: "card" }, shown, about);
  card.dataset.text = text;
  return card;
}

const MARKS = [
  ["init", "init", "Its words start the group's expert"],
  ["locked", "locked", "Nothing moves it"],
  ["reviewed", "reviewed", "A person has seen it here"],
];

function drawCard(card, template) {
  const found = template.out ? [] : findingsOf(template.text);
  const key = JSON.stringify([template, found]);
  if (card.dataset.key === key) return;
  card.dataset.key = key;
  card.classList.toggle("seen", Boolean(template.reviewed));
  card.classList.toggle("flagged", found.some((one) => one.severity !== "info"));
  const marks = MARKS.filter(([name]) => template[name]).map(([name, word, title]) =>
    make("span", { class: `mark ${name}`, title }, word));
  for (const one of found) marks.push(make("span", { class: `mark ${one.severity}`, title: one.message }, short(one)));
  if (template.note) marks.push(make("span", { class: "mark note", title: template.note }, "note"));
  if (template.reason) marks.push(make("span", { class: "why" }, make("bdi", {}, template.reason)));
  if (template.tokens) marks.push(make("span", { class: "tokens", title: "Tokens without a class name" },
    count(template.tokens, "token")));
  card.querySelector(".marks").replaceChildren(...marks.flatMap((one) => [one, " "]));
}

const SHORT = { G104: "a twin", G107: "nearly the same", G108: "nearer elsewhere", G106: "too long", G117: "long",
  G118: "long", G114: "odd characters", G115: "article", G116: "class name inside", G119: "also excluded",
  G113: "wording" };
const short = (one) => `${one.code} ${SHORT[one.code] ?? one.severity}`;

let flagged = new Set();
function drawFindings() {
  const now = new Set(Object.keys(state.findings.cards));
  for (const text of new Set([...now, ...flagged])) {
    const id = groupOf(text), template = id && templateOf(id, text), card = id && columns.get(id)?.cards.get(text);
    if (card) drawCard(card, { ...template, group: id });
  }
  flagged = now;
  for (const id of state.order) {
    const column = columns.get(id);
    const found = state.findings.groups[id] ?? [];
    column.remarks.replaceChildren(...found.map((one) => make("li", { class: one.severity, title: one.hint },
      `${one.code} ${one.message}`)));
  }
  applyFilter();
}

function drawImages(id) {
  const column = columns.get(id), shown = state.images.groups[id] ?? [];
  column.images.replaceChildren(...shown.map((one) => make("button", {
    type: "button", class: "picture", tabindex: "-1", title: `${one.name}: ${Math.round(100 * one.share)} %`,
    onclick: () => import("./dialogs.js").then((dialogs) => dialogs.showImage(one, id)),
  }, make("img", { src: `api/image/${one.number}`, alt: one.name, loading: "lazy" }))));
}

// ---- which are shown

let sought = "", kept = "all";
const FITS = {
  all: () => true,
  unreviewed: (one) => !one.reviewed,
  flagged: (one, found) => found.length > 0,
  twins: (one, found) => found.some((f) => ["G103", "G104", "G107"].includes(f.code)),
  nearer: (one, found) => found.some((f) => f.code === "G108"),
  locked: (one) => one.locked,
  noted: (one) => one.note,
};

export function filter(text, which) {
  sought = text.trim().toLocaleLowerCase("en");
  kept = which;
  applyFilter();
  if (!filtered) return;
  say(byId("found").textContent);
  // What was found may lie beside what the window shows of the board.
  board.querySelector(".card:not(.hidden)")?.closest(".column").scrollIntoView({ block: "nearest", inline: "nearest" });
}

let filtered = false;
function applyFilter() {
  const all = !sought && kept === "all";
  if (all && !filtered) return;
  filtered = !all;
  board.classList.toggle("filtered", filtered);
  let found = 0;
  for (const [id, column] of columns) {
    if (id === NEW) continue;
    let shown = 0;
    const templates = id === EXCLUDED ? state.excluded : state.groups[id].templates;
    for (const one of templates) {
      const fits = (id === EXCLUDED ? kept === "all" : FITS[kept](one, findingsOf(one.text)))
        && (!sought || one.text.toLocaleLowerCase("en").includes(sought));
      column.cards.get(one.text)?.classList.toggle("hidden", !fits);
      shown += fits;
    }
    column.section.classList.toggle("empty", filtered && shown === 0);
    found += shown;
  }
  byId("found").textContent = filtered ? count(found, "template shown", "templates shown") : "";
}

// ---- which is chosen, and where the keyboard is

export const cardOf = (text) => {
  const id = groupOf(text) ?? (isExcluded(text) ? EXCLUDED : null);
  return id === null ? null : columns.get(id)?.cards.get(text) ?? null;
};
export const textOf = (element) => element?.closest?.(".card")?.dataset.text ?? null;
export const columnOf = (element) => element?.closest?.(".column")?.dataset.group ?? null;
export const chosen = () => (selection.size ? [...selection] : []);
export const place = (id) => columns.get(id)?.section;

// The group whose column is at a point of the window, whatever lies above it.
export function columnAt(x, y) {
  const frame = board.getBoundingClientRect();
  if (x < frame.left || x > frame.right || y < frame.top || y > frame.bottom) return null;
  for (const [id, column] of columns) {
    const at = column.section.getBoundingClientRect();
    if (x >= at.left && x <= at.right && y >= at.top && y <= at.bottom) return id;
  }
  return null;
}

export function choose(texts) {
  selection.clear();
  for (const text of texts) selection.add(text);
  markChosen();
  for (const listener of choosing) listener([...selection]);
}

function markChosen() {
  for (const card of chosenCards) {
    card.classList.remove("chosen");
    card.firstElementChild.removeAttribute("aria-current");
  }
  chosenCards.clear();
  for (const text of selection) {
    const card = cardOf(text);
    if (!card) continue;
    card.classList.add("chosen");
    card.firstElementChild.setAttribute("aria-current", "true");
    chosenCards.add(card);
  }
}

export function toggle(text) {
  choose(selection.has(text) ? [...selection].filter((one) => one !== text) : [...selection, text]);
}

// Make a button of the board the one that Tab reaches.
export function reach(target) {
  if (!target || target === active) return;
  if (active) active.tabIndex = -1;
  active = target;
  active.tabIndex = 0;
}

export function focusOn(text) {
  const shown = cardOf(text)?.querySelector(".words");
  if (!shown) return false;
  reach(shown);
  shown.focus();
  shown.scrollIntoView({ block: "nearest", inline: "nearest" });
  return true;
}

export function focusGroup(id) {
  const target = columns.get(id)?.title;
  if (!target) return;
  reach(target);
  target.focus();
  target.scrollIntoView({ block: "nearest", inline: "nearest" });
}

board.addEventListener("focusin", (event) => {
  if (event.target.matches("button.words, button.title, button.add")) reach(event.target);
  const text = textOf(event.target);
  if (text && selection.size < 2 && !selection.has(text) && event.target.matches(":focus-visible")) choose([text]);
});

// Step through a column's buttons, or to the same height in the next column.
export function step(from, across, down) {
  const column = columnOf(from);
  const inside = stops(column), at = inside.indexOf(from);
  if (down) return inside[at + down] ?? null;
  const ids = [...state.order, NEW, EXCLUDED].filter((id) => columns.get(id)?.section.getClientRects().length);
  const next = ids[ids.indexOf(column) + across];
  if (next === undefined) return null;
  const there = stops(next);
  return there[Math.min(at, there.length - 1)] ?? null;
}

export function ends(from, last) {
  return stops(columnOf(from)).at(last ? -1 : 0);
}

function stops(id) {
  const column = columns.get(id);
  const cards = [...column.list.children].filter((card) => !card.classList.contains("hidden"));
  return [column.title, ...cards.map((card) => card.querySelector(".words")), column.add].filter(Boolean);
}

// ---- what is done with cards

// Move, exclude, restore: wherever cards are put down. The focus stays with the first of them.
export async function putDown(texts, target) {
  const out = texts.filter(isExcluded), inside = texts.filter((text) => groupOf(text) && groupOf(text) !== target);
  let done = false;
  if (target === NEW) {
    const { newGroup } = await import("./dialogs.js");
    return newGroup(texts);
  }
  if (target === EXCLUDED) {
    const next = neighbour(inside[0]);
    if (inside.length) done = await act({ operation: "exclude", texts: inside });
    if (done) choose(inside);
    if (done && next && document.activeElement === document.body) focusOn(next);
    return done;
  }
  if (inside.length) done = await act({ operation: "move", texts: inside, to: target },
    { told: `${count(inside.length, "template")} moved to ${nameOf(target)}` });
  if (out.length) done = await act({ operation: "add", texts: out, to: target },
    { told: `${count(out.length, "template")} restored to ${nameOf(target)}` });
  if (done) {
    choose(texts);
    focusOn(texts[0]);
  }
  return done;
}

export function neighbour(text) {
  const card = cardOf(text);
  return (card?.nextElementSibling ?? card?.previousElementSibling)?.dataset.text ?? null;
}

export async function exclude(texts) {
  const next = neighbour(texts.at(-1));
  const done = await act({ operation: "exclude", texts: texts.filter((text) => groupOf(text)) });
  if (done && next) {
    choose([next]);
    focusOn(next);
  }
}

export async function setInit(text) {
  if (groupOf(text)) await act({ operation: "set-init", group: groupOf(text), text });
}

export async function toggleAll(operation, key, texts) {
  const inside = texts.filter((text) => groupOf(text));
  const on = !inside.every((text) => templateOf(groupOf(text), text)[key]);
  if (inside.length) await act({ operation, texts: inside, on });
}

export const edit = (text) => { if (groupOf(text)) editCard(text, cardOf(text)); };
export const add = (id, given) => { if (columns.get(id)?.add) addHere(id, columns.get(id), given); };
