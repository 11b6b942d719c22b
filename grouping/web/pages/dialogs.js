// Everything that is asked in a dialog: groups' names, where to move, what to merge, what a save would change.

import { NEW, add, choose, focusGroup, focusOn, hueOf } from "./board.js";
import { button, byId, count, make, once, toast, words } from "./dom.js";
import { act, answered, ask, groupOf, nameOf, save, settle, state } from "./store.js";

// Show a modal dialog; `build(close)` gives its content. It is removed when it closes, and the focus goes back.
function modal(title, build, properties = {}) {
  const before = document.activeElement;
  const heading = make("h2", { id: "dialog-title" }, title);
  const shown = make("dialog", { "aria-labelledby": "dialog-title", ...properties });
  const close = (keep = false) => {
    shown.close();
    shown.remove();
    if (!keep && before?.isConnected) before.focus();
  };
  shown.append(heading, ...build(close));
  shown.addEventListener("cancel", (event) => { event.preventDefault(); close(); });
  const since = performance.now(); // a double click that opened it ends on what lies around it: that closes nothing
  shown.addEventListener("click", (event) => { if (event.target === shown && event.timeStamp - since > 500) close(); });
  document.body.append(shown);
  shown.showModal();
  shown.querySelector("[autofocus]")?.focus();
  return { shown, close };
}

const row = (...buttons) => make("div", { class: "row end" }, ...buttons);

function input(label, value, properties = {}) {
  const typed = make("input", { type: "text", autocomplete: "off", ...properties });
  typed.value = value ?? "";
  return { typed, shown: make("label", { class: "field" }, make("span", {}, label), typed) };
}

const slug = (text) => text.normalize("NFKD").toLowerCase().replace(/[^a-z0-9]+/g, "_").replace(/^_+|_+$/g, "")
  .slice(0, 60);

function freeSlug(title) {
  const base = slug(title) || "group";
  let found = base, number = 2;
  while (state.order.includes(found)) found = `${base}-${number++}`;
  return found;
}

// Title and id of a group; the id follows the title until somebody types one.
function names(title, id, given = {}) {
  const titled = input("Title", title, { autofocus: true, maxlength: 80, ...given });
  const named = input("Id (names the expert in a trained run)", id, { maxlength: 64, spellcheck: "false" });
  let free = !id;
  titled.typed.addEventListener("input", () => { if (free) named.typed.value = freeSlug(titled.typed.value); });
  named.typed.addEventListener("input", () => { free = false; });
  return { title: titled, id: named };
}

const listed = (texts) => make("ul", { class: "listed" },
  ...texts.slice(0, 8).map((text) => make("li", {}, make("bdi", {}, ...words(text)))),
  ...(texts.length > 8 ? [make("li", { class: "hint" }, `and ${texts.length - 8} more`)] : []));

function onEnter(shown, act_) {
  shown.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.target.tagName === "INPUT" && !event.isComposing) {
      event.preventDefault();
      act_();
    }
  });
}

// A dialog whose main button does one operation; a refusal is shown in it.
function asking(title, verb, content, operation, done = () => {}) {
  const refused = make("p", { class: "error", role: "alert" });
  const { shown, close } = modal(title, (end) => [...content, refused,
    row(button("Cancel", () => end()), button(verb, () => enter(), { class: "main" }))]);
  const enter = once(async () => {
    const wanted = operation();
    if (wanted.new === "") {
      refused.textContent = "Give the new group a title.";
      return;
    }
    const fine = await act(wanted, { quiet: (why) => {
      refused.textContent = `${why.error}. ${why.hint}`;
    } });
    if (fine) {
      close(true);
      done(wanted);
    }
  });
  onEnter(shown, enter);
  return shown;
}

// ---- groups

