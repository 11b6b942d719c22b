// Which images are shown, and in which order.

import { allImages, chanceOf, className, content, correctedOf, gap, isRight } from "./content.js";
import { byId, choice, counted, make } from "./elements.js";
import { FILTERS, change, state } from "./state.js";

const SORTS = {
  sure: (a, b) => chanceOf(b) - chanceOf(a),
  unsure: (a, b) => chanceOf(a) - chanceOf(b),
  gap: (a, b) => gap(b) - gap(a),
};

/** The numbers of the images that the filters let through, in order. */
export function chosenImages() {
  const { images, classes, experts, firsts } = content;
  const word = state.search.trim().toLowerCase();
  const tests = [
    state.class && ((image) => className(image) === state.class),
    state.said && ((image) => classes[images.guess[image]] === state.said),
    state.expert && firsts && ((image) => experts[firsts[image]].id === state.expert),
    state.answer && ((image) => isRight(image) === (state.answer === "right")),
    state.sure && ((image) => Boolean(images.unsure[image]) === (state.sure === "no")),
    state.corrected && ((image) => correctedOf(image) !== undefined),
    word && ((image) => [images.name[image], className(image), classes[images.guess[image]]]
      .some((text) => text.toLowerCase().includes(word))),
  ].filter(Boolean);
  const found = [...allImages()].filter((image) => tests.every((test) => test(image)));
  const order = Object.hasOwn(SORTS, state.sort) ? SORTS[state.sort] : null;
  return order ? found.sort(order) : found;
}

const everything = (word) => [["", word]];
const named = (names) => names.map((name) => [name, name]);

/** The filters as a form; the field in which one types is kept as it is. */
export function showFilters() {
  const form = byId("filters");
  const { classes, corrections, experts, images, unsure_below } = content;
  const all = corrections ? [...new Set([...classes, ...Object.values(corrections.labels).map((k) => corrections.choices[k])])] : classes;
  const search = form.querySelector("input") ?? make("input", {
    type: "search", name: "search", autocomplete: "off", placeholder: "name or class",
    on: { input: () => change({ search: search.value }, true) },
  });
  if (document.activeElement !== search) search.value = state.search;
  const focused = document.activeElement?.closest("#filters")
    ? document.activeElement.name : null;
  const pick = (part) => (value) => change({ [part]: value, image: "" });
  const sure = Math.round(100 * unsure_below);
  const choices = [
    choice("Class", "class", [...everything("all"), ...named(all)], state.class, pick("class")),
    choice("Answer", "said", [...everything("any"), ...named(classes)], state.said, pick("said")),
    choice("Right or wrong", "answer", [...everything("both"), ["right", "right"], ["wrong", "wrong"]], state.answer, pick("answer")),
    choice("Sure", "sure", [...everything("both"), ["yes", `sure (${sure} % or more)`], ["no", `not sure (below ${sure} %)`]], state.sure, pick("sure")),
    images.gate && choice("First expert", "expert", [...everything("any"), ...named(experts.map((one) => one.id))], state.expert, pick("expert")),
    corrections && choice("Corrected", "corrected", [...everything("all"), ["yes", "labels that I corrected"]], state.corrected, pick("corrected")),
    choice("Order", "sort", [["", "as in the data"], ["unsure", "least sure first"], ["sure", "surest first"],
      ...(images.reference ? [["gap", "gates farthest apart first"]] : [])], state.sort, pick("sort")),
  ].filter(Boolean);
  const reset = make("button", { type: "button", class: "quiet", text: "Show all", on: { click: resetFilters } });
  reset.disabled = FILTERS.every((part) => state[part] === "");
  const label = search.parentElement ?? make("label", { class: "filter search" }, make("span", { text: "Search" }), search);
  for (const old of [...form.children]) if (old !== label) old.remove();
  if (!label.isConnected) form.append(label);
  form.append(...choices, reset);
  if (focused && focused !== "search") form.querySelector(`[name=${focused}]`)?.focus();
}

function resetFilters() {
  change({ ...Object.fromEntries(FILTERS.map((part) => [part, ""])), image: "" });
  byId("filters").querySelector("select").focus();
}

export function showCount(found) {
  const total = content.images.name.length;
  const right = found.filter(isRight).length;
  const share = found.length ? `, ${right.toLocaleString("en")} right` : "";
  byId("count").textContent = found.length === total
    ? `${counted(total, "image")}${share}` : `${found.length.toLocaleString("en")} of ${counted(total, "image")}${share}`;
}
