// What all live views share. The file of a view has a function `mount(element, model)`, which
// draws the view into an element. The kernel puts the style sheets in front, as STYLE.

// Shows the view as front ends show the views of other widgets.
function render({ model, el }) {
  const element = h("div.kiwinb.mathjax_ignore.tex2jax_ignore");
  el.append(h("style", {}, STYLE), element);
  mount(element, model);
}

// Lays the view over every element that has the class which the kernel named, now and whenever
// one appears. The elements hold the static form; where no kernel is, they keep it.
function initialize({ model }) {
  const over = model.get("over");
  if (!over) return undefined;
  if (!document.getElementById("kiwinb-live"))
    document.head.append(h("style", { id: "kiwinb-live" }, STYLE));
  const elements = document.getElementsByClassName(over);
  const look = () => {
    for (const element of elements) {
      if (element.dataset.live) continue;
      element.dataset.live = "yes";
      mount(element, model);
    }
  };
  const observer = new MutationObserver(look);
  observer.observe(document.body, { childList: true, subtree: true });
  look();
  return () => observer.disconnect();
}

// Why the kernel did not answer; the view has said it.
class Refusal extends Error {}

const GONE = "The kernel no longer knows this view. Run the cell again.";
const BUSY = "Waiting for the kernel, which is busy. If it was restarted, run the cell again.";

// A function that sends a request to the kernel and promises its answer. What is shown may stay
// until then. `said`, an element, says what a request waits for, or why there is no answer.
function asker(model, said) {
  const waiting = new Map();
  let gone = false;
  model.on("msg:custom", (answer) => {
    gone = false;
    waiting.get(answer.id)?.(answer);
  });
  const lose = () => {
    gone = true;
    for (const settle of waiting.values()) settle({ error: GONE });
    try { // the same kernel may be back after a break in the connection; a new one does not answer
      model.send({ op: "ping" });
    } catch { /* the model has no kernel */ }
  };
  model.on("destroy", lose);
  model.on("comm_live_update", lose);
  const refuse = (message, quiet) => {
    if (!quiet) said.textContent = message;
    return new Refusal(message);
  };
  return (request, quiet = false) => {
    const id = Math.random().toString(36).slice(2);
    if (gone) {
      lose();
      throw refuse(GONE, quiet);
    }
    try {
      model.send({ ...request, id });
    } catch {
      throw refuse(GONE, quiet);
    }
    // JupyterLab tells whether the kernel has anything to do; if not, it is not going to answer.
    const idle = () => model.widget_manager?.kernel?.status === "idle";
    const timers = [
      setTimeout(() => { if (!quiet) said.textContent = idle() ? GONE : BUSY; }, 1000),
      setTimeout(() => { if (idle()) waiting.get(id)?.({ error: GONE }); }, 5000),
    ];
    return new Promise((resolve, reject) => waiting.set(id, (answer) => {
      timers.forEach(clearTimeout);
      waiting.delete(id);
      if (answer.error) return reject(refuse(answer.error, quiet));
      if (!quiet) said.textContent = "";
      return resolve(answer);
    }));
  };
}

// Does what needs answers. Without them, what is shown stays.
async function attempt(action) {
  try {
    await action();
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
  }
}

// Makes an element: h("td.number", { title: "…" }, "text", child, …).
function h(name, properties, ...children) {
  const [tag, ...classes] = name.split(".");
  const element = document.createElement(tag);
  if (classes.length) element.className = classes.join(" ");
  for (const [key, value] of Object.entries(properties || {})) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key in element && key !== "list") element[key] = value;
    else element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

// The heading of a column: a button that sorts by it, and an edge that makes it wider.
function heading({ key, label, number }, widths, order, sort) {
  const arrow = order?.sort === key ? (order.descending ? " ▾" : " ▴") : "";
  const cell = h(number ? "th.number" : "th", { "aria-label": label },
    sort ? h("button", { type: "button", onclick: () => sort(key) }, label + arrow) : label, edge(label, widths));
  if (sort) cell.setAttribute("aria-sort", arrow ? (order.descending ? "descending" : "ascending") : "none");
  cell.dataset.column = key;
  if (widths[key]) cell.style.width = `${widths[key]}px`;
  return cell;
}

// The right edge of a heading. A pointer or the arrow keys move it, a double click moves it back.
function edge(label, widths) {
  const grip = h("span.edge", { tabIndex: 0, role: "separator", "aria-orientation": "vertical",
    "aria-label": `Width of ${label}`, title: "Drag to change the width" });
  const cells = () => [...grip.closest("tr").children];
  const lay = () => {
    for (const cell of cells()) cell.style.width = widths[cell.dataset.column] ? `${widths[cell.dataset.column]}px` : "";
    const sum = cells().reduce((all, cell) => all + (cell.offsetParent ? widths[cell.dataset.column] || 0 : 0), 0);
    grip.closest("table").style.width = sum ? `${sum}px` : "";
  };
  const widen = (by) => {
    for (const cell of cells()) if (cell.offsetParent) widths[cell.dataset.column] ||= cell.offsetWidth;
    const key = grip.parentElement.dataset.column;
    widths[key] = Math.max(48, widths[key] + by);
    grip.setAttribute("aria-valuenow", widths[key]);
    lay();
  };
  grip.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    grip.setPointerCapture(event.pointerId);
    let last = event.clientX;
    const move = ({ clientX }) => { widen(Math.round(clientX - last)); last = clientX; };
    grip.addEventListener("pointermove", move);
    grip.addEventListener("lostpointercapture", () => grip.removeEventListener("pointermove", move), { once: true });
  });
  grip.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -16, ArrowRight: 16 }[event.key];
    if (!by) return;
    event.preventDefault();
    event.stopPropagation();
    widen(by);
  });
  grip.addEventListener("dblclick", () => {
    for (const key of Object.keys(widths)) delete widths[key];
    lay();
  });
  return grip;
}

// A text for a cell; a path that does not fit is shortened in its middle.
function fitting(text) {
  const cut = text.lastIndexOf("/");
  if (cut < 6) return h("span.fit", {}, h("span.tail", {}, text));
  return h("span.fit", {}, h("span.head", {}, text.slice(0, cut)), h("span.tail", {}, text.slice(cut)));
}

function binary(size) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (Math.abs(size) >= 1024 && unit < 4) { size /= 1024; unit += 1; }
  return `${size.toFixed(unit ? 1 : 0)} ${units[unit]}`;
}

function debounce(action, delay = 200) {
  let timer;
  return (...values) => { clearTimeout(timer); timer = setTimeout(() => action(...values), delay); };
}

export default { initialize, render };
