// The board by keyboard. Single letters work only while the focus is on it.

import { EXCLUDED, NEW, add, choose, chosen, columnOf, edit, ends, exclude, focusGroup, place, putDown, reach,
  selection, setInit, step, textOf, toggle, toggleAll } from "./board.js";
import { groupMenu, help, isOpen, more, moveTo, rename, excludeGroup, saveDialog } from "./dialogs.js";
import { byId, count, say } from "./dom.js";
import { noteOf } from "./panel.js";
import { act, groupOf, nameOf, state, templateOf, travel } from "./store.js";

const board = byId("board");
let held = null; // {texts, at}: cards picked up by keyboard, and the group where they are

const targets = () => [...state.order, NEW, EXCLUDED]; // another tab may change them at any time
const nameOfTarget = (id) => (id === EXCLUDED ? "Excluded" : id === NEW ? "a new group" : nameOf(id));

function go(target, event) {
  event.preventDefault();
  if (!target) return;
  reach(target);
  target.focus();
  target.scrollIntoView({ block: "nearest", inline: "nearest" });
  const text = textOf(target);
  if (text && selection.size < 2) choose([text]);
}

function pickUp(text) {
  const texts = selection.has(text) ? chosen() : [text];
  held = { texts, at: groupOf(text) ?? EXCLUDED };
  board.classList.add("holding");
  mark();
  say(`${count(texts.length, "template")} picked up. Arrows choose the group, Space puts down, Escape lets be.`);
}

function mark() {
  for (const one of board.querySelectorAll(".column.over")) one.classList.remove("over");
  if (!held) return;
  const section = place(held.at);
  section?.classList.add("over");
  section?.scrollIntoView({ block: "nearest", inline: "nearest" });
}

function letGo() {
  held = null;
  mark();
  board.classList.remove("holding");
}

function whileHeld(event) {
  const way = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  event.preventDefault();
  event.stopPropagation();
  if (way) {
    const ids = targets();
    const id = ids.at((ids.indexOf(held.at) + way) % ids.length);
    held.at = id;
    mark();
    say(`${nameOfTarget(id)}${state.groups[id] ? `, ${count(state.groups[id].templates.length, "template")}` : ""}`);
  } else if (event.key === " " || event.key === "Enter") {
    const { texts, at } = held;
    letGo();
    putDown(texts, at);
  } else if (event.key === "Escape" || event.key === "Tab") {
    letGo();
    say("Left where it was.");
  }
}

board.addEventListener("keydown", (event) => {
  if (held) { whileHeld(event); return; }
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest(".typing")) return;
  const from = event.target.closest("button");
  if (!from) return;
  const moves = { ArrowDown: [0, 1], ArrowUp: [0, -1], ArrowRight: [1, 0], ArrowLeft: [-1, 0] }[event.key];
  if (moves) { go(step(from, ...moves), event); return; }
  if (event.key === "Home" || event.key === "End") { go(ends(from, event.key === "End"), event); return; }
  const text = textOf(from), id = columnOf(from);
  const done = text ? onCard(event, text, id) : onGroup(event, id);
  if (done) event.preventDefault();
});

function onCard(event, text, id) {
  const texts = selection.has(text) ? chosen() : [text];
  switch (event.key) {
    case " ": pickUp(text); return true;
    case "Enter": case "e": case "F2": edit(text); return true;
    case "x": toggle(text); say(`${count(selection.size, "template")} chosen`); return true;
    case "m": moveTo(texts, putDown); return true;
    case "Delete": case "Backspace": exclude(texts); return true;
    case "i": setInit(text); return true;
    case "r": toggleAll("review", "reviewed", texts); return true;
    case "l": toggleAll("lock", "locked", texts); return true;
    case "n": noteOf(text); return true;
    case "a": add(id); return true;
    case "g": if (groupOf(text)) more(texts, id); return true;
    case "Escape": choose([]); return true;
    default: return false;
  }
}

function onGroup(event, id) {
  const group = state.groups[id];
  if (!group) return false;
  const texts = group.templates.map((one) => one.text);
  switch (event.key) {
    case "e": case "F2": rename(id); return true;
    case "a": add(id); return true;
    case "r": act({ operation: "review", texts, on: !group.templates.every((one) => one.reviewed) }); return true;
    case "l": act({ operation: "lock-group", group: id, on: !group.locked }); return true;
    case "g": more(texts, id); return true;
    case "Delete": excludeGroup(id); return true;
    default: return false;
  }
}

document.addEventListener("keydown", (event) => {
  const typing = event.target.matches?.("input, textarea, select");
  const control = event.ctrlKey || event.metaKey;
  const key = event.key.toLowerCase();
  if (control && key === "s") event.preventDefault(); // the browser would save the page
  if (isOpen()) return;
  if (control && key === "s") { saveDialog(); return; }
  if (typing) return;
  if (control && key === "z") { event.preventDefault(); travel(event.shiftKey ? "redo" : "undo"); }
  else if (control && key === "y") { event.preventDefault(); travel("redo"); }
  else if (control || event.altKey) return;
  else if (event.key === "/") { event.preventDefault(); byId("search").focus(); }
  else if (event.key === "?") { event.preventDefault(); help(); }
});

board.addEventListener("dblclick", (event) => {
  const text = textOf(event.target);
  if (text && !event.target.closest(".typing") && templateOf(groupOf(text), text)) edit(text);
});
export { groupMenu, focusGroup };
