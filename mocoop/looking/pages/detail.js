// One image in full: its likeliest classes, its gates, the templates behind them, and its label to be corrected.

import { chanceOf, className, content, correct, correctedOf, expertsOf, isRight } from "./content.js";
import { breakable, byId, choice, colourOf, counted, make, percent, say } from "./elements.js";
import { focusImage, pictureIn, shownImages } from "./gallery.js";
import { change, state } from "./state.js";

export function showDetail() {
  const dialog = byId("detail");
  const image = state.image === "" ? -1 : Number(state.image);
  if (!(Number.isInteger(image) && image >= 0 && image < content.images.name.length)) {
    if (dialog.open) dialog.close();
    return;
  }
  const had = dialog.contains(document.activeElement) ? document.activeElement.dataset.keep : null;
  dialog.replaceChildren(headOf(image), make("div", { class: "columns" }, pictureColumn(image), factsColumn(image)));
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
  dialog.querySelector(had ? `[data-keep=${had}]` : "[data-keep=close]")?.focus();
}

function headOf(image) {
  const images = shownImages();
  const place = images.indexOf(image);
  const step = (by, text, keep) => {
    const to = place < 0 ? undefined : images[place + by];
    const button = make("button", { type: "button", class: "quiet", "aria-label": text, "data-keep": keep, text: by < 0 ? "←" : "→" });
    button.addEventListener("click", () => to !== undefined && change({ image: String(to) }, true));
    button.setAttribute("aria-disabled", String(to === undefined));
    return button;
  };
  return make("div", { class: "heading" },
    make("h2", { id: "detail-title", text: content.images.name[image] }),
    make("span", { class: "faint", text: place < 0 ? "" : `${place + 1} of ${images.length}` }),
    step(-1, "Previous image", "previous"), step(1, "Next image", "next"),
    make("button", { type: "button", class: "quiet", text: "Close", "data-keep": "close", on: { click: closeDetail } }));
}

function pictureColumn(image) {
  return make("div", {},
    make("div", { class: "frame large" }, pictureIn(image, "large", `Picture ${content.images.name[image]}`)),
    verdict(image), content.corrections ? correction(image) : null);
}

function verdict(image) {
  const said = content.classes[content.images.guess[image]];
  const right = isRight(image);
  const words = right ? `${said}, and that is right` : `${said}, but it is ${className(image)}`;
  const sure = content.images.unsure[image] ? ` Not sure: ${percent(chanceOf(image))} is below ${percent(content.unsure_below)}.` : "";
  return make("p", { class: `verdict ${right ? "right" : "wrong"}` },
    make("span", { class: "sign", text: right ? "✓" : "✗" }), make("span", { text: `Said ${words}.${sure}` }));
}

function correction(image) {
  const { corrections, images, classes } = content;
  const own = classes[images.label[image]];
  const now = corrected(image);
  const entries = corrections.choices.map((name, place) => [String(place), name]);
  const form = make("form", { class: "correction" });
  const select = choice("The right class is", "label", entries, String(now), () => {});
  const reason = correctedOf(image) === undefined
    ? `In the data: ${own}.` : `In the data: ${own}. Corrected in ${corrections.file}; ${corrections.table} is the whole data set with it.`;
  form.append(...[select, make("button", { type: "submit", text: "Correct the label", "data-keep": "correct" }),
    correctedOf(image) === undefined ? null : make("button", { type: "button", class: "quiet", text: "Take it back", on: { click: () => give(image, corrections.classes.indexOf(images.label[image])) } }),
    make("p", { class: "faint", text: reason })].filter(Boolean));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    give(image, Number(select.querySelector("select").value));
  });
  return form;
}

/** Give an image a label; its own takes a correction back. */
async function give(image, label) {
  try {
    await correct(image, label);
  } catch (error) {
    say(`not corrected: ${error.message}`);
    return;
  }
  say(correctedOf(image) === undefined ? "the label is as in the data" : `corrected: ${className(image)}`);
  dispatchEvent(new Event("corrected"));
}

/** The place of an image's class among the choices. */
function corrected(image) {
  const { corrections, images } = content;
  return correctedOf(image) ?? corrections.classes.indexOf(images.label[image]);
}

