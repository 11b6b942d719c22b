// Elements made by calls alone: whatever a file holds goes in as text, and is never read as HTML.

const SVG = "http://www.w3.org/2000/svg";

// make("p", {class: "small", title: "..."}, "text", element): properties are attributes; `on...` are listeners.
export function make(name, properties = {}, ...children) {
  return filled(document.createElement(name), properties, children);
}

export function drawing(name, properties = {}, ...children) {
  return filled(document.createElementNS(SVG, name), properties, children);
}

function filled(made, properties, children) {
  for (const [key, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

export const byId = (id) => document.getElementById(id);

export function button(text, act, properties = {}) {
  return make("button", { type: "button", onclick: act, ...properties }, text);
}

// A template's text, with its slot marked; the text itself stays whole for copying and reading aloud.
export function words(text) {
  const place = text.indexOf("{}");
  if (place < 0) return [text];
  return [text.slice(0, place), make("span", { class: "slot" }, "{}"), text.slice(place + 2)];
}

export const count = (number, one, many = `${one}s`) => `${number.toLocaleString("en")} ${number === 1 ? one : many}`;

export function say(text) {
  const live = byId("live");
  live.textContent = "";
  requestAnimationFrame(() => { live.textContent = text; });
}

let hiding;
export function toast(text, hint = "") {
  const shown = byId("toast");
  shown.replaceChildren(make("strong", {}, text), hint ? ` ${hint}` : "", button("×", () => { shown.hidden = true; },
    { "aria-label": "Close this message" }));
  shown.hidden = false;
  clearTimeout(hiding);
  hiding = setTimeout(() => { shown.hidden = true; }, 12000);
}

// Until it is done, whoever asks again, as by a double click, asks for nothing.
export function once(act) {
  let busy = false;
  return async (...given) => {
    if (busy) return;
    busy = true;
    try { await act(...given); } finally { busy = false; }
  };
}

export function later(act, wait) {
  let timer;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => act(...given), wait);
  };
}
