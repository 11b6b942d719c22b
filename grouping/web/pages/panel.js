// Beside the board: the map of the templates, and what there is to know and to do about the chosen ones.

import { choose, chosen, exclude, focusOn, hueOf, putDown, setInit, toggleAll, whenChosen, edit } from "./board.js";
import { more, moveTo, newGroup } from "./dialogs.js";
import { button, byId, count, drawing, later, make, words } from "./dom.js";
import { act, ask, findingsOf, groupOf, listen, nameOf, state, templateOf } from "./store.js";

const SIZE = 320, ROOM = 12; // of the map, in its own units
const MOST_DOTS = 5000;

const mapped = byId("mapped"), shown = byId("chosen");
let dots = new Map(); // text -> element

listen((changed) => {
  if (changed.map || changed.order) drawMap();
  else if (changed.groups.size || changed.findings) colourDots();
  if (changed.findings) byId("compared").textContent = state.findings.compared || "Being compared …";
  if (changed.images) byId("pictured").textContent = state.images.told ?? "";
  if (changed.groups.size || changed.findings || changed.excluded) drawChosen();
});
whenChosen(() => { drawChosen(); markDots(); });

// ---- the map

const SHAPES = [
  (x, y, r) => `M${x - r} ${y}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0`,
  (x, y, r) => `M${x - r} ${y - r}h${2 * r}v${2 * r}h${-2 * r}z`,
  (x, y, r) => `M${x} ${y - 1.3 * r}l${1.3 * r} ${2.2 * r}h${-2.6 * r}z`,
  (x, y, r) => `M${x} ${y - 1.4 * r}l${1.4 * r} ${1.4 * r}l${-1.4 * r} ${1.4 * r}l${-1.4 * r} ${-1.4 * r}z`,
];

function drawMap() {
  mapped.querySelector("svg")?.remove();
  dots = new Map();
  const places = Object.entries(state.places);
  if (!places.length || places.length > MOST_DOTS) return;
  const map = drawing("svg", { viewBox: `0 0 ${SIZE} ${SIZE * 0.72}`, role: "img",
    "aria-label": "Map: templates that lie close mean alike. Its points are the cards." });
  for (const [text] of places) {
    const title = drawing("title");
    const dot = drawing("path", { class: "dot" }, title);
    dot.addEventListener("click", () => { choose([text]); focusOn(text); });
    dots.set(text, { dot, title });
    map.append(dot);
  }
  mapped.append(map);
  colourDots();
  markDots();
}

function colourDots() {
  const at = new Map(state.order.map((id, number) => [id, number]));
  for (const [text, { dot, title }] of dots) {
    const id = groupOf(text);
    const [x, y] = state.places[text];
    const wide = SIZE / 2 - ROOM, high = SIZE * 0.36 - ROOM;
    dot.setAttribute("d", SHAPES[(at.get(id) ?? 0) % SHAPES.length](SIZE / 2 + x * wide, SIZE * 0.36 - y * high, 4));
    dot.style.setProperty("--hue", hueOf(id));
    dot.classList.toggle("hidden", id === undefined);
    title.textContent = `${text} (${id === undefined ? "" : nameOf(id)})`;
  }
}

function markDots() {
  const texts = new Set(chosen());
  const ids = new Set([...texts].map(groupOf));
  for (const [text, { dot }] of dots) {
    dot.classList.toggle("on", texts.has(text));
    dot.classList.toggle("near", texts.size > 0 && ids.has(groupOf(text)));
  }
  for (const text of texts) {
    const one = dots.get(text)?.dot;
    one?.parentNode.append(one); // above the others
  }
}

// ---- the chosen ones

function drawChosen() {
  if (shown.contains(document.activeElement) && document.activeElement.matches("textarea")) return;
  const texts = chosen();
  shown.classList.toggle("some", texts.length > 0);
  if (texts.length === 0) shown.replaceChildren(make("p", { class: "hint" },
    "Choose a card to see what is near it. ", button("Keys", () => byId("help").click()), " lists what the keyboard does."));
  else if (texts.length === 1) one(texts[0]);
  else several(texts);
}

