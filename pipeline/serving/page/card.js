// A model card's Markdown (headings, tables, lists, code, text) as elements; nothing of it becomes markup.

import { table } from "./charts.js";

export function render(host, text) {
  host.replaceChildren();
  const add = (name, content) => {
    const made = document.createElement(name);
    made.textContent = content.replaceAll("`", "");
    host.append(made);
    return made;
  };
  const cells = (line) => line.replace(/^\||\|$/g, "").split("|").map((cell) => cell.trim().replaceAll("`", ""));
  const lines = text.split("\n");
  for (let at = 0; at < lines.length; at += 1) {
    const line = lines[at];
    if (line.startsWith("#")) {
      add(line.startsWith("# ") ? "h2" : "h3", line.replace(/^#+\s*/, ""));
    } else if (line.startsWith("|")) {
      const rows = [];
      while (at < lines.length && lines[at].startsWith("|")) rows.push(cells(lines[at++]));
      at -= 1;
      host.append(table(rows[0], rows.slice(2)));
    } else if (line.startsWith("- ")) {
      const list = document.createElement("ul");
      while (at < lines.length && lines[at].startsWith("- ")) {
        const item = document.createElement("li");
        item.textContent = lines[at++].slice(2).replaceAll("`", "");
        list.append(item);
      }
      at -= 1;
      host.append(list);
    } else if (line.startsWith("    ")) {
      add("code", line.trim());
    } else if (line.trim()) {
      add("p", line);
    }
  }
}