function factsColumn(image) {
  const { images, coverage } = content;
  const set = images.set?.[image];
  return make("div", {},
    make("h3", { text: "Likeliest classes" }), topTable(image),
    set ? make("p", {}, make("strong", { text: `Cannot be ruled out (${percent(coverage)}): ` }),
      make("span", { text: set.map((one) => content.classes[one]).join(", ") })) : null,
    images.gate ? make("h3", { text: "Experts" }) : null,
    images.gate ? gateTable(image) : null,
    images.gate ? make("h3", { text: "Templates behind them" }) : null,
    ...(images.gate ? expertsOf(image).map(([expert, weight], place) => templatesOf(expert, weight, place === 0)) : []));
}

const bar = (share, colour) => make("span", { class: "bar", "aria-hidden": "true" }, make("span", { style: { width: `${100 * share}%`, background: colour } }));

function topTable(image) {
  const truth = className(image);
  const { top, label, truth: chances } = content.images;
  const likely = top[image].some(([one]) => one === label[image]) ? top[image] : [...top[image], [label[image], chances[image]]];
  const rows = likely.map(([one, chance]) => make("tr", {},
    make("th", { scope: "row", text: content.classes[one] + (content.classes[one] === truth ? " (is it)" : "") }),
    make("td", { class: "number", text: percent(chance, 1) }), make("td", { class: "wide" }, bar(chance, "var(--accent)"))));
  return make("table", { class: "bars" }, make("caption", { class: "hidden", text: "Likeliest classes and their probabilities" }),
    make("thead", { class: "hidden" }, make("tr", {}, ...["class", "probability", "bar"].map((text) => make("th", { scope: "col", text })))),
    make("tbody", {}, ...rows));
}

function gateTable(image) {
  const { gate, reference } = content.images;
  const used = gate[image].filter((weight) => weight > 0).length;
  const most = Math.max(...gate[image], ...(reference?.[image] ?? []));
  const rows = content.experts.map((expert, place) => make("tr", {},
    make("th", { scope: "row" }, make("span", { class: "dot", style: { background: colourOf(place) } }), breakable(expert.id)),
    make("td", { class: "number", text: percent(gate[image][place], 1) }),
    make("td", { class: "wide" }, bar(gate[image][place] / most, colourOf(place))),
    reference ? make("td", { class: "number", text: percent(reference[image][place], 1) }) : null,
    reference ? make("td", { class: "wide" }, bar(reference[image][place] / most, "var(--faint)")) : null));
  const heads = ["expert", "learned", "", ...(reference ? ["reference", ""] : [])];
  const few = used < content.experts.length ? ` ${used} of ${counted(content.experts.length, "expert")} have a weight here.` : "";
  return make("table", { class: "bars" },
    make("caption", { text: reference ? `What the router weighs each expert, and what the templates' own gate would.${few}` : `What each expert weighs.${few}` }),
    make("thead", {}, make("tr", {}, ...heads.map((text) => (text ? make("th", { scope: "col", class: text === "expert" ? null : "number", text }) : make("td", {}))))),
    make("tbody", {}, ...rows));
}

function templatesOf(expert, weight, open) {
  const { id, templates } = content.experts[expert];
  return make("details", { class: "templates", open },
    make("summary", {}, make("span", { class: "dot", style: { background: colourOf(expert) } }), make("span", { text: `${id} ${percent(weight, 1)}` })),
    make("ul", {}, ...templates.map((text) => make("li", { text }))));
}

function closeDetail() {
  byId("detail").close();
}

export function startDetail() {
  const dialog = byId("detail");
  dialog.addEventListener("close", () => {
    const image = Number(state.image);
    if (state.image !== "") change({ image: "" });
    if (!document.activeElement.closest("#filters")) focusImage(image); // "/" may have been quicker
  });
  dialog.addEventListener("click", (event) => { if (event.target === dialog) closeDetail(); });
  dialog.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by || event.target.closest("select") || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const images = shownImages();
    const place = images.indexOf(Number(state.image));
    const to = images[place + by];
    if (place >= 0 && to !== undefined) change({ image: String(to) }, true);
  });
}
