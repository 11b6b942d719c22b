// Two tables: which experts are used by which class, and which class was taken for which. Each number opens its images.

import { allImages, className, content, isRight } from "./content.js";
import { breakable, byId, choice, counted, make, percent } from "./elements.js";
import { change, openImages, state } from "./state.js";

const MOST_CLASSES = 60; // of a confusion matrix
const DEEPEST = 68; // percent of the colour behind the largest number: text on it can still be read

/** Images by the name of their class, in the order of the classes; corrected ones by their new one. */
function byClass() {
  const found = new Map(content.classes.map((name) => [name, []]));
  for (const image of allImages()) {
    const name = className(image);
    if (!found.has(name)) found.set(name, []);
    found.get(name).push(image);
  }
  return [...found].filter(([, images]) => images.length);
}

const MEASURES = {
  "": ["of how many images each expert comes first", (images, expert) => images.filter((image) => content.firsts[image] === expert).length / images.length],
  weight: ["the mean weight that the router gives it", (images, expert) => mean(images.map((image) => content.images.gate[image][expert]))],
  reference: ["the mean weight that the templates' own gate gives it", (images, expert) => mean(images.map((image) => content.images.reference[image][expert]))],
};

function mean(numbers) {
  return numbers.reduce((sum, number) => sum + number, 0) / numbers.length;
}

export function showUse() {
  const panel = byId("panel-use");
  if (!content.firsts) {
    panel.replaceChildren(make("p", { text: "This run has one prompt for all images: there are no experts to choose from." }));
    return;
  }
  const chosen = panel.contains(document.activeElement) && document.activeElement.name === "measure";
  const names = Object.keys(MEASURES).filter((name) => name !== "reference" || content.images.reference);
  const [what, measure] = names.includes(state.measure) ? MEASURES[state.measure] : MEASURES[""];
  const titles = { "": "first expert", weight: "mean weight", reference: "mean weight of the reference gate" };
  const chooser = choice("Show", "measure", names.map((name) => [name, titles[name]]), state.measure, (value) => change({ measure: value }));
  const everyone = [...allImages()];
  const lines = [["all classes", everyone], ...byClass()];
  const shares = lines.map(([, images]) => content.experts.map((_, expert) => measure(images, expert)));
  const most = Math.max(...shares.flat());
  const rows = lines.map(([name, images], line) => make("tr", { class: line ? null : "total" },
    make("th", { scope: "row", text: name, title: name }), make("td", { class: "number faint", text: String(images.length) }),
    ...content.experts.map((expert, place) => {
      const share = shares[line][place];
      if (!share) return make("td", { class: "number faint", text: "0 %" });
      return cell(percent(share), share / most, `${line ? name : "all classes"}, ${expert.id}: ${percent(share, 1)}. Show the images it comes first for.`,
        () => openImages({ expert: expert.id, class: line ? name : "" }));
    })));
  panel.replaceChildren(make("h2", { text: "Which experts are used by which class" }), make("form", { class: "row" }, chooser),
    make("p", { class: "faint", text: `By class: ${what}. A cell opens the images it comes first for.` }),
    scrolled("Experts by class", heatMap([...["class", "images"].map((text) => [text, text === "images"]), ...content.experts.map((one) => [one.id, true])], rows)));
  if (chosen) panel.querySelector("select").focus();
}

export function showConfusion() {
  const panel = byId("panel-confusion");
  const { classes } = content;
  const lines = byClass();
  const counts = new Map(lines.map(([name, mine]) => [name, answersOf(mine)]));
  const used = classes.map((_, said) => said).filter((said) => lines.some(([name]) => counts.get(name)[said] || name === classes[said]));
  const [rows, columns] = mostMistaken(lines, used, counts);
  const most = Math.max(1, ...rows.flatMap(([name]) => columns.filter((said) => classes[said] !== name).map((said) => counts.get(name)[said])));
  const drawn = rows.map(([name, mine]) => make("tr", {},
    make("th", { scope: "row", text: name, title: name }), make("td", { class: "number faint", text: percent(mine.filter(isRight).length / mine.length) }),
    ...columns.map((said) => {
      const count = counts.get(name)[said];
      if (!count) return make("td", { class: classes[said] === name ? "own" : null });
      const own = classes[said] === name;
      const told = own ? `${name}: ${counted(count, "image")} named right` : `${name} taken for ${classes[said]}: ${counted(count, "image")}`;
      return cell(String(count), own ? count / mine.length : count / most, told, () => openImages({ class: name, said: classes[said] }), own ? "own" : "mistake");
    })));
  const few = rows.length < lines.length ? ` The ${rows.length} classes with most mistakes, of ${lines.length}.` : "";
  panel.replaceChildren(make("h2", { text: "Which class was taken for which" }),
    make("p", { class: "faint", text: `A row is a class, a column what was said of its images. A cell opens them.${few}` }),
    scrolled("Confusion matrix", heatMap([["class", false], ["right", true], ...columns.map((said) => [classes[said], true])], drawn, "turned")));
}

/** How many of some images were said to be of each class. */
function answersOf(some) {
  const counts = content.classes.map(() => 0);
  for (const image of some) counts[content.images.guess[image]] += 1;
  return counts;
}

/** Rows and columns of a matrix that can be read: all, or the classes with most mistakes. */
function mostMistaken(lines, used, counts) {
  if (lines.length <= MOST_CLASSES && used.length <= MOST_CLASSES) return [lines, used];
  const wrong = new Map(content.classes.map((name) => [name, 0]));
  for (const [name] of lines) {
    counts.get(name).forEach((count, said) => {
      if (content.classes[said] === name) return;
      wrong.set(name, (wrong.get(name) ?? 0) + count);
      wrong.set(content.classes[said], wrong.get(content.classes[said]) + count);
    });
  }
  const kept = new Set([...wrong].sort((a, b) => b[1] - a[1]).slice(0, MOST_CLASSES).map(([name]) => name));
  return [lines.filter(([name]) => kept.has(name)), used.filter((said) => kept.has(content.classes[said]))];
}

function cell(text, share, told, heard, kind = "") {
  return make("td", { class: `cell ${kind}`, style: { "--share": `${Math.round(DEEPEST * Math.min(1, share))}%` } },
    make("button", { type: "button", text, "aria-label": told, title: told, on: { click: heard } }));
}

function heatMap(heads, rows, kind = "") {
  const head = heads.map(([text, number]) => make("th", { scope: "col", class: number ? "number" : null, title: text },
    kind === "turned" ? make("span", { text }) : breakable(text)));
  return make("table", { class: `map ${kind}` }, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...rows));
}

/** Something wide that scrolls by itself, also by the keyboard. */
function scrolled(label, inner) {
  return make("div", { class: "scrolled", role: "region", "aria-label": label, tabindex: "0" }, inner);
}
