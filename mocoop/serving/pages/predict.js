// Pictures dropped, pasted or chosen are sent to /predict; whatever comes back is put in as text, never as HTML.

const byId = (id) => document.getElementById(id);

function element(name, text, ...children) {
  const made = document.createElement(name);
  if (text !== null) made.textContent = text;
  made.append(...children);
  return made;
}

const percent = (share) => `${(100 * share).toFixed(1)} %`;

function described(prediction, file) {
  const picture = document.createElement("img");
  picture.src = URL.createObjectURL(file);
  picture.alt = "";
  picture.onload = picture.onerror = () => URL.revokeObjectURL(picture.src);
  const said = element("div", null, element("h2", file.name));
  if (prediction.error) {
    said.append(Object.assign(element("p", prediction.error), { className: "error" }));
    return element("article", null, picture, said);
  }
  const rows = prediction.top_k.map((guess) => {
    const meter = Object.assign(document.createElement("meter"), { value: guess.probability });
    return element("tr", null, element("td", guess.class), element("td", percent(guess.probability)),
      element("td", null, meter));
  });
  if (prediction.unsure) said.append(element("p", "not sure"));
  said.append(element("table", null, ...rows));
  if (prediction.set) said.append(element("p", `cannot be ruled out: ${prediction.set.join(", ")}`));
  if (prediction.experts.length) {
    const experts = prediction.experts.map((one) => `${one.id} ${percent(one.weight)}`).join(", ");
    said.append(element("p", `experts: ${experts}`));
  }
  return element("article", null, picture, said);
}

async function ask(files) {
  const pictures = [...files];
  if (!pictures.length) return;
  byId("message").textContent = `asking about ${pictures.length} …`;
  const form = new FormData();
  for (const file of pictures) form.append("images", file, file.name);
  try {
    const response = await fetch("predict", { method: "POST", body: form });
    const answer = await response.json();
    byId("message").textContent = answer.error ?? "";
    const found = answer.predictions ?? [];
    byId("answers").prepend(...found.map((prediction, place) => described(prediction, pictures[place])));
  } catch (error) {
    byId("message").textContent = `no answer: ${error.message}`;
  }
}

const drop = byId("drop");
for (const name of ["dragenter", "dragover"]) {
  drop.addEventListener(name, (event) => { event.preventDefault(); drop.classList.add("over"); });
}
drop.addEventListener("dragleave", () => drop.classList.remove("over"));
drop.addEventListener("drop", (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  ask(event.dataTransfer.files);
});
byId("files").addEventListener("change", (event) => ask(event.target.files));
document.addEventListener("paste", (event) => ask(event.clipboardData.files));

const about = await (await fetch("model")).json();
const experts = about.experts.length > 1 ? `, ${about.experts.length} experts` : "";
byId("about").textContent = `${about.classes.length} classes${experts}. ${about.notes.join(" ")}`;
