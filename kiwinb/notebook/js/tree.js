// The tree browser: asks the kernel for the children of what is unfolded, a page at a time.

const COLUMNS = [
  ["name", "Name"], ["usage", "Size"], ["entries", "Entries"], ["mode", "Mode"],
  ["owner", "Owner"], ["package", "Package"],
];
const MARKS = { directory: "", file: "", symlink: "→", fifo: "|", socket: "=", char: "◇", block: "◆" };

function mount(element, model, ask) {
  const state = model.get("state");
  const order = { sort: "usage", descending: true };
  const unfolded = new Set([state.top.row]);
  let selected = null, wish = 0;

  const filter = h("input", { type: "search", placeholder: "Filter: part of a path, *.ko, package:NAME, owner:NAME, type:symlink",
    oninput: debounce(() => show()), spellcheck: false });
  filter.setAttribute("aria-label", "Filter");
  const sums = h("span.dim", {}, state.sums);
  const heads = h("tr");
  const body = h("tbody");
  const side = h("div.preview", {}, h("p.dim", {}, "Select an entry to look into it."));
  element.replaceChildren(
    element.querySelector("style") || "",
    h("h4", {}, state.title),
    h("div.tools", {}, filter, sums),
    h("div.split", {}, h("div.scroll", { tabIndex: 0 }, h("table.tree", {}, h("thead", {}, heads), body)), side));

  function head() {
    heads.replaceChildren(...COLUMNS.map(([key, label]) => {
      const sortable = key !== "mode";
      const arrow = order.sort === key ? (order.descending ? " ▾" : " ▴") : "";
      const cell = h(`th${["usage", "entries"].includes(key) ? ".number" : ""}`, {}, sortable
        ? h("button", { type: "button", onclick: () => sort(key) }, label + arrow) : label);
      cell.dataset.column = key;
      return cell;
    }));
  }

  function sort(key) {
    order.descending = order.sort === key ? !order.descending : ["usage", "entries"].includes(key);
    order.sort = key;
    head();
    show();
  }

  // Draws anew what is unfolded, or what the filter finds.
  async function show(answer) {
    const mine = ++wish;
    element.dataset.busy = "yes";
    try {
      const text = filter.value.trim();
      const rows = document.createDocumentFragment();
      if (text) {
        const found = await ask({ op: "find", text, ...order });
        if (mine !== wish) return;
        sums.textContent = `${found.count.toLocaleString("en")} of ${state.sums.split(",").slice(0, -1).join(",")}, ${binary(found.usage)}`;
        append(rows, found, 0, (offset) => ask({ op: "find", text, offset, ...order }));
      } else {
        sums.textContent = state.sums;
        const top = line(state.top, 0);
        rows.append(top);
        await unfold(rows, state.top, 0, answer);
        if (mine !== wish) return;
      }
      body.replaceChildren(rows);
    } catch (error) {
      body.replaceChildren(h("tr", {}, h("td", { colSpan: COLUMNS.length }, error.message)));
    } finally {
      if (mine === wish) delete element.dataset.busy;
    }
  }

  async function unfold(rows, item, depth, answer) {
    const request = (offset) => ask({ op: "children", row: item.row, offset, ...order });
    const page = answer || await request(0);
    append(rows, page, depth + 1, request);
    for (const child of page.rows)
      if (unfolded.has(child.row)) {
        const below = document.createDocumentFragment();
        await unfold(below, child, depth + 1);
        rows.querySelector(`[data-row="${child.row}"]`).after(below);
      }
  }

  function append(rows, page, depth, request, offset = 0) {
    for (const item of page.rows) rows.append(line(item, depth));
    const shown = offset + page.rows.length;
    if (shown >= page.count) return;
    const rest = h("tr.rest", {}, h("td", { colSpan: COLUMNS.length, style: `padding-left:${depth * 16 + 24}px` },
      h("button.link", { type: "button", onclick: async () => {
        const next = document.createDocumentFragment();
        append(next, await request(shown), depth, request, shown);
        rest.replaceWith(next);
      } }, `${(page.count - shown).toLocaleString("en")} more …`)));
    rest.dataset.depth = depth;
    rows.append(rest);
  }

  function line(item, depth) {
    const folder = item.type === "directory" && !filter.value.trim();
    const open = unfolded.has(item.row);
    const name = h("button.name", { type: "button", title: item.name, onclick: () => folder ? toggle(row, item, depth) : undefined },
      h("span.arrow", {}, folder ? (open ? "▾" : "▸") : MARKS[item.type] || ""),
      item.type === "directory" ? h("b", {}, item.name) : item.name,
      item.target ? h("span.dim", {}, ` → ${item.target}`) : null);
    const filled = h("span", { style: `width:${(item.share * 100).toFixed(1)}%` });
    const owned = item.package ? h("button.link", { type: "button", title: `Show package:${item.package}`,
      onclick: (event) => { event.stopPropagation(); filter.value = `package:${item.package}`; show(); } }, item.package) : "";
    const row = h("tr", { onclick: () => look(row, item) },
      h("td", { style: `padding-left:${depth * 16 + 4}px` }, name),
      h("td.number", {}, h("span.bar", {}, filled), h("span.amount", {}, binary(item.usage))),
      h("td.number", {}, item.entries === null ? "" : item.entries.toLocaleString("en")),
      h("td", {}, h("code", {}, item.mode)), h("td", {}, item.owner), h("td", {}, owned));
    row.dataset.row = item.row;
    row.dataset.depth = depth;
    if (item.row === selected) row.classList.add("selected");
    return row;
  }

  async function toggle(row, item, depth) {
    const arrow = row.querySelector(".arrow");
    if (unfolded.delete(item.row)) {
      arrow.textContent = "▸";
      while (row.nextElementSibling && Number(row.nextElementSibling.dataset.depth) > depth) row.nextElementSibling.remove();
      return;
    }
    unfolded.add(item.row);
    arrow.textContent = "▾";
    const below = document.createDocumentFragment();
    await unfold(below, item, depth);
    row.after(below);
  }

  async function look(row, item) {
    selected = item.row;
    for (const other of body.querySelectorAll(".selected")) other.classList.remove("selected");
    row.classList.add("selected");
    try {
      const seen = await ask({ op: "preview", row: item.row });
      if (selected !== item.row) return;
      side.replaceChildren(h("p.path", {}, seen.path),
        h("table", {}, h("tbody", {}, ...seen.facts.map(([name, value]) => h("tr", {}, h("th", {}, name), h("td", {}, value))))),
        seen.text ? h("pre", {}, seen.text) : "");
    } catch (error) {
      side.replaceChildren(h("p.note.bad", {}, error.message));
    }
  }

  head();
  show(state);
}
