// Small line charts, each with its table: what the eye reads off the lines, a screen reader reads off the cells.

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 360, HEIGHT = 190, LEFT = 44, RIGHT = 8, TOP = 10, BOTTOM = 46;

function element(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function table(heads, rows) {
  const made = document.createElement("table");
  const line = (cells, kind, section) => {
    const row = section.insertRow();
    for (const cell of cells) {
      const box = document.createElement(kind);
      if (kind === "th") box.scope = "col";
      box.textContent = cell;
      row.append(box);
    }
  };
  line(heads, "th", made.createTHead());
  const body = made.createTBody();
  for (const row of rows) line(row, "td", body);
  return made;
}

// lines: [{ name, kind: "mean" | "worst", values: [number | null, …] }], one value per label.
export function chart(host, { title, labels, lines, unit, heads, rows, zero }) {
  host.replaceChildren();
  const values = lines.flatMap((line) => line.values).filter((value) => Number.isFinite(value));
  if (!values.length) return;
  const low = Math.min(...values, ...(zero ? [0] : [])), high = Math.max(...values, ...(zero ? [0] : []));
  const margin = (high - low || 1) * 0.08;
  const y = (value) => TOP + ((high + margin - value) / (high - low + 2 * margin)) * (HEIGHT - TOP - BOTTOM);
  const x = (index) => LEFT + ((WIDTH - LEFT - RIGHT) * (index + 0.5)) / labels.length;
  const drawn = element("svg", { class: "chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": title });
  for (const value of [low, (low + high) / 2, high]) {
    drawn.append(element("line", { class: "axis", x1: LEFT, x2: WIDTH - RIGHT, y1: y(value), y2: y(value) }));
    drawn.append(element("text", { x: LEFT - 5, y: y(value) + 4, "text-anchor": "end" }, value.toFixed(1)));
  }
  if (zero) drawn.append(element("line", { class: "zero", x1: LEFT, x2: WIDTH - RIGHT, y1: y(0), y2: y(0) }));
  const every = Math.ceil(labels.length / 9);
  labels.forEach((label, index) => {
    if (index % every) return;
    const at = `translate(${x(index)} ${HEIGHT - BOTTOM + 12}) rotate(-35)`;
    drawn.append(element("text", { transform: at, "text-anchor": "end" }, label));
  });
  // A line joins the strengths of one degradation: between two of them there is nothing.
  const kinds = labels.map((label) => label.split(" ")[0]);
  for (const line of lines) {
    const points = line.values.map((value, index) => [x(index), value]).filter(([, value]) => Number.isFinite(value));
    for (const kind of new Set(kinds)) {
      const own = line.values.map((value, index) => [x(index), value, kinds[index]])
        .filter(([, value, one]) => one === kind && Number.isFinite(value));
      const path = own.map(([at, value]) => `${at},${y(value)}`).join(" ");
      drawn.append(element("polyline", { class: line.kind, points: path }));
    }
    for (const [at, value] of points) {
      drawn.append(element("circle", { class: `${line.kind}-dot`, cx: at, cy: y(value), r: 2.5 }));
    }
  }
  const legend = document.createElement("p");
  legend.textContent = `${title}, ${unit}. ${lines.map((line) => line.name).join("; ")}.`;
  const all = document.createElement("details");
  const summary = document.createElement("summary");
  summary.textContent = "As a table";
  all.append(summary, table(heads, rows));
  host.append(drawn, legend, all);
}

export { table };
