// The size explorer: the kernel lays out, this draws rectangles that can be clicked.

const COLOURS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "var(--jp-ui-font-color1, #000)"];
const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 440;

function mount(element, model, ask) {
  const state = model.get("state");
  let by = state.by, view = "treemap", at = [], wish = 0, width = 700;

  const groups = h("select", { onchange: () => { by = groups.value; at = []; show(); } },
    ...state.levels.map((level) => h("option", { value: level, selected: level === by }, level)));
  groups.setAttribute("aria-label", "Group by");
  const views = ["treemap", "icicle", "pareto"].map((name) => h("button", { type: "button",
    onclick: () => { view = name; show(); } }, name === "pareto" ? "Pareto" : name));
  const crumbs = h("span.crumbs");
  const canvas = document.createElementNS(SVG, "svg");
  canvas.setAttribute("role", "img");
  const listed = h("tbody");
  element.replaceChildren(
    element.querySelector("style") || "",
    h("h4", {}, `${state.title}: ${binary(state.total)} on disk`),
    h("div.tools", {}, h("label", {}, "Group by ", groups), h("span", {}, ...views), crumbs),
    h("div.split", {}, h("div.canvas", {}, canvas),
      h("div.scroll", { tabIndex: 0 }, h("table.groups", {}, h("thead", {}, h("tr", {}, h("th", {}, "Group"),
        h("th.number", {}, "Size"), h("th.number", {}, "Share"))), listed))));

  async function show() {
    const mine = ++wish;
    element.dataset.busy = "yes";
    views.forEach((button) => button.setAttribute("aria-pressed", button.textContent.toLowerCase() === view));
    try {
      width = canvas.parentElement.clientWidth || width;
      const level = await ask({ op: "level", by, at: at.map(({ key }) => key), view, width, height: HEIGHT });
      if (mine !== wish) return;
      trail(level);
      canvas.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
      canvas.replaceChildren(...(view === "pareto" ? pareto(level) : boxes(level)));
      listed.replaceChildren(...level.groups.map((group) => row(group)));
      if (level.count > level.groups.length)
        listed.append(h("tr", {}, h("td.dim", { colSpan: 3 }, `and ${(level.count - level.groups.length).toLocaleString("en")} more`)));
    } catch (error) {
      listed.replaceChildren(h("tr", {}, h("td", { colSpan: 3 }, error.message)));
    } finally {
      if (mine === wish) delete element.dataset.busy;
    }
  }

  function trail(level) {
    const parts = [{ label: "everything", depth: 0 }, ...at.map(({ label }, index) => ({ label, depth: index + 1 }))];
    crumbs.replaceChildren(...parts.flatMap(({ label, depth }, index) => [
      index ? " › " : "",
      depth === at.length ? h("b", {}, label)
        : h("button.link", { type: "button", onclick: () => { at = at.slice(0, depth); show(); } }, label),
    ]), h("span.dim", {}, `  ${binary(level.usage)}`));
  }

  function descend({ key, label, leaf }) {
    if (leaf || !key) return;
    at = [...at, { key, label }];
    show();
  }

  function row(group) {
    const name = group.leaf ? group.label : h("button.link", { type: "button", onclick: () => descend(group) }, group.label);
    return h("tr", {}, h("td", { title: group.key }, name), h("td.number", {}, binary(group.usage)),
      h("td.number", {}, `${(group.share * 100).toFixed(1)} %`));
  }

  function boxes(level) {
    let outer = null;
    return level.boxes.map((item) => {
      const [x, y, wide, height] = item.box;
      if (item.depth === 0) outer = item;
      const above = view === "treemap" && item.depth ? outer : item;
      const can = view === "treemap" ? !above.leaf && above.key : item.depth === 0 && !item.leaf && item.key;
      const group = draw("g", can ? { class: "box can" } : { class: "box" });
      if (can) {
        group.dataset.key = above.key;
        group.addEventListener("click", () => descend(above));
      }
      const whole = `${item.depth && view === "treemap" ? `${above.label} › ` : ""}${item.label}\n${binary(item.usage)}, ${(item.usage / level.usage * 100).toFixed(1)} %, ${item.files.toLocaleString("en")} files`;
      const rect = draw("rect", { x, y, width: wide, height, fill: COLOURS[item.colour % COLOURS.length],
        "fill-opacity": [0.34, 0.26, 0.2, 0.14][item.depth] * (item.colour % COLOURS.length === 7 ? 0.5 : 1), stroke: "var(--jp-layout-color1, #fff)", "stroke-width": item.depth ? 0.8 : 2 });
      group.append(draw("title", {}, whole), rect);
      const lines = view === "treemap" && !item.depth && height > 50 && !item.leaf
        ? [entire(`${item.label}  ${binary(item.usage)}`, wide - 8) || item.label] : [item.label, binary(item.usage)];
      group.append(...write(lines, x + 4, y + 14, wide - 8, height - 4, item.depth === 0));
      return group;
    });
  }

  function pareto(level) {
    const top = level.groups.slice(0, 25).filter(({ usage }) => usage > 0);
    if (!top.length) return [];
    const label = 220, right = 70, step = (HEIGHT - 30) / top.length, most = top[0].usage;
    const wide = width - label - right;
    let sum = 0;
    const points = [], marks = [], labels = [];
    for (const share of [0, 0.25, 0.5, 0.75, 1]) {
      const x = label + share * wide;
      marks.push(draw("line", { x1: x, x2: x, y1: 16, y2: HEIGHT, stroke: "var(--line)" }),
        draw("text", { x, y: 11, "text-anchor": "middle", class: "small" }, `${share * 100} %`));
    }
    top.forEach((group, index) => {
      const y = 20 + index * step, size = Math.max(1, group.usage / most * wide);
      sum += group.share;
      points.push(`${label + sum * wide},${y + step / 2}`);
      const bar = draw("g", group.leaf ? { class: "box" } : { class: "box can" });
      if (!group.leaf) {
        bar.dataset.key = group.key;
        bar.addEventListener("click", () => descend(group));
      }
      bar.append(draw("title", {}, `${group.label}\n${binary(group.usage)}, ${(group.share * 100).toFixed(1)} %, all up to here ${(sum * 100).toFixed(1)} %`),
        draw("rect", { x: label, y: y + step * 0.12, width: size, height: step * 0.76, fill: COLOURS[4] }),
        draw("text", { x: label - 6, y: y + step / 2 + 4, "text-anchor": "end" }, cut(group.label, label - 10)));
      labels.push(draw("text", { x: label + size + 4, y: y + step / 2 + 4, class: "small halo" }, binary(group.usage)));
      marks.push(bar);
    });
    marks.push(draw("polyline", { points: points.join(" "), fill: "none", stroke: COLOURS[5], "stroke-width": 2, "pointer-events": "none" }),
      ...points.map((point) => { const [cx, cy] = point.split(","); return draw("circle", { cx, cy, r: 3, fill: COLOURS[5], "pointer-events": "none" }); }),
      ...labels,
      draw("text", { x: width - 4, y: 11, "text-anchor": "end", class: "small", fill: COLOURS[5] }, "together"));
    return marks;
  }

  // Widths of letters, at most, in pixels.
  const LETTER = 6.6, STRONG = 7.4;
  const entire = (text, width) => text.length * STRONG <= width ? text : "";

  function cut(text, width, letter = LETTER) {
    const most = Math.floor(width / letter);
    return text.length <= most ? text : most < 4 ? "" : `${text.slice(0, most - 1)}…`;
  }

  function write(lines, x, y, width, height, strong) {
    const made = [];
    lines.forEach((line, index) => {
      const text = index && line.length * 6.2 > width ? "" : cut(line, width, strong && !index ? STRONG : LETTER);
      if (!text || 14 * (index + 1) > height) return;
      made.push(draw("text", { x, y: y + 14 * index, class: index ? "small" : strong ? "strong" : "" }, text));
    });
    return made;
  }

  new ResizeObserver(debounce(() => {
    if (Math.abs(canvas.parentElement.clientWidth - width) > 8 && canvas.isConnected) show();
  })).observe(canvas.parentElement);
  show();
}

function draw(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) if (value !== "") made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}
