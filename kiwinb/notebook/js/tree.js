// The tree browser: asks the kernel for the children of what is unfolded, a page at a time.

const COLUMNS = [
  { key: "name", label: "Name" }, { key: "usage", label: "Size", number: true },
  { key: "entries", label: "Entries", number: true }, { key: "mode", label: "Mode" },
  { key: "owner", label: "Owner" }, { key: "package", label: "Package" },
];
const MARKS = { directory: "", file: "", symlink: "→", fifo: "|", socket: "=", char: "◇", block: "◆" };

function mount(element, model) {
  const state = model.get("state");
  const unfolded = new Set([state.top.row]), unfolding = new Set();
  const widths = {};
  let order = { sort: "usage", descending: true };
  let wanted = order; // what was chosen last, which the kernel may not have sent yet
  let selected = null, wish = 0;

  const filter = h("input", { type: "search", placeholder: "Filter: part of a path, *.ko, package:NAME, owner:NAME, type:symlink",
    oninput: debounce(() => show()), spellcheck: false });
  filter.setAttribute("aria-label", "Filter");
  const sums = h("span.dim", {}, state.sums);
  const said = h("p.said", { role: "status" });
  const ask = asker(model, said);
  const heads = h("tr");
  const body = h("tbody");
  const side = h("div.preview", { tabIndex: 0 }, h("p.dim", {}, "Select an entry to look into it."));
  element.replaceChildren(
    h("h4", {}, state.title),
    h("div.tools", {}, filter, sums),
    said,
    h("div.split", {}, h("div.scroll", { tabIndex: 0 }, h("table.tree", {}, h("thead", {}, heads), body)), side));

  function sort(key) {
    show({ sort: key, descending: wanted.sort === key ? !wanted.descending : ["usage", "entries"].includes(key) });
  }

  // Draws anew what is unfolded, or what the filter finds.
  async function show(next = wanted, known = undefined) {
    const mine = ++wish;
    wanted = next;
    element.dataset.busy = "yes";
    await attempt(async () => {
      const how = { ...next, text: filter.value.trim() };
      const rows = document.createDocumentFragment();
      let found = state.sums;
      if (how.text) {
        const page = await ask({ op: "find", ...how });
        found = `${page.count.toLocaleString("en")} of ${state.sums.split(",").slice(0, -1).join(",")}, ${binary(page.usage)}`;
        append(rows, page, 0, how, (offset) => ask({ op: "find", offset, ...how }));
      } else {
        rows.append(line(state.top, 0, how));
        await unfold(rows, state.top, 0, how, known);
      }
      if (mine !== wish) return;
      order = next;
      sums.textContent = found;
      heads.replaceChildren(...COLUMNS.map((column) => heading(column, widths, order, column.key === "mode" ? null : sort)));
      body.replaceChildren(rows);
    });
    if (mine !== wish) return;
    delete element.dataset.busy;
    wanted = order;
  }

  async function unfold(rows, item, depth, how, known) {
    const request = (offset) => ask({ op: "children", row: item.row, offset, sort: how.sort, descending: how.descending });
    const page = known || await request(0);
    append(rows, page, depth + 1, how, request);
    for (const child of page.rows)
      if (unfolded.has(child.row)) {
        const below = document.createDocumentFragment();
        await unfold(below, child, depth + 1, how);
        rows.querySelector(`[data-row="${child.row}"]`).after(below);
      }
  }

  function append(rows, page, depth, how, request, offset = 0) {
    for (const item of page.rows) rows.append(line(item, depth, how));
    const shown = offset + page.rows.length;
    if (shown >= page.count) return;
    const rest = h("tr.rest", {}, h("td", { style: `padding-left:${depth * 16 + 24}px` },
      h("button.link", { type: "button", onclick: () => attempt(async () => {
        const next = document.createDocumentFragment();
        append(next, await request(shown), depth, how, request, shown);
        rest.replaceWith(next);
      }) }, `${(page.count - shown).toLocaleString("en")} more …`)));
    rest.dataset.depth = depth;
    rows.append(rest);
  }

  function line(item, depth, how) {
    const folder = item.type === "directory" && !how.text;
    const open = unfolded.has(item.row);
    const name = h("button.name", { type: "button", title: item.name,
      "aria-label": item.target ? `${item.name} → ${item.target}` : item.name, onclick: () => folder ? toggle(row, item, depth, how) : undefined },
      h("span.arrow", {}, folder ? (open ? "▾" : "▸") : MARKS[item.type] || ""),
      item.type === "directory" ? h("b", {}, fitting(item.name)) : fitting(item.name),
      item.target ? h("span.dim.tail", {}, ` → ${item.target}`) : null);
    if (folder) name.setAttribute("aria-expanded", open);
    const filled = h("span", { style: `width:${(item.share * 100).toFixed(1)}%` });
    const owned = item.package ? h("button.link", { type: "button", title: `Show package:${item.package}`,
      onclick: (event) => { event.stopPropagation(); filter.value = `package:${item.package}`; show(); } }, item.package) : "";
    const row = h("tr", { onclick: () => look(row, item) },
      h("td", { style: `padding-left:${depth * 16 + 4}px` }, name),
      h("td.number", {}, h("span.bar", {}, filled), h("span.amount", {}, binary(item.usage))),
      h("td.number", {}, item.entries === null ? "" : item.entries.toLocaleString("en")),
      h("td", {}, h("code", {}, item.mode)), h("td", { title: item.owner }, item.owner), h("td", {}, owned));
    row.dataset.row = item.row;
    row.dataset.depth = depth;
    if (item.row === selected) row.classList.add("selected");
    return row;
  }

  async function toggle(row, item, depth, how) {
    const turn = (open) => {
      row.querySelector(".arrow").textContent = open ? "▾" : "▸";
      row.querySelector(".name").setAttribute("aria-expanded", open);
    };
    if (unfolding.has(item.row)) return;
    if (unfolded.delete(item.row)) {
      turn(false);
      while (row.nextElementSibling && Number(row.nextElementSibling.dataset.depth) > depth) row.nextElementSibling.remove();
      return;
    }
    unfolding.add(item.row);
    await attempt(async () => {
      const below = document.createDocumentFragment();
      await unfold(below, item, depth, how);
      if (!row.isConnected) return;
      unfolded.add(item.row);
      turn(true);
      row.after(below);
    });
    unfolding.delete(item.row);
  }

  // The facts of what was selected before go at once; they stay if the kernel cannot be asked.
  function look(row, item) {
    return attempt(async () => {
      const asked = ask({ op: "preview", row: item.row });
      selected = item.row;
      for (const other of body.querySelectorAll(".selected")) other.classList.remove("selected");
      row.classList.add("selected");
      side.replaceChildren(h("p.path", {}, item.name), h("p.dim", {}, "Loading …"));
      try {
        const seen = await asked;
        if (selected !== item.row) return;
        const facts = item.entries === null ? seen.facts : [...seen.facts, ["Entries", item.entries.toLocaleString("en")]];
        side.replaceChildren(h("p.path", {}, seen.path),
          h("table", {}, h("tbody", {}, ...facts.map(([name, value]) => h("tr", {}, h("th", {}, name), h("td", {}, value))))),
          seen.text ? h("pre", {}, seen.text) : "");
      } catch (error) {
        if (selected === item.row) side.replaceChildren(h("p.path", {}, item.name), h("p.note.bad", {}, error.message));
        throw error;
      }
    });
  }

  show(order, state);
}