export function newGroup(texts) {
  const inside = texts.filter((text) => groupOf(text));
  const named = names("", "");
  const first = input("First template", "", { placeholder: "a photo of a {}." });
  const content = [inside.length ? listed(inside) : first.shown, named.title.shown, named.id.shown];
  const homes = new Set(inside.map(groupOf));
  asking("New group", "Make it", content, () => {
    const made = { new: named.id.typed.value.trim(), title: named.title.typed.value.trim() || null };
    if (!inside.length) return { operation: "add-group", texts: [first.typed.value.trim()], ...made };
    if (homes.size === 1) return { operation: "split", group: [...homes][0], texts: inside, ...made };
    return { operation: "move-to-new", texts: inside, ...made };
  }, (wanted) => { if (inside.length) { choose(inside); focusOn(inside[0]); } else focusGroup(wanted.new); });
  return false;
}

export function rename(id) {
  const group = state.groups[id];
  const named = names(group.title, id);
  const about = input("Which images it is for", group.description);
  asking(`Rename ${nameOf(id)}`, "Rename", [named.title.shown, about.shown, named.id.shown], () => ({
    operation: "rename", group: id, title: named.title.typed.value.trim(), id: named.id.typed.value.trim(),
    description: about.typed.value.trim(),
  }), (wanted) => focusGroup(wanted.id));
}

export function merge(id) {
  chooseGroup(`Merge ${nameOf(id)} into`, state.order.filter((one) => one !== id), async (to) => {
    if (await act({ operation: "merge", groups: [id, to], to })) focusGroup(to);
  });
}

export function split(id) {
  const texts = state.groups[id].templates.map((one) => one.text);
  const boxes = texts.map((text) => {
    const box = make("input", { type: "checkbox" });
    return { text, box, shown: make("label", { class: "check" }, box, make("bdi", {}, ...words(text))) };
  });
  const named = names("", "");
  const shown = asking(`Split ${nameOf(id)}`, "Split off", [
    make("p", { class: "hint" }, "Choose the templates of the new group."),
    make("div", { class: "choices" }, ...boxes.map((one) => one.shown)), named.title.shown, named.id.shown,
    make("p", { class: "hint" }, "Or let what they mean decide: ", ...[2, 3, 4].filter((n) => n < texts.length)
      .flatMap((n) => [button(`in ${n}`, () => byMeaning(n)), " "])),
  ], () => ({
    operation: "split", group: id, texts: boxes.filter((one) => one.box.checked).map((one) => one.text),
    new: named.id.typed.value.trim(), title: named.title.typed.value.trim() || null,
  }), (wanted) => focusGroup(wanted.new));
  const byMeaning = async (number) => {
    const answer = await ask("api/parts", { group: id, count: number });
    if (!answer) return;
    if (await act({ operation: "split-into", group: id, parts: answer.parts })) {
      shown.close();
      shown.remove();
      focusGroup(id);
    }
  };
}

export function excludeGroup(id) {
  const texts = state.groups[id].templates.map((one) => one.text);
  asking(`Exclude ${nameOf(id)}?`, "Exclude", [
    make("p", {}, `${count(texts.length, "template")} will not come back when groups are made anew.`), listed(texts),
  ], () => ({ operation: "exclude-group", group: id }));
}

export function groupMenu(id, anchor) {
  if (!state.groups[id]) return;
  const group = state.groups[id], texts = group.templates.map((one) => one.text);
  const seen = group.templates.every((one) => one.reviewed);
  const items = [
    ["Rename …", () => rename(id)],
    ["Add a template", () => add(id)],
    ["More like these …", () => more(texts, id)],
    [seen ? "Mark as not reviewed" : "Mark as reviewed", () => act({ operation: "review", texts, on: !seen })],
    [group.locked ? "Unlock" : "Lock", () => act({ operation: "lock-group", group: id, on: !group.locked })],
    ["Choose all its templates", () => choose(texts)],
    ["Split …", () => split(id), texts.length < 2],
    ["Merge into …", () => merge(id), state.order.length < 2],
    ["Exclude the group …", () => excludeGroup(id), state.order.length < 2],
  ];
  const { shown } = modal(nameOf(id), (close) => items.map(([text, act_, off]) =>
    button(text, () => { close(); act_(); }, { disabled: off })), { class: "menu" });
  const at = anchor.getBoundingClientRect();
  const room = document.documentElement;
  shown.style.left = `${Math.max(8, Math.min(at.left, room.clientWidth - shown.offsetWidth - 8))}px`;
  shown.style.top = `${Math.max(8, Math.min(at.bottom + 4, room.clientHeight - shown.offsetHeight - 8))}px`;
  arrows(shown);
}

