// The size explorer: the kernel lays out, this draws rectangles that can be clicked.

const COLOURS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "var(--jp-ui-font-color1, #000)"];
const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 440;

function mount(element, model) {
  const state = model.get("state");
  const known = new Map();
  let shown = { by: state.by, view: "treemap", at: [] };
  let wanted = shown; // what was chosen last, which the kernel may not have sent yet
  let level = state.first, wish = 0, width = level.width;
  known.set(name(shown), level);

  const groups = h("select", { onchange: () => show({ ...wanted, by: groups.value, at: [] }) },
    ...state.levels.map((each) => h("option", { value: each, selected: each === shown.by }, each)));
  groups.setAttribute("aria-label", "Group by");
  const views = ["treemap", "icicle", "pareto"].map((view) => h("button", { type: "button",
    onclick: () => show({ ...wanted, view }) }, view === "pareto" ? "Pareto" : view));
  const crumbs = h("span.crumbs");
  const said = h("p.said", { role: "status" });
  const ask = asker(model, said);
  const canvas = document.createElementNS(SVG, "svg");
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `Sizes in ${state.title}; the table has them as text`);
  const heads = h("tr"), widths = {};
  const listed = h("tbody");
  heads.append(...[{ key: "group", label: "Group" }, { key: "size", label: "Size", number: true },
    { key: "share", label: "Share", number: true }].map((column) => heading(column, widths)));
  element.replaceChildren(
    h("h4", {}, `${state.title}: ${binary(state.total)} on disk`),
    h("div.tools", {}, h("label", {}, "Group by ", groups), h("span", {}, ...views), crumbs),
    said,
    h("div.split", {}, h("div.canvas", {}, canvas),
      h("div.scroll", { tabIndex: 0 }, h("table.groups", {}, h("thead", {}, heads), listed))));

  function name({ by, view, at }) {
    return JSON.stringify([by, view, ...at.map(({ key }) => key)]);
  }

  // Shows another level at once if it is known, and otherwise as soon as the kernel has sent it.
  async function show(next) {
    const mine = ++wish;
    wanted = next;
    element.dataset.busy = "yes";
    await attempt(async () => {
      const found = lookup(next) || await request(next);
      if (mine !== wish) return;
      shown = next;
      level = found;
      draw();
    });
    if (mine !== wish) return;
    delete element.dataset.busy;
    wanted = shown;
    groups.value = shown.by;
    lay();
  }

  // A Pareto chart draws the sums of the groups, which come with every drawing of a level.
  function lookup(next) {
    const names = next.view === "pareto" ? ["pareto", "treemap", "icicle"] : [next.view];
    return names.map((view) => known.get(name({ ...next, view }))).find(Boolean);
  }

  async function request(next, quiet = false) {
    const { by, view, at } = next;
    const answer = await ask({ op: "level", by, at: at.map(({ key }) => key), view, width, height: HEIGHT }, quiet);
    known.set(name(next), answer);
    return answer;
  }

  // Has the kernel lay out anew what it laid out for another width, which is stretched until then.
  async function lay() {
    const mine = wish, asked = shown;
    if (asked.view === "pareto" || Math.abs(level.width - width) <= 8) return;
    await attempt(async () => {
      const found = await request(asked, true);
      if (mine !== wish) return;
      level = found;
      draw();
    });
  }

  function draw() {
    const { view } = shown;
    views.forEach((button) => button.setAttribute("aria-pressed", button.textContent.toLowerCase() === view));
    trail();
    canvas.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    canvas.replaceChildren(...(view === "pareto" ? pareto() : boxes()));
    listed.replaceChildren(...level.groups.map((group) => row(group)));
    if (level.count > level.groups.length)
      listed.append(h("tr", {}, h("td.dim", { colSpan: 3 }, `and ${(level.count - level.groups.length).toLocaleString("en")} more`)));
  }

  function trail() {
    const { at } = shown;
    const parts = [{ label: "everything", depth: 0 }, ...at.map(({ label }, index) => ({ label, depth: index + 1 }))];
    crumbs.replaceChildren(...parts.flatMap(({ label, depth }, index) => [
      index ? " › " : "",
      depth === at.length ? h("b", {}, label)
        : h("button.link", { type: "button", onclick: () => show({ ...shown, at: at.slice(0, depth) }) }, label),
    ]), h("span.dim", {}, `  ${binary(level.usage)}`));
  }

  function descend({ key, label, leaf }) {
    if (!leaf && key) show({ ...shown, at: [...shown.at, { key, label }] });
  }

  function row(group) {
    const text = fitting(group.label);
    const named = group.leaf ? text : h("button.link", { type: "button", "aria-label": group.label, onclick: () => descend(group) }, text);
    return h("tr", {}, h("td", { title: group.key }, named), h("td.number", {}, binary(group.usage)),
      h("td.number", {}, `${(group.share * 100).toFixed(1)} %`));
  }

  function boxes() {
    const { view } = shown, scale = width / level.width;
    let outer = null;
    return level.boxes.map((item) => {
      const [x, wide] = [item.box[0] * scale, item.box[2] * scale], [, y, , height] = item.box;
      if (item.depth === 0) outer = item;
      const above = view === "treemap" && item.depth ? outer : item;
      const can = view === "treemap" ? !above.leaf && above.key : item.depth === 0 && !item.leaf && item.key;
      const group = svg("g", can ? { class: "box can" } : { class: "box" });
      if (can) {
        group.dataset.key = above.key;
        group.addEventListener("click", () => descend(above));
      }
      const whole = `${item.depth && view === "treemap" ? `${above.label} › ` : ""}${item.label}\n${binary(item.usage)}, ${(item.usage / level.usage * 100).toFixed(1)} %, ${item.files.toLocaleString("en")} files`;
      const rect = svg("rect", { x, y, width: wide, height, fill: COLOURS[item.colour % COLOURS.length],
        "fill-opacity": [0.34, 0.26, 0.2, 0.14][item.depth] * (item.colour % COLOURS.length === 7 ? 0.5 : 1), stroke: "var(--jp-layout-color1, #fff)", "stroke-width": item.depth ? 0.8 : 2 });
      group.append(svg("title", {}, whole), rect);
      const lines = view === "treemap" && !item.depth && height > 50 && !item.leaf
        ? [entire(`${item.label}  ${binary(item.usage)}`, wide - 8) || item.label] : [item.label, binary(item.usage)];
      group.append(...write(lines, x + 4, y + 14, wide - 8, height - 4, item.depth === 0));
      return group;
    });
  }

  function pareto() {
    const top = level.groups.slice(0, 25).filter(({ usage }) => usage > 0);
    if (!top.length) return [];
    const label = Math.min(220, width * 0.4), right = 70, step = (HEIGHT - 30) / top.length, most = top[0].usage;
    const wide = width - label - right;
    let sum = 0;
    const points = [], marks = [], labels = [];
    for (const share of [0, 0.25, 0.5, 0.75, 1]) {
      const x = label + share * wide;
      marks.push(svg("line", { x1: x, x2: x, y1: 16, y2: HEIGHT, stroke: "var(--line)" }),
        svg("text", { x, y: 11, "text-anchor": "middle", class: "small" }, `${share * 100} %`));
    }
    top.forEach((group, index) => {
      const y = 20 + index * step, size = Math.max(1, group.usage / most * wide);
      sum += group.share;
      points.push(`${label + sum * wide},${y + step / 2}`);
      const bar = svg("g", group.leaf ? { class: "box" } : { class: "box can" });
      if (!group.leaf) {
        bar.dataset.key = group.key;
        bar.addEventListener("click", () => descend(group));
      }
      bar.append(svg("title", {}, `${group.label}\n${binary(group.usage)}, ${(group.share * 100).toFixed(1)} %, all up to here ${(sum * 100).toFixed(1)} %`),
        svg("rect", { x: label, y: y + step * 0.12, width: size, height: step * 0.76, fill: COLOURS[4] }),
        svg("text", { x: label - 6, y: y + step / 2 + 4, "text-anchor": "end" }, cut(group.label, label - 10)));
      labels.push(svg("text", { x: label + size + 4, y: y + step / 2 + 4, class: "small halo" }, binary(group.usage)));
      marks.push(bar);
    });
    marks.push(svg("polyline", { points: points.join(" "), fill: "none", stroke: COLOURS[5], "stroke-width": 2, "pointer-events": "none" }),
      ...points.map((point) => { const [cx, cy] = point.split(","); return svg("circle", { cx, cy, r: 3, fill: COLOURS[5], "pointer-events": "none" }); }),
      ...labels,
      svg("text", { x: width - 4, y: 11, "text-anchor": "end", class: "small", fill: COLOURS[5] }, "together"));
    return marks;
  }

  // Widths of letters, at most, in pixels.
  const LETTER = 6.6, STRONG = 7.4;
  const entire = (text, width) => text.length * STRONG <= width ? text : "";

  function cut(text, width, letter = LETTER) {
    const most = Math.floor(width / letter);
    if (text.length <= most) return text;
    if (most < 4) return "";
    const end = text.includes("/") ? Math.floor(most / 2) : 0; // of a path, the end says more
    return `${text.slice(0, most - 1 - end)}…${text.slice(text.length - end)}`;
  }

  function write(lines, x, y, width, height, strong) {
    const made = [];
    lines.forEach((line, index) => {
      const text = index && line.length * 6.2 > width ? "" : cut(line, width, strong && !index ? STRONG : LETTER);
      if (!text || 14 * (index + 1) > height) return;
      made.push(svg("text", { x, y: y + 14 * index, class: index ? "small" : strong ? "strong" : "" }, text));
    });
    return made;
  }

  const settle = debounce(lay);
  new ResizeObserver(() => {
    const wide = canvas.parentElement.clientWidth;
    if (!wide || wide === width) return;
    width = wide;
    draw();
    settle();
  }).observe(canvas.parentElement);
  draw();
}

function svg(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) if (value !== "") made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}
