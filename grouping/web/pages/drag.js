// Dragging cards by mouse, pen or finger. A finger drags after it has rested; before that it scrolls.

import { NEW, EXCLUDED, choose, columnAt, hueOf, place, putDown, selection, textOf, toggle } from "./board.js";
import { byId, count, make, say } from "./dom.js";
import { nameOf, state } from "./store.js";

const FAR = 5; // pixels after which a press is a drag
const REST = 350; // milliseconds after which a finger drags
const EDGE = 60; // pixels from an edge in which the board scrolls

let press = null; // {text, x, y, id, timer}
let held = null; // {texts, ghost, target}

const board = byId("board"), tray = byId("tray");

board.addEventListener("pointerdown", (event) => {
  const words = event.target.closest?.(".words, .marks");
  const text = textOf(words);
  if (!text || event.button !== 0 || held) return;
  press = { text, x: event.clientX, y: event.clientY, id: event.pointerId, touch: event.pointerType === "touch" };
  if (press.touch) press.timer = setTimeout(() => press && begin(), REST);
});

addEventListener("pointermove", (event) => {
  if (press && !held && event.pointerId === press.id && Math.hypot(event.clientX - press.x, event.clientY - press.y) > FAR) {
    if (press.touch) forget();
    else begin();
  }
  if (held) {
    held.x = event.clientX;
    held.y = event.clientY;
    follow();
  }
});

addEventListener("pointerup", () => {
  if (held) end(true);
  forget();
});
addEventListener("pointercancel", () => { if (held) end(false); forget(); });
addEventListener("keydown", (event) => { if (event.key === "Escape" && held) { event.stopPropagation(); end(false); } }, true);
board.addEventListener("touchmove", (event) => { if (held) event.preventDefault(); }, { passive: false });
board.addEventListener("contextmenu", (event) => { if (press?.touch) event.preventDefault(); });

let dropped = false; // the click that follows a drag is none
board.addEventListener("click", (event) => {
  if (dropped) { event.preventDefault(); event.stopPropagation(); dropped = false; return; }
  const text = textOf(event.target);
  if (!text || event.target.closest(".typing")) return;
  if (event.ctrlKey || event.metaKey || event.shiftKey) toggle(text);
  else choose([text]);
}, true);

function forget() {
  clearTimeout(press?.timer);
  press = null;
}

function begin() {
  const texts = selection.has(press.text) ? [...selection] : [press.text];
  const ghost = make("div", { class: "ghost", "aria-hidden": "true" }, texts.length === 1 ? texts[0] : count(texts.length, "template"));
  // The veil shows one cursor everywhere: a rule for all elements would have all of them drawn anew.
  const veil = make("div", { class: "veil" });
  document.body.append(veil, ghost);
  byId("toast").hidden = true;
  held = { texts, ghost, veil, target: null, x: press.x, y: press.y };
  showTray();
  follow();
  requestAnimationFrame(scroll);
}

function follow() {
  held.ghost.style.transform = `translate(${held.x + 10}px, ${held.y + 8}px)`;
  const chip = tray.hidden ? null : document.elementFromPoint(held.x, held.y)?.closest("#tray span");
  const target = chip?.dataset.group ?? columnAt(held.x, held.y);
  if (target === held.target) return;
  mark(held.target, false);
  held.target = target;
  mark(target, true);
}

function mark(target, on) {
  if (target === null) return;
  for (const one of [place(target), ...tray.children]) {
    if (one?.dataset.group === target) one.classList.toggle("over", on);
  }
}

function scroll() {
  if (!held) return;
  const at = board.getBoundingClientRect();
  const across = held.x < at.left + EDGE ? -1 : held.x > at.right - EDGE ? 1 : 0;
  if (across && held.y > at.top && held.y < at.bottom) board.scrollLeft += 14 * across;
  const down = held.y < EDGE ? -1 : held.y > innerHeight - EDGE ? 1 : 0;
  if (down && document.documentElement.scrollHeight > innerHeight) scrollBy(0, 12 * down);
  if (across || down) follow();
  requestAnimationFrame(scroll);
}

// All groups as small targets, where the board shows only some of them.
function showTray() {
  if (board.scrollWidth <= board.clientWidth + 4 && board.scrollHeight <= innerHeight) return;
  tray.replaceChildren(...[...state.order, NEW, EXCLUDED].map((id) => {
    const one = make("span", {}, id === NEW ? "+ New group" : id === EXCLUDED ? "Excluded" : nameOf(id));
    one.dataset.group = id;
    one.style.setProperty("--hue", hueOf(id));
    return one;
  }));
  tray.hidden = false;
}

function end(drop) {
  const { texts, ghost, veil, target } = held;
  ghost.remove();
  veil.remove();
  mark(target, false);
  tray.hidden = true;
  held = null;
  dropped = true;
  setTimeout(() => { dropped = false; }, 0);
  if (!drop || target === null) { say("Left where it was."); return; }
  // The window stays where it is, wherever the card went: whoever sorts a group goes on with that group.
  const [left, top] = [board.scrollLeft, scrollY];
  Promise.resolve(putDown(texts, target)).then(() => { board.scrollLeft = left; scrollTo(scrollX, top); });
}
