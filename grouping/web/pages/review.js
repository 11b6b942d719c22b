// The page as a whole: its head, its banners, and what happens when it is left.

import "./drag.js";
import "./keys.js";
import { filter, goOn } from "./board.js";
import { conflict, help, saveDialog } from "./dialogs.js";
import { button, byId, count, later, make, toast } from "./dom.js";
import { isTyping } from "./editing.js";
import { follow, listen, state, total, travel } from "./store.js";

byId("undo").addEventListener("click", () => travel("undo"));
byId("redo").addEventListener("click", () => travel("redo"));
byId("save").addEventListener("click", () => saveDialog());
byId("help").addEventListener("click", () => help());

const refilter = later(() => filter(byId("search").value, byId("filter").value), 120);
byId("search").addEventListener("input", refilter);
byId("search").addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  byId("search").value = "";
  refilter();
});
byId("filter").addEventListener("change", refilter);

listen(() => {
  const seen = total((group) => group.seen), all = total((group) => group.templates.length);
  const file = state.file.split(/[\\/]/).at(-1);
  document.title = `${state.unsaved ? "• " : ""}${file}: review groups`;
  byId("name").replaceChildren(make("bdi", {}, file), " ", make("small", {}, make("bdi", {}, state.domain)));
  const errors = remarks("error"), warnings = remarks("warning");
  byId("progress").textContent = [`${seen} of ${count(all, "template")} reviewed`,
    count(state.order.length, "group"), errors ? count(errors, "error") : "", warnings ? count(warnings, "warning") : "",
    state.findings.version === state.version ? "" : "checking …"].filter(Boolean).join(" · ");
  for (const [id, told, verb] of [["undo", state.undo, "Undo"], ["redo", state.redo, "Redo"]]) {
    byId(id).disabled = told === null;
    byId(id).title = told ? `${verb}: ${told}` : `Nothing to ${verb.toLowerCase()}`;
  }
  byId("save").disabled = !state.unsaved && !state.disk;
  byId("save").textContent = state.unsaved || state.disk ? "Save …" : "Saved";
  drawBanners();
});

function remarks(severity) {
  const { file, groups, cards } = state.findings;
  return [file, ...Object.values(groups), ...Object.values(cards)].flat().filter((one) => one.severity === severity).length;
}

let drawn = "";
function drawBanners() {
  const key = JSON.stringify([state.gone, state.disk, state.unkept, state.findings.file]);
  if (key === drawn) return;
  drawn = key;
  const shown = [];
  if (state.gone) shown.push(make("p", { class: "banner error", role: "alert" },
    "The server does not answer. What you did is kept: start it again, with the same command, and go on there."));
  if (state.disk) shown.push(make("p", { class: "banner warning", role: "alert", id: "changed" }, `${state.disk.message}. Nothing was overwritten. `,
    button("Look at both …", () => conflict(), { id: "both-versions" })));
  if (state.unkept) shown.push(make("p", { class: "banner warning" }, state.unkept));
  for (const one of state.findings.file) shown.push(make("p", { class: `banner ${one.severity}` },
    make("strong", {}, one.code), ` ${one.message} (${one.hint})`));
  byId("banners").replaceChildren(...shown);
}

addEventListener("beforeunload", (event) => { if (state.unsaved || isTyping()) event.preventDefault(); });

// What stood half typed when an earlier page or server ended is typed once more.
let taken = false;
listen(() => {
  if (taken || !state.line || !state.order.length) return;
  taken = true;
  toast("What you were typing last time stands there again.");
  goOn(state.line);
});

follow().catch((error) => toast("The page could not be loaded.", error.message));
