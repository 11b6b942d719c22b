// The experts: what each started from, its templates, and the words nearest to what it learned.

import { content } from "./content.js";
import { breakable, byId, colourOf, counted, make, percent } from "./elements.js";
import { openImages } from "./state.js";

export function showExperts() {
  const { experts, images } = content;
  const words = experts.some((one) => one.tokens.length);
  byId("panel-experts").replaceChildren(
    make("h2", { text: experts.length > 1 ? "What the experts are made of" : "What the prompt is made of" }),
    make("p", { class: "faint", text: words ? "A learned token is a vector, not a word. Beside the word it started as stand the words of the vocabulary nearest "
      + "to where it is now, with their distances: where the second is about as near as the first, it is no longer any word." : "This run has no learned tokens that words could be near to." }),
    make("div", { class: "experts" }, ...experts.map((expert, place) => expertCard(expert, place, images.gate))));
}

function expertCard(expert, place, gate) {
  const first = content.firsts?.filter((one) => one === place).length ?? 0;
  const total = content.images.name.length;
  return make("article", { style: { "--colour": colourOf(place) } },
    make("h3", {}, make("span", { class: "dot", style: { background: colourOf(place) } }), breakable(expert.id)),
    expert.title && expert.title !== expert.id ? make("p", { text: expert.title }) : null,
    gate ? make("p", {}, make("button", { type: "button", class: "link", text: `first for ${counted(first, "image")} (${percent(first / total)})`,
      on: { click: () => openImages({ expert: expert.id }) } })) : null,
    expert.start ? make("p", { class: "faint", text: `started from: ${expert.start}` }) : null,
    expert.templates.length ? make("details", {}, make("summary", { text: counted(expert.templates.length, "template") }),
      make("ul", {}, ...expert.templates.map((text) => make("li", { text })))) : null,
    expert.tokens.length ? wordsTable(expert) : null);
}

function wordsTable(expert) {
  const rows = expert.tokens.map((token) => make("tr", {},
    make("th", { scope: "row", text: token.start || "(no word)" }),
    make("td", {}, ...token.near.map(([word, distance]) => make("span", { class: "word" },
      make("span", { text: word }), make("span", { class: "faint", text: ` ${distance}` }))))));
  const slot = expert.tokens.findIndex((token) => !token.before);
  const name = make("tr", { class: "faint" }, make("td", { colspan: "2", text: "(the name of the class)" }));
  rows.splice(slot < 0 ? rows.length : slot, 0, name);
  return make("table", { class: "words" }, make("caption", { class: "hidden", text: `Learned tokens of ${expert.id}` }),
    make("thead", {}, make("tr", {}, make("th", { scope: "col", text: "started as" }), make("th", { scope: "col", text: "nearest now" }))),
    make("tbody", {}, ...rows));
}
