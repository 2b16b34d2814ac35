// The difference browser: the kernel filters and sorts, this draws pages of rows.

function mount(element, model) {
  const state = model.get("state");
  const first = state.tables.find(({ count }) => count) || state.tables[0];
  const widths = Object.fromEntries(state.tables.map(({ name }) => [name, {}]));
  let shown = { table: first, change: "", order: { sort: "delta", descending: true } };
  let wanted = shown, wish = 0; // what was chosen last, which the kernel may not have sent yet

  const tabs = state.tables.map((each) => h("button", { type: "button",
    onclick: () => show({ ...wanted, table: each, change: wanted.table === each ? wanted.change : "" }) },
    `${each.name[0].toUpperCase()}${each.name.slice(1)} (${each.count.toLocaleString("en")})`));
  const changes = h("span.changes");
  const filter = h("input", { type: "search", placeholder: "Filter by name, version or path", spellcheck: false,
    oninput: debounce(() => show(wanted)) });
  filter.setAttribute("aria-label", "Filter");
  const download = h("button", { type: "button", onclick: save }, "Export CSV");
  const sums = h("span.dim");
  const said = h("p.said", { role: "status" });
  const ask = asker(model, said);
  const heads = h("tr");
  const body = h("tbody");
  const table = h("table.rows", {}, h("thead", {}, heads), body);
  element.replaceChildren(
    h("h4", {}, state.title),
    h("div.note", {}, state.summary),
    h("div.tools", {}, ...tabs, changes, filter, download, sums),
    said,
    h("div.scroll", { tabIndex: 0 }, table));

  const request = ({ table: { name }, change, order }) => ({ table: name, text: filter.value.trim(), change, ...order });

  async function show(next, known = undefined) {
    const mine = ++wish;
    wanted = next;
    element.dataset.busy = "yes";
    await attempt(async () => {
      const how = request(next);
      const page = known || await ask({ op: "rows", ...how });
      if (mine !== wish) return;
      if (shown.table !== next.table) table.style.width = "";
      shown = next;
      tools();
      body.replaceChildren();
      append(page, 0, how);
      sums.textContent = `${page.count.toLocaleString("en")} ${shown.table.name}` + (page.delta === null ? "" : `, ${signed(page.delta)}`);
    });
    if (mine !== wish) return;
    delete element.dataset.busy;
    wanted = shown;
  }

  function tools() {
    const { table: { name: named, columns, count: all, changes: counts }, change, order } = shown;
    tabs.forEach((tab, index) => tab.setAttribute("aria-pressed", state.tables[index] === shown.table));
    changes.replaceChildren(...[["", all], ...Object.entries(counts)].map(([name, count]) => {
      const button = h("button", { type: "button", onclick: () => show({ ...wanted, change: name }) },
        name ? `${name} ${count.toLocaleString("en")}` : "all");
      button.setAttribute("aria-pressed", change === name);
      return button;
    }));
    heads.replaceChildren(...columns.map((column) => heading(column, widths[named], order, (key) =>
      show({ ...wanted, order: { sort: key, descending: order.sort === key ? !order.descending : column.number } }))));
    table.dataset.table = named;
  }

  function append(page, offset, how) {
    const { columns } = shown.table;
    for (const row of page.rows) body.append(h("tr", {}, ...row.map((value, index) => cell(columns[index], value))));
    const until = offset + page.rows.length;
    if (until >= page.count) return;
    const rest = h("tr.rest", {}, h("td", {}, h("button.link", { type: "button",
      onclick: () => attempt(async () => {
        const next = await ask({ op: "rows", ...how, offset: until });
        if (!rest.isConnected) return;
        rest.remove();
        append(next, until, how);
      }) }, `${(page.count - until).toLocaleString("en")} more …`)));
    body.append(rest);
  }

  function cell({ key, number }, value) {
    const made = h(number ? "td.number" : "td");
    made.dataset.column = key;
    if (key === "change") made.append(h(`span.change.${value}`, {}, value));
    else if (!number) {
      made.title = value;
      made.setAttribute("aria-label", value); // not in two parts
      made.append(fitting(value));
    } else if (value !== null) {
      made.append(key === "delta" ? signed(value) : binary(value));
      if (key === "delta" && value) made.classList.add(value > 0 ? "gain" : "loss");
    }
    return made;
  }

  function signed(size) {
    return size ? `${size > 0 ? "+" : "−"}${binary(Math.abs(size))}` : "±0 B";
  }

  function save() {
    return attempt(async () => {
      const { csv } = await ask({ op: "export", ...request(shown) });
      const url = URL.createObjectURL(new Blob([Uint8Array.from(atob(csv), (letter) => letter.charCodeAt(0))], { type: "text/csv" }));
      h("a", { href: url, download: `${shown.table.name}.csv` }).click();
      setTimeout(() => URL.revokeObjectURL(url), 10000);
    });
  }

  show(shown, first.first);
}
