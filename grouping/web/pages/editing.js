// Typing on the board: a card's words in place, and new templates at a column's end. The server says what the rules say
// while one types, and keeps what stands typed, so that a crash does not lose it.

import { button, later, make, say } from "./dom.js";
import { act, ask, groupOf } from "./store.js";
import { choose, columnOf, focusOn } from "./board.js";

const edited = new Set(); // cards
const fields = new Set(); // {shown, typed, prompt, about, close}: those in which one types
export const isEdited = (card) => edited.has(card);
const isBegun = (note) => note && note.value !== note.defaultValue;
export const isTyping = () => edited.size > 0 || document.querySelector(".adding textarea")?.value.trim()
  || isBegun(document.querySelector("#note"));

export const WORDS = "words:", ADD = "add:"; // the first is the prompt of the review at the terminal too

export const keepTyped = (prompt, about, typed) => fetch("api/typing", {
  method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ prompt, about, typed }),
}).catch(() => {});

// What stands typed inside an element that goes away: the fields are closed, and each is {prompt, about, typed}.
export function cutOff(gone) {
  const cut = [...fields].filter((one) => gone.contains(one.shown));
  return cut.map(({ close, prompt, about, typed }) => {
    close();
    return { prompt, about, typed: typed.value };
  });
}

// A field with what the rules say below it. `done(text)` gives null if it is entered, else why not.
function field(given, { label, prompt, about, insteadOf, done, close, ended, entered }) {
  const said = make("p", { class: "said", role: "status" });
  const typed = make("textarea", { rows: 2, "aria-label": label, spellcheck: "true", maxlength: 400 });
  typed.value = given;
  const tell = (found, tokens) => {
    said.replaceChildren(...found.map((one) => make("span", { class: one.severity, title: one.hint },
      one.code ? `${one.code} ${one.message}` : one.message, " ")), tokens ? `${tokens} tokens` : "");
  };
  let ending = false;
  const check = later(async () => {
    const text = typed.value.trim();
    keepTyped(prompt, about, typed.value === given ? "" : typed.value);
    if (!text || ending) return tell([]);
    const answer = await ask("api/check", { text, instead_of: insteadOf ?? null }, true);
    if (answer && !ending && typed.value.trim() === text) tell(answer.findings, answer.tokens);
    return undefined;
  }, 200);
  const enter = async () => {
    if (ending) return;
    ending = true;
    const text = typed.value.trim();
    if (!text || text === insteadOf) { leave(); return; }
    const refused = await done(text);
    if (refused) {
      ending = false;
      tell([{ severity: "error", message: `${refused.error} ${refused.hint ? `(${refused.hint})` : ""}` }]);
      say(refused.error);
      typed.focus();
      return;
    }
    keepTyped(prompt, about, "");
    open.close();
    entered(text);
  };
  const leave = () => {
    keepTyped(prompt, about, "");
    open.close();
    ended();
  };
  typed.addEventListener("input", check);
  typed.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.isComposing) { event.preventDefault(); enter(); }
    if (event.key === "Escape") { event.preventDefault(); leave(); }
  });
  const shown = make("div", { class: "typing" }, typed, said, make("div", { class: "row" },
    button("Done", enter, { class: "main" }), button("Cancel", leave)));
  const open = { shown, typed, prompt, about, close: () => {
    ending = true;
    fields.delete(open);
    close();
  } };
  fields.add(open);
  return open;
}

export function editCard(text, card, given = text) {
  if (!card || isEdited(card)) return;
  edited.add(card);
  const restore = () => {
    edited.delete(card);
    shown.remove();
    card.classList.remove("edited");
    if (groupOf(text) !== columnOf(card)) card.remove(); // it went elsewhere meanwhile
  };
  const { shown, typed } = field(given, {
    label: "Words of the template", prompt: WORDS, about: text, insteadOf: text,
    done: (to) => new Promise((told) => {
      act({ operation: "reword", text, to }, { quiet: told }).then((done) => done && told(null));
    }),
    close: restore,
    ended: () => focusOn(text),
    entered: (to) => { choose([to]); focusOn(to); },
  });
  card.classList.add("edited");
  card.append(shown);
  typed.focus();
  typed.setSelectionRange(typed.value.length, typed.value.length);
}

export function addHere(id, column, given = "") {
  if (column.adding) { column.adding.typed.focus(); return; }
  const end = () => {
    column.adding.shown.remove();
    column.adding = null;
    column.add.hidden = false;
  };
  const open = (words) => {
    const made = field(words, {
      label: "New template", prompt: ADD, about: id,
      done: (text) => new Promise((told) => {
        act({ operation: "add", texts: [text], to: id }, { quiet: told, told: `added ${text}` })
          .then((done) => done && told(null));
      }),
      close: end,
      ended: () => column.add.focus(),
      entered: () => addHere(id, column), // one more, as people have several
    });
    made.shown.classList.add("adding");
    column.add.hidden = true;
    column.add.before(made.shown);
    column.adding = made;
    made.typed.placeholder = "a photo of a {}.";
    made.typed.focus();
    made.typed.scrollIntoView({ block: "nearest" });
  };
  open(given);
}
