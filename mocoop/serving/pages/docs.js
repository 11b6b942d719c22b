// openapi.json as a page: paths with their answers, then the shapes. All of it is put in as text.

function element(name, text, ...children) {
  const made = document.createElement(name);
  if (text !== null) made.textContent = text;
  made.append(...children);
  return made;
}

const shapeOf = (schema) => {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.anyOf) return schema.anyOf.map(shapeOf).join(" or ");
  return schema.type === "array" ? `list of ${shapeOf(schema.items)}` : schema.type ?? "anything";
};

const api = await (await fetch("openapi.json")).json();
const paths = document.getElementById("paths");
for (const [path, methods] of Object.entries(api.paths)) {
  for (const [method, what] of Object.entries(methods)) {
    paths.append(element("h2", `${method.toUpperCase()} ${path}`), element("p", what.description ?? what.summary));
    const kinds = Object.keys(what.requestBody?.content ?? {});
    if (kinds.length) paths.append(element("p", `body: ${kinds.join(", or ")}`));
    for (const one of what.parameters ?? []) {
      paths.append(element("p", `?${one.name}= (${shapeOf(one.schema)}, ${one.schema.default} if left out)`));
    }
    const rows = Object.entries(what.responses).map(([status, answer]) => element("tr", null,
      element("td", status), element("td", answer.description),
      element("td", shapeOf(answer.content?.["application/json"]?.schema))));
    paths.append(element("table", null, ...rows));
  }
}
const schemas = document.getElementById("schemas");
for (const [name, schema] of Object.entries(api.components?.schemas ?? {})) {
  const rows = Object.entries(schema.properties ?? {}).map(([key, one]) =>
    element("tr", null, element("td", key), element("td", shapeOf(one))));
  schemas.append(element("h3", name), element("p", schema.description ?? ""), element("table", null, ...rows));
}
