// What the server holds, as far as this tab knows it. Data flows one way: an operation goes to the server, its answer
// changes what is here, and whoever listens draws what changed.

import { say, toast } from "./dom.js";

// What is found by a name of the file holds those names alone: a group may be called "constructor".
const table = (found = {}) => Object.assign(Object.create(null), found);

export const state = {
  version: 0, file: "", domain: "", order: [], groups: table(), excluded: [], undo: null, redo: null, unsaved: false,
  unkept: null, model: null, disk: null, notes: [],
  findings: { number: 0, version: 0, file: [], groups: table(), cards: table(), compared: "" },
  places: table(), map: 0, images: { number: 0, groups: table() }, gone: false,
};

const listeners = [];
export const listen = (listener) => listeners.push(listener);

// Where each template is, since there may be thousands: group -> text -> template, and text -> group, which may be old.
const inside = new Map(), homes = new Map();

export const templateOf = (id, text) => inside.get(id)?.get(text);
export function groupOf(text) {
  const id = homes.get(text);
  return templateOf(id, text) ? id : undefined;
}

function index(id) {
  const group = state.groups[id];
  if (!group) { inside.delete(id); return; }
  inside.set(id, new Map(group.templates.map((one) => [one.text, one])));
  for (const one of group.templates) homes.set(one.text, id);
  group.seen = group.templates.filter((one) => one.reviewed).length;
}

export const total = (of) => state.order.reduce((sum, id) => sum + of(state.groups[id]), 0);
export const findingsOf = (text) => state.findings.cards[text] ?? [];
export const nameOf = (id) => state.groups[id]?.title || id;

// Take an answer in; listeners hear of the groups that changed, and of what else did.
function take(answer) {
  const before = { order: state.order, findings: state.findings, map: state.map };
  const changed = { groups: new Set(), order: false, excluded: false, findings: false, map: false, images: false };
  if (answer.whole === true) {
    for (const id of [...state.order, ...answer.order]) changed.groups.add(id);
    state.groups = table(answer.groups);
    Object.assign(state, { model: answer.model, domain: answer.domain, name: answer.name, class_kind: answer.class_kind });
  } else if (answer.whole === false) {
    for (const [id, group] of Object.entries(answer.groups)) {
      state.groups[id] = group;
      changed.groups.add(id);
    }
  }
  if (answer.order) {
    changed.order = answer.whole === true || answer.order.join() !== before.order.join();
    state.order = answer.order;
    for (const id of Object.keys(state.groups).filter((one) => !answer.order.includes(one))) {
      delete state.groups[id];
      inside.delete(id);
    }
  }
  for (const id of changed.groups) index(id);
  if (answer.excluded) { state.excluded = answer.excluded; changed.excluded = true; }
  if (answer.findings) {
    const { groups, cards } = answer.findings;
    state.findings = { ...answer.findings, groups: table(groups), cards: table(cards) };
    changed.findings = true;
    if (answer.findings.places) {
      state.places = table(answer.findings.places);
      state.map = answer.findings.map_number;
      changed.map = true;
    }
  }
  if (answer.images) {
    state.images = { ...answer.images, groups: table(answer.images.groups) };
    changed.images = true;
  }
  const told = state.notes.length;
  for (const key of ["version", "file", "undo", "redo", "unsaved", "unkept", "disk", "notes", "line"]) {
    if (key in answer) state[key] = answer[key];
  }
  for (const note of state.notes.slice(told)) toast(note);
  for (const listener of listeners) listener(changed);
}

const known = () => ({
  version: state.version, findings: state.findings.number, map: state.map, images: state.images.number,
});

async function fetched(path, body) {
  const how = body === undefined ? {} : {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
  };
  const response = await fetch(path, { ...how, cache: "no-store" });
  if (!response.ok) throw new Error(`the server answered ${response.status}`);
  return response.json();
}

// Ask something that changes nothing; a refusal is shown, unless `quiet`, and gives null.
export async function ask(path, body, quiet = false) {
  try {
    const answer = await fetched(path, body);
    if (!answer.refused) return answer;
    if (!quiet) toast(answer.refused.error, answer.refused.hint);
  } catch (error) {
    if (!quiet) toast("No answer.", error.message);
  }
  return null;
}

// One after the other, each with the version that the answer to the one before gave.
let queue = Promise.resolve();
function inTurn(path, more) {
  queue = queue.then(async () => {
    try {
      const answer = await fetched(path, { ...known(), ...more });
      take(answer);
      return answer;
    } catch (error) {
      return { refused: { error: "The server does not answer; nothing was done.", hint: error.message } };
    }
  });
  return queue;
}

// All that was asked so far has its answer.
export const answered = () => queue;

// Do an operation; true if it was done. A refusal is shown, unless `quiet`, which gets it instead.
export async function act(operation, { quiet, told } = {}) {
  const answer = await inTurn("api/do", { operation });
  if (answer.refused) {
    if (quiet) quiet(answer.refused);
    else toast(answer.refused.error, answer.refused.hint);
    return false;
  }
  say(told ?? answer.undo ?? "done");
  return true;
}

export async function travel(way) {
  const label = way === "undo" ? state.undo : state.redo;
  const answer = await inTurn(`api/${way}`, {});
  if (answer.refused) toast(answer.refused.error, answer.refused.hint);
  else say(`${way === "undo" ? "Undone" : "Done again"}: ${label}`);
}

export async function settle(choice) {
  const answer = await inTurn("api/settle", { choice });
  if (answer.refused) toast(answer.refused.error, answer.refused.hint);
  return !answer.refused;
}

export async function save() {
  const answer = await inTurn("api/save", {});
  if (answer.refused) {
    toast(answer.refused.error, answer.refused.hint);
    return false;
  }
  toast("Saved.", answer.notice ?? "mocoop-groups undo takes it back.");
  return true;
}

// What other tabs, the checks and other programs do, as it happens.
export async function follow() {
  take(await fetched("api/state"));
  for (;;) {
    try {
      const query = new URLSearchParams(known());
      const answer = await fetched(`api/news?${query}`);
      state.gone = false;
      // An operation of this tab may have been answered meanwhile: what is older than that is no news.
      if (answer.version >= state.version) take(answer.version === state.version ? bare(answer) : answer);
    } catch {
      if (!state.gone) {
        state.gone = true;
        for (const listener of listeners) listener({ groups: new Set() });
      }
      await new Promise((done) => { setTimeout(done, 1000); });
    }
  }
}

// An answer for a version that this tab has by now: its groups are known already.
function bare(answer) {
  const { groups, whole, order, excluded, ...rest } = answer;
  return rest;
}