function arrows(shown) {
  shown.addEventListener("keydown", (event) => {
    const way = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!way) return;
    event.preventDefault();
    const inside = [...shown.querySelectorAll("button:not([disabled]):not([hidden])")];
    inside.at((inside.indexOf(document.activeElement) + way + inside.length) % inside.length)?.focus();
  });
}

// ---- where to

function chooseGroup(title, ids, then, extra = []) {
  const { shown, close } = modal(title, (end) => {
    const sought = input("Find a group", "", { type: "search", autofocus: true });
    const buttons = [...ids.map((id) => [id, nameOf(id)]), ...extra].map(([id, name]) => {
      const made = button("", () => { end(true); then(id); }, { class: "group" });
      made.style.setProperty("--hue", hueOf(id));
      made.append(make("bdi", {}, name), make("small", {}, state.groups[id] ? ` ${id}` : ""));
      made.dataset.name = `${name} ${id}`.toLowerCase();
      return made;
    });
    sought.typed.addEventListener("input", () => {
      for (const one of buttons) one.hidden = !one.dataset.name.includes(sought.typed.value.trim().toLowerCase());
    });
    sought.typed.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.isComposing) return;
      event.preventDefault(); // else it would press what has the focus once the dialog has closed, too
      buttons.find((one) => !one.hidden)?.click();
    });
    return [sought.shown, make("div", { class: "groups" }, ...buttons), row(button("Cancel", () => end()))];
  });
  arrows(shown);
  return close;
}

export function moveTo(texts, putDown) {
  const homes = new Set(texts.map(groupOf));
  const verb = texts.some(groupOf) ? "Move" : "Restore";
  chooseGroup(`${verb} ${count(texts.length, "template")} to`, state.order.filter((id) => homes.size > 1 || !homes.has(id)),
    (id) => putDown(texts, id), [[NEW, "A new group …"]]);
}

// ---- more like this

export async function more(texts, id) {
  const waiting = make("p", { class: "hint", role: "status" }, "Looking in the bank of templates …");
  const found = make("ul", { class: "found" });
  modal("More like this", (close) => [
    make("p", { class: "hint" }, `They go to ${nameOf(id)}.`), waiting, found,
    row(state.model && button(`Ask ${state.model}`, (event) => write(event.target), { id: "ask-model" }),
      button("Done", () => close(), { autofocus: true })),
  ]);
  const write = async (asked) => {
    asked.disabled = true;
    waiting.textContent = `Waiting for ${state.model} …`;
    const written = await ask("api/write", { group: id });
    waiting.textContent = written && !written.templates.length ? "It wrote nothing that is not here already." : "";
    if (written) list(written.templates);
    asked.disabled = false;
  };
  const answer = await ask("api/more", { texts });
  waiting.textContent = !answer ? "There was no answer."
    : answer.templates.length ? "" : "The bank has nothing that is not here already.";
  list(answer?.templates ?? []);
  function list(templates) {
    found.prepend(...templates.map(suggested));
  }
  function suggested(one) {
    const item = make("li", {}, make("span", {}, make("bdi", {}, ...words(one.text)), make("small", {}, ` ${one.aspect}`)));
    item.append(button("Add", async (event) => {
      event.target.disabled = true;
      const done = await act({ operation: "add", texts: [one.text], to: id });
      event.target.textContent = done ? "Added" : "Not added";
    }, { "aria-label": `Add ${one.text}` }));
    return item;
  }
}

// ---- saving, and the file on disk

const changes = (all) => (all.length
  ? make("ul", { class: "changes" }, ...all.map((one) => make("li", { class: one.kind }, make("bdi", {}, one.sentence))))
  : make("p", { class: "hint" }, "Nothing."));

