// Elements are made here and nowhere else; whatever is put into them is text, never HTML.

/**
 * An element. Of its properties `class` and `text` are what they say, `on` has listeners by event, `style` has
 * properties of its style; all others are attributes, left out if null or false.
 */
export function make(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (value === null || value === false || value === undefined) continue;
    if (key === "class") made.className = value;
    else if (key === "text") made.textContent = value;
    else if (key === "on") for (const [event, heard] of Object.entries(value)) made.addEventListener(event, heard);
    else if (key === "style") for (const [one, set] of Object.entries(value)) made.style.setProperty(one, set);
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

export const byId = (id) => document.getElementById(id);

export function percent(share, digits = 0) {
  return `${(100 * share).toFixed(digits)} %`;
}

/** "1 image", "12 images"; a word ending in s takes es. */
export function counted(number, word) {
  const plural = word.endsWith("s") ? `${word}es` : `${word}s`;
  return `${number.toLocaleString("en")} ${number === 1 ? word : plural}`;
}

/** A name that may be broken after its underscores, hyphens and slashes. */
export function breakable(text) {
  const parts = text.split(/(?<=[_/-])/);
  return make("span", {}, ...parts.flatMap((part, place) => (place ? [make("wbr"), part] : [part])));
}

/** The colour of an expert, by its place. */
export const colourOf = (expert) => `var(--expert-${expert % 8})`;

/** A choice from a list: a label and a select, whose first entry stands for all. */
export function choice(label, name, entries, chosen, heard) {
  const select = make("select", { name, on: { change: () => heard(select.value) } });
  const known = entries.some(([value]) => value === chosen) ? entries : [...entries, [chosen, chosen]];
  for (const [value, text] of known) {
    const option = make("option", { value, text });
    option.selected = value === chosen;
    select.append(option);
  }
  return make("label", { class: chosen ? "filter set" : "filter" }, make("span", { text: label }), select);
}

/** Say something to whoever looks or listens. */
export function say(text) {
  const message = byId("message");
  message.textContent = text;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => { message.textContent = ""; }, 6000);
}
