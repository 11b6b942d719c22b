// The content of the page: out of the file itself, or from the server it came from; and what follows from it.
// B images are numbers from 0 in the order of the data, C classes and E experts too.

export const content = {};

export async function loadContent() {
  const inside = document.getElementById("content");
  Object.assign(content, inside ? JSON.parse(inside.textContent) : await ask("api/data"));
  content.firsts = content.images.gate?.map((weights) => largest(weights)) ?? null;
}

async function ask(address, body) {
  const sent = body && { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  const response = await fetch(address, sent).catch(() => { throw new Error("the server has ended: start it again"); });
  const answer = await response.json();
  if (!response.ok) throw new Error([answer.error, answer.hint].filter(Boolean).join(": "));
  return answer;
}

/** The place of the largest of some numbers; the first of equals. */
export function largest(numbers) {
  return numbers.reduce((best, number, place) => (number > numbers[best] ? place : best), 0);
}

/** Where an image's picture is, "small" or "large"; null if there is none here. */
export function pictureOf(image, size) {
  if (!content.images.picture[image]) return null;
  if (content.pictures) return content.pictures[image] ?? null;
  return `api/picture/${image}/${size}`;
}

/** The corrected class of an image, as a place among the choices; undefined if it was not corrected. */
export const correctedOf = (image) => content.corrections?.labels[image];

/** The name of an image's class: the corrected one, if there is one. */
export function className(image) {
  const corrected = correctedOf(image);
  return corrected === undefined ? content.classes[content.images.label[image]] : content.corrections.choices[corrected];
}

/** An image's class as a place among the classes of the answers, corrected; null for a class that is none of them. */
export function classOf(image) {
  const corrected = correctedOf(image);
  return corrected === undefined ? content.images.label[image] : content.corrections.classes[corrected];
}

export const isRight = (image) => classOf(image) === content.images.guess[image];

export const chanceOf = (image) => content.images.top[image][0][1];

/** Correct a label; the answer has all corrections. */
export async function correct(image, label) {
  content.corrections = await ask("api/label", { image, label });
}

/** Look whether labels were corrected elsewhere, as in another tab. */
export async function correctedElsewhere() {
  const before = JSON.stringify(content.corrections);
  content.corrections = await ask("api/labels");
  return JSON.stringify(content.corrections) !== before;
}

/** Experts with a weight for an image, the largest first: [place, weight]. */
export function expertsOf(image) {
  const weights = content.images.gate?.[image] ?? [];
  return weights.map((weight, place) => [place, weight]).filter(([, weight]) => weight > 0).sort((a, b) => b[1] - a[1]);
}

/** How far two gates are apart: half the sum of their differences, from 0 to 1. */
export function gap(image) {
  const { gate, reference } = content.images;
  if (!gate || !reference) return 0;
  return gate[image].reduce((sum, weight, place) => sum + Math.abs(weight - reference[image][place]), 0) / 2;
}

export const allImages = () => content.images.name.keys();
