// The page as a whole: what it is about, its panels, its keys.

import { allImages, content, correctedElsewhere, correctedOf, isRight, loadContent } from "./content.js";
import { showDetail, startDetail } from "./detail.js";
import { byId, counted, make, percent } from "./elements.js";
import { showExperts } from "./experts.js";
import { chosenImages, showCount, showFilters } from "./filters.js";
import { showGallery, startGallery } from "./gallery.js";
import { FILTERS, change, onChange, startState, state } from "./state.js";
import { showConfusion, showUse } from "./tables.js";

const PANELS = { images: "Images", use: "Experts by class", confusion: "Confusion", experts: "Experts" };
const KEYS = [
  ["← → ↑ ↓", "from image to image"], ["Enter", "the image in full"], ["← →", "there: the one before, the next"],
  ["Escape", "back to the gallery"], ["/", "search"], ["1 2 3 4", "the panels"], ["?", "this help"],
];

function showHead() {
  const { backbone, data, images, notes, run } = content;
  byId("title").textContent = `What ${run} does with ${data}`;
  document.title = `${run} on ${data}`;
  byId("summary").replaceChildren(...summaryParts(images, backbone));
  if (notes.length) {
    byId("notes").hidden = false;
    byId("notes").querySelector("summary").textContent = counted(notes.length, "note");
    byId("notes").querySelector("ul").replaceChildren(...notes.map((text) => make("li", { text })));
  }
}

function summaryParts(images, backbone) {
  const all = [...allImages()];
  const total = all.length;
  const corrected = all.filter((image) => correctedOf(image) !== undefined).length;
  const before = all.filter((image) => images.label[image] === images.guess[image]).length;
  const right = all.filter(isRight).length;
  const sizes = images.set?.map((set) => set.length) ?? [];
  const held = images.set?.filter((set, image) => set.includes(images.label[image])).length;
  const same = images.reference ? all.filter((image) => content.firsts[image] === firstOf(images.reference[image])).length : null;
  const fact = (number, text) => make("span", { class: "fact" }, make("strong", { text: number }), make("span", { text: ` ${text}` }));
  return [
    fact(total.toLocaleString("en"), `test ${total === 1 ? "image" : "images"} of ${counted(content.classes.length, "class")}`),
    fact(percent(right / total, 1), corrected ? `right with ${counted(corrected, "label")} corrected (${percent(before / total, 1)} before)` : "right"),
    fact(images.unsure.reduce((sum, one) => sum + one, 0).toLocaleString("en"), `not sure (below ${percent(content.unsure_below)})`),
    images.set ? fact((sizes.reduce((sum, one) => sum + one, 0) / total).toFixed(2), `classes not ruled out on average, the right one among them for ${percent(held / total, 1)} (${percent(content.coverage)} asked)`) : null,
    images.gate ? fact(String(content.experts.length), `experts for ${content.domain}`) : null,
    same === null ? null : fact(percent(same / total), "have the same first expert by both gates"),
    fact(backbone, content.method),
  ].filter(Boolean);
}

function firstOf(weights) {
  return weights.indexOf(Math.max(...weights));
}

function showTabs() {
  const view = Object.hasOwn(PANELS, state.view) ? state.view : "images";
  byId("tabs").replaceChildren(...Object.entries(PANELS).map(([name, title]) => make("button", {
    type: "button", role: "tab", id: `tab-${name}`, text: title, "aria-selected": String(name === view), "aria-controls": `panel-${name}`,
    tabindex: name === view ? "0" : "-1", on: { click: () => openPanel(name), keydown: alongTabs },
  })));
  for (const name of Object.keys(PANELS)) byId(`panel-${name}`).hidden = name !== view;
  return view;
}

function openPanel(name) {
  change({ view: name === "images" ? "" : name, image: "" });
  byId(`tab-${name}`).focus();
  scrollTo(0, 0);
}

function alongTabs(event) {
  const names = Object.keys(PANELS);
  const place = names.indexOf(event.currentTarget.id.slice("tab-".length));
  const to = { ArrowRight: place + 1, ArrowLeft: place - 1, Home: 0, End: names.length - 1 }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  openPanel(names[(to + names.length) % names.length]);
}

let drawn = ""; // what the gallery shows: opening one image in full does not draw it anew
let stale = false; // labels were corrected since: whoever goes from image to image keeps the list until it is closed

function showAll() {
  const view = showTabs();
  if (view === "use") showUse();
  else if (view === "confusion") showConfusion();
  else if (view === "experts") showExperts();
  const wanted = JSON.stringify([view, state.sort, ...FILTERS.map((part) => state[part])]);
  if (wanted !== drawn && !(stale && byId("detail").open && state.image !== "")) {
    drawn = wanted;
    stale = false;
    showFilters();
    const found = chosenImages();
    showCount(found);
    showGallery(found);
  }
  showDetail();
}

function showHelp() {
  const dialog = byId("help");
  dialog.replaceChildren(
    make("div", { class: "heading" }, make("h2", { id: "help-title", text: "Keys, and what is what" }),
      make("button", { type: "button", class: "quiet", text: "Close", on: { click: () => dialog.close() } })),
    make("dl", { class: "keys" }, ...KEYS.flatMap(([key, text]) => [make("dt", {}, make("kbd", { text: key })), make("dd", { text })])),
    make("p", { text: "The learned gate is what the router weighs the experts for an image. The reference gate is what it was taught: how near "
      + "the image is to the templates of each group. A set holds the classes that cannot be ruled out; of the images of a data set like "
      + "this one, so many sets as were asked for hold the right class. An answer is not sure if its probability is below the limit." }),
    make("p", { text: content.corrections ? `A label that you correct is written to ${content.corrections.file}, beside the data; the data stay as they are. `
      + `${content.corrections.table} is the whole data set with your labels: give it to --data${content.corrections.links}.` : "Labels cannot be corrected here." }));
  if (!dialog.open) dialog.showModal();
}

function onKey(event) {
  if (event.altKey || event.ctrlKey || event.metaKey || document.querySelector("dialog[open]")) return;
  if (event.target.closest?.("input, select, textarea")) return;
  if (event.key === "?") showHelp();
  else if (event.key === "/") {
    event.preventDefault();
    if (state.view) change({ view: "" });
    byId("filters").querySelector("input").focus();
  } else if (/^[1-4]$/.test(event.key)) openPanel(Object.keys(PANELS)[Number(event.key) - 1]);
}

/** Back from another tab: it may have corrected labels. */
async function lookAgain() {
  if (content.corrections && await correctedElsewhere().catch(() => false)) dispatchEvent(new Event("corrected"));
}

async function start() {
  try {
    await loadContent();
  } catch (error) {
    byId("title").textContent = "The page cannot be shown";
    byId("summary").textContent = error.message;
    return;
  }
  showHead();
  startGallery();
  startDetail();
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  byId("help-button").addEventListener("click", showHelp);
  document.addEventListener("keydown", onKey);
  addEventListener("focus", lookAgain);
  addEventListener("corrected", () => { drawn = ""; stale = true; showHead(); showAll(); });
  onChange(showAll);
  startState();
}

start();
