// The difference browser: the kernel filters and sorts, this draws pages of rows.

function mount(element, model, ask) {
  const state = model.get("state");
  let table = state.tables.find(({ count }) => count) || state.tables[0];
  let change = "", order = { sort: "delta", descending: true }, wish = 0;

  const tabs = state.tables.map((each) => h("button", { type: "button", onclick: () => choose(each) },
    `${each.name[0].toUpperCase()}${each.name.slice(1)} (${each.count.toLocaleString("en")})`));
  const changes = h("span.changes");
  const filter = h("input", { type: "search", placeholder: "Filter by name, version or path", spellcheck: false,
    oninput: debounce(() => show()) });
  filter.setAttribute("aria-label", "Filter");
  const download = h("button", { type: "button", onclick: save }, "Export CSV");
  const sums = h("span.dim");
  const heads = h("tr");
  const body = h("tbody");
  element.replaceChildren(
    element.querySelector("style") || "",
    h("h4", {}, state.title),
    h("div.note", {}, state.summary),
    h("div.tools", {}, ...tabs, changes, filter, download, sums),
    h("div.scroll", { tabIndex: 0 }, h("table.rows", {}, h("thead", {}, heads), body)));

  const wanted = () => ({ table: table.name, text: filter.value.trim(), change, ...order });

  function choose(each) {
    if (table !== each) change = "";
    table = each;
    show();
  }

  function tools() {
    tabs.forEach((tab, index) => tab.setAttribute("aria-pressed", state.tables[index] === table));
    changes.replaceChildren(...[["", table.count], ...Object.entries(table.changes)].map(([name, count]) => {
      const button = h("button", { type: "button", onclick: () => { change = name; show(); } },
        name ? `${name} ${count.toLocaleString("en")}` : "all");
      button.setAttribute("aria-pressed", change === name);
      return button;
    }));
    heads.replaceChildren(...table.columns.map(({ key, label, number }) => {
      const arrow = order.sort === key ? (order.descending ? " ▾" : " ▴") : "";
      const cell = h(number ? "th.number" : "th", {}, h("button", { type: "button", onclick: () => {
        order = { sort: key, descending: order.sort === key ? !order.descending : number };
        show();
      } }, label + arrow));
      cell.dataset.column = key;
      return cell;
    }));
  }

  async function show() {
    const mine = ++wish;
    tools();
    element.dataset.busy = "yes";
    try {
      const page = await ask({ op: "rows", ...wanted() });
      if (mine !== wish) return;
      body.replaceChildren();
      append(page, 0);
      sums.textContent = `${page.count.toLocaleString("en")} ${table.name}` + (page.delta === null ? "" : `, ${signed(page.delta)}`);
    } catch (error) {
      body.replaceChildren(h("tr", {}, h("td", { colSpan: table.columns.length }, error.message)));
    } finally {
      if (mine === wish) delete element.dataset.busy;
    }
  }

  function append(page, offset) {
    for (const row of page.rows) body.append(h("tr", {}, ...row.map((value, index) => cell(table.columns[index], value))));
    const shown = offset + page.rows.length;
    if (shown >= page.count) return;
    const rest = h("tr.rest", {}, h("td", { colSpan: table.columns.length }, h("button.link", { type: "button",
      onclick: async () => {
        const next = await ask({ op: "rows", ...wanted(), offset: shown });
        rest.remove();
        append(next, shown);
      } }, `${(page.count - shown).toLocaleString("en")} more …`)));
    body.append(rest);
  }

  function cell({ key, number }, value) {
    if (key === "change") return h("td", {}, h(`span.change.${value}`, {}, value));
    if (!number) return h("td", { title: value }, value);
    if (value === null) return h("td.number", {}, "");
    return h(`td.number${key === "delta" && value ? (value > 0 ? ".gain" : ".loss") : ""}`, {}, key === "delta" ? signed(value) : binary(value));
  }

  function signed(size) {
    return size ? `${size > 0 ? "+" : "−"}${binary(Math.abs(size))}` : "±0 B";
  }

  async function save() {
    const { csv } = await ask({ op: "export", ...wanted() });
    const url = URL.createObjectURL(new Blob([csv], { type: "text/csv" }));
    h("a", { href: url, download: `${table.name}.csv` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
  }

  show();
}