function one(text) {
  const id = groupOf(text);
  if (id === undefined) {
    shown.replaceChildren(make("h2", {}, make("bdi", {}, ...words(text))), make("p", { class: "hint" }, "Excluded."),
      make("div", { class: "row" }, button("Restore to …", () => moveTo([text], putDown))));
    return;
  }
  const template = templateOf(id, text);
  const key = text;
  const near = shown.dataset.text === key ? shown.querySelector(".near") : make("div", { class: "near" });
  shown.dataset.text = key;
  shown.replaceChildren(
    make("h2", {}, make("bdi", {}, ...words(text))),
    make("p", { class: "hint" }, `in ${nameOf(id)}`, template.tokens ? ` · ${count(template.tokens, "token")}` : "",
      template.origin ? ` · ${template.origin}` : ""),
    make("ul", { class: "remarks" }, ...findingsOf(text).map((found) => make("li", { class: found.severity },
      make("strong", {}, found.code), ` ${found.message}. `, make("small", {}, found.hint)))),
    make("div", { class: "row" },
      button("Edit", () => edit(text)), button("Move …", () => moveTo([text], putDown)),
      button(template.reviewed ? "Not reviewed" : "Reviewed", () => toggleAll("review", "reviewed", [text])),
      button("Make init", () => setInit(text), { disabled: template.init }),
      button(template.locked ? "Unlock" : "Lock", () => toggleAll("lock", "locked", [text])),
      button("Exclude", () => exclude([text])), button("More like this …", () => more([text], id))),
    noteField(text, template),
    near);
  if (!near.childElementCount || near.dataset.version !== `${state.findings.number}`) look(text, near);
}

function noteField(text, template) {
  const typed = make("textarea", { rows: 1, id: "note", maxlength: 1000 });
  typed.defaultValue = template.note ?? "";
  const keep = () => {
    if (typed.value.trim() !== (template.note ?? "")) act({ operation: "annotate", text, note: typed.value });
  };
  typed.addEventListener("change", keep);
  typed.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.isComposing) { event.preventDefault(); typed.blur(); focusOn(text); }
    if (event.key === "Escape") { typed.value = template.note ?? ""; focusOn(text); }
  });
  return make("label", { class: "field" }, make("span", {}, "Note"), typed);
}

export function noteOf(text) {
  if (!groupOf(text)) return;
  choose([text]);
  byId("note")?.focus();
}

const look = later(async (text, near) => {
  near.dataset.version = `${state.findings.number}`;
  if (!near.isConnected || chosen()[0] !== text || !groupOf(text)) return;
  const answer = await ask("api/near", { text }, true);
  if (!answer || chosen()[0] !== text || !groupOf(text)) return;
  const home = groupOf(text);
  near.replaceChildren(
    ...(answer.groups.length ? [make("h3", {}, "Groups near it"), make("ul", {}, ...answer.groups.map((found) =>
      make("li", {}, swatch(found.id), make("bdi", {}, nameOf(found.id)), make("small", {}, ` ${found.value.toFixed(2)}`),
        found.id === home ? make("small", {}, " its own") : button("Move there", () => putDown([text], found.id),
          { class: "small", "aria-label": `Move to ${nameOf(found.id)}` }))))] : []),
    ...(answer.nearest.length ? [make("h3", {}, "Templates near it"), make("ul", {}, ...answer.nearest.map((found) =>
      make("li", {}, swatch(found.group), button(found.text, () => { choose([found.text]); focusOn(found.text); },
        { class: "link" }), make("small", {}, ` ${found.value.toFixed(2)} ${nameOf(found.group)}`))))] : []));
}, 120);

function swatch(id) {
  const made = make("span", { class: "swatch", "aria-hidden": "true" });
  made.style.setProperty("--hue", hueOf(id));
  return made;
}

function several(texts) {
  delete shown.dataset.text;
  const inside = texts.filter((text) => groupOf(text));
  shown.replaceChildren(
    make("h2", {}, `${count(texts.length, "template")} chosen`),
    make("div", { class: "row" },
      button("Move …", () => moveTo(texts, putDown)), button("New group …", () => newGroup(inside)),
      button("Reviewed", () => toggleAll("review", "reviewed", inside)),
      button("Lock", () => toggleAll("lock", "locked", inside)),
      button("Exclude", () => exclude(inside), { disabled: inside.length === 0 }),
      button("Choose none", () => choose([]))),
    make("ul", { class: "listed" }, ...texts.slice(0, 30).map((text) => make("li", {}, make("bdi", {}, ...words(text))))));
}
