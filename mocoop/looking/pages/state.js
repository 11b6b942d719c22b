// What is looked at: which panel, which images, which of them in full. It is kept in the address behind the #, so that a
// link keeps it and the browser's back button goes back.

const PARTS = ["view", "class", "said", "expert", "answer", "sure", "corrected", "search", "sort", "image", "measure"];
const heardBy = [];

export const state = Object.fromEntries(PARTS.map((part) => [part, ""]));
export const FILTERS = ["class", "said", "expert", "answer", "sure", "corrected", "search"];

function readAddress() {
  const found = new URLSearchParams(location.hash.slice(1));
  for (const part of PARTS) state[part] = found.get(part) ?? "";
}

function address() {
  const kept = new URLSearchParams();
  for (const part of PARTS) if (state[part] !== "") kept.set(part, state[part]);
  return `#${kept}`;
}

function tell() {
  for (const heard of heardBy) heard(state);
}

/** Change some parts; `quietly` leaves no step for the back button, as while typing. */
export function change(parts, quietly = false) {
  Object.assign(state, parts);
  if (address() === (location.hash || "#")) return;
  if (quietly) history.replaceState(null, "", address());
  else history.pushState(null, "", address());
  tell();
}

/** Show the images of some filters, and no others. */
export function openImages(filters) {
  change({ ...Object.fromEntries(FILTERS.map((part) => [part, ""])), ...filters, view: "", image: "" });
  scrollTo(0, 0);
}

export function onChange(heard) {
  heardBy.push(heard);
}

export function startState() {
  for (const event of ["hashchange", "popstate"]) addEventListener(event, () => { readAddress(); tell(); });
  readAddress();
  tell();
}