export async function saveDialog() {
  if (state.disk) { conflict(); return; }
  if (document.activeElement.matches("textarea")) document.activeElement.blur(); // a note is entered by that
  await answered();
  const found = await ask("api/difference");
  if (!found || isOpen()) return;
  const errors = state.findings.file.concat(...Object.values(state.findings.groups), ...Object.values(state.findings.cards))
    .filter((one) => one.severity === "error");
  modal("Save these changes?", (close) => [
    make("p", { class: "hint" }, make("bdi", {}, state.file)),
    changes(found.mine),
    ...errors.map((one) => make("p", { class: "error" }, `${one.code} ${one.message}`)),
    row(button("Not yet", () => close()), button("Save", once(async () => { if (await save()) close(); }),
      { class: "main", autofocus: true, id: "save-now", disabled: !state.unsaved })),
  ]);
}

export async function conflict() {
  const found = await ask("api/difference");
  if (!found || !state.disk || isOpen()) return;
  const readable = state.disk.kind === "changed";
  const pick = (close, choice, said) => once(async () => {
    if (await settle(choice)) { close(); toast(said, "Undo or redo brings the other version back."); }
  });
  modal("The file was changed", (close) => [
    make("p", {}, state.disk.message, ". Nothing was overwritten: choose what to go on with."),
    make("div", { class: "two" },
      make("section", {}, make("h3", {}, "In the file now"), readable ? changes(found.theirs)
        : make("p", { class: "hint" }, "no valid group file")),
      make("section", {}, make("h3", {}, "Your unsaved changes"), changes(found.mine))),
    row(button("Decide later", () => close()),
      readable && button("Take the file's", pick(close, "theirs", "This is what the file holds."), { id: "theirs" }),
      button("Keep mine", pick(close, "mine", "This is your version; a save writes it over the file."), { id: "mine" }),
      readable && state.disk.can_join && button("Mine on top of it",
        pick(close, "both", "Your changes were done once more on the file."), { class: "main", id: "both" })),
  ], { class: "wide" });
}

// ---- pictures and help

export function showImage(image, id) {
  modal(image.name, (close) => [
    make("img", { src: `api/image/${image.number}`, alt: "", class: "large" }),
    make("p", {}, `${Math.round(100 * image.share)} % for ${nameOf(id)}`),
    row(button("Close", () => close(), { autofocus: true })),
  ]);
}

const KEYS = [
  ["Arrows, Home, End", "go from card to card, from group to group"],
  ["Space", "pick a card up; arrows choose the group, Space or Enter puts it down, Escape lets it be"],
  ["Enter, e", "edit a card's words; on a group's name: its menu"],
  ["m", "move to a group by its name"],
  ["x", "choose this card too; what follows is then done with all that are chosen"],
  ["Delete", "exclude; in Excluded, Space picks up what is to be restored"],
  ["i", "make it the init: its words start the group's expert"],
  ["r", "reviewed, or not"],
  ["l", "lock, or unlock"],
  ["n", "write a note"],
  ["a", "add a template to this group"],
  ["g", "more like this, from the bank"],
  ["/", "search"],
  ["Ctrl+Z, Ctrl+Y", "undo, redo"],
  ["Ctrl+S", "look at what changed, and save"],
  ["Escape", "choose nothing; leave a field"],
  ["?", "this list"],
];

export function help() {
  modal("Keys", (close) => [
    make("p", { class: "hint" }, "With the mouse: drag cards; click one to choose it, Ctrl-click for more; double-click to edit."),
    make("dl", { class: "keys" }, ...KEYS.flatMap(([key, what]) => [make("dt", {}, make("kbd", {}, key)), make("dd", {}, what)])),
    row(button("Close", () => close(), { autofocus: true })),
  ], { class: "wide", id: "keys" });
}

export const isOpen = () => Boolean(document.querySelector("dialog[open]"));
export const banners = byId("banners");
