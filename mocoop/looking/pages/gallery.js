// The gallery. Only the rows in sight, and a few beside them, are there at any time: thousands of images stay quick.

import { chanceOf, className, content, correctedOf, expertsOf, isRight, pictureOf } from "./content.js";
import { byId, colourOf, make, percent } from "./elements.js";
import { change, state } from "./state.js";

const CARD = 12.5; // rem, at least
const ROW = 19; // rem, with its gap: as in style.css
const SPARE = 3; // rows beyond what is in sight

let shown = []; // numbers of the images, in order
let current = 0; // the place in `shown` that has the keyboard
let columns = 1;
const cards = new Map(); // by place

const rem = () => parseFloat(getComputedStyle(document.documentElement).fontSize);

export function showGallery(images) {
  const before = shown[current];
  shown = images;
  current = Math.max(0, shown.indexOf(before));
  for (const card of cards.values()) card.remove();
  cards.clear();
  drawGallery();
}

export const shownImages = () => shown;

/** Draw the cards in sight, and take away those out of sight. */
export function drawGallery() {
  const list = byId("gallery");
  if (list.closest("[hidden]")) return;
  const row = ROW * rem();
  columns = Math.max(1, Math.floor(list.clientWidth / (CARD * rem())));
  const rows = Math.ceil(shown.length / columns);
  const top = -list.getBoundingClientRect().top;
  const first = Math.min(Math.max(0, Math.floor(top / row) - SPARE), Math.max(0, rows - 1));
  const last = Math.min(rows, Math.max(first + 1, Math.ceil((top + innerHeight) / row) + SPARE));
  list.style.setProperty("--columns", columns);
  list.style.paddingBlockStart = `${first * row}px`;
  list.style.paddingBlockEnd = `${Math.max(0, rows - last) * row}px`;
  const from = first * columns;
  const to = Math.min(shown.length, last * columns);
  for (const [place, card] of cards) {
    if (place < from || place >= to) {
      card.remove();
      cards.delete(place);
    }
  }
  let next = list.firstChild;
  for (let place = from; place < to; place += 1) {
    const card = cards.get(place);
    if (card) {
      next = card.nextSibling;
    } else {
      const made = cardOf(shown[place], place);
      cards.set(place, made);
      list.insertBefore(made, next);
    }
  }
  if (cards.size && !cards.has(current)) moveTo(Math.min(Math.max(current, from), to - 1), false); // Tab reaches one
}

/** The picture of an image, or words where there is none. */
export function pictureIn(image, size, described) {
  const address = pictureOf(image, size);
  if (address === null) return make("span", { class: "no-picture", text: "no picture here" });
  const picture = make("img", { src: address, alt: described, loading: size === "small" ? "lazy" : "eager", decoding: "async", draggable: "false" });
  picture.addEventListener("error", () => {
    picture.replaceWith(make("span", { class: "no-picture", text: "the picture cannot be read" }));
  });
  return picture;
}

/** A bar of all experts' weights, in their colours. */
function weightsBar(image) {
  const parts = content.images.gate[image].map((weight, place) => make("span", {
    style: { "flex-grow": weight, background: colourOf(place) },
  }));
  return make("span", { class: "weights", "aria-hidden": "true" }, ...parts);
}

function firstExpert(image) {
  const [first, weight] = expertsOf(image)[0];
  return `${content.experts[first].id} ${percent(weight)}`;
}

/** A line of a card; none for nothing. */
const line = (text, kind = "") => (text ? make("span", { class: `line ${kind}`, text }) : null);

function cardOf(image, place) {
  const { classes, images } = content;
  const right = isRight(image);
  const said = classes[images.guess[image]];
  const experts = images.gate ? firstExpert(image) : "";
  const corrected = correctedOf(image) !== undefined;
  const others = images.set?.[image].filter((one) => one !== images.guess[image]).map((one) => classes[one]) ?? [];
  const label = [
    images.name[image], `said ${said} ${percent(chanceOf(image))}`, right ? "right" : `wrong, is ${className(image)}`,
    images.unsure[image] ? "not sure" : "", corrected ? "label corrected" : "",
  ].filter(Boolean).join(", ");
  const button = make("button", {
    type: "button", class: `card ${right ? "right" : "wrong"}`, "aria-label": label, tabindex: place === current ? "0" : "-1",
    on: { click: () => change({ image: String(image) }), focus: () => moveTo(place, false), keydown: pressed },
  },
  make("span", { class: "frame" }, pictureIn(image, "small", ""),
    images.unsure[image] ? make("span", { class: "badge", text: "not sure" }) : null,
    corrected ? make("span", { class: "badge corrected", text: "corrected" }) : null),
  make("span", { class: "answer" }, make("span", { class: "sign", text: right ? "✓" : "✗" }),
    make("span", { class: "said", text: said }), make("span", { class: "number", text: percent(chanceOf(image)) })),
  line(right ? "" : `is ${className(image)}`), line(others.length ? `or ${others.join(", ")}` : "", "faint"),
  images.gate ? weightsBar(image) : null, line(experts, "faint"));
  return make("li", { "aria-setsize": shown.length, "aria-posinset": place + 1 }, button);
}

function moveTo(place, focused = true) {
  cards.get(current)?.firstChild.setAttribute("tabindex", "-1");
  current = Math.min(Math.max(0, place), shown.length - 1);
  if (focused) {
    const row = ROW * rem();
    const list = byId("gallery");
    const top = list.getBoundingClientRect().top + scrollY + Math.floor(current / columns) * row;
    if (top < scrollY) scrollTo(0, top - row / 8);
    else if (top + row > scrollY + innerHeight) scrollTo(0, top + row - innerHeight);
    drawGallery();
  }
  const card = cards.get(current)?.firstChild;
  card?.setAttribute("tabindex", "0");
  if (focused) card?.focus({ preventScroll: true });
}

/** Give the keyboard to an image, if it is shown; else to the one that had it. */
export function focusImage(image) {
  const place = shown.indexOf(image);
  moveTo(place < 0 ? current : place);
}

function pressed(event) {
  const steps = {
    ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns, Home: -shown.length, End: shown.length,
    PageDown: 3 * columns, PageUp: -3 * columns,
  };
  if (!(event.key in steps) || event.altKey || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  moveTo(current + steps[event.key]);
}

export function startGallery() {
  let waiting = false;
  const soon = () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; drawGallery(); });
  };
  addEventListener("scroll", soon, { passive: true });
  new ResizeObserver(soon).observe(byId("main"));
}
