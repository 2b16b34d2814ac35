// Takes over every element that has the class which the kernel named, now and whenever one
// appears. The elements hold the static form; where no kernel is, they keep it. The kernel puts
// the text of live.css in front, as STYLE.

function initialize({ model }) {
  if (!document.getElementById("kiwinb-live"))
    document.head.append(h("style", { id: "kiwinb-live" }, STYLE));
  const elements = document.getElementsByClassName(model.get("target"));
  const ask = asker(model);
  const look = () => {
    for (const element of elements) {
      if (element.dataset.live) continue;
      element.dataset.live = "yes";
      mount(element, model, ask);
    }
  };
  const observer = new MutationObserver(look);
  observer.observe(document.body, { childList: true, subtree: true });
  look();
  return () => observer.disconnect();
}

// A function that sends a request to the kernel and promises its answer.
function asker(model) {
  const waiting = new Map();
  model.on("msg:custom", (answer) => {
    const settle = waiting.get(answer.id);
    waiting.delete(answer.id);
    if (settle) settle(answer);
  });
  return (request) =>
    new Promise((resolve, reject) => {
      const id = Math.random().toString(36).slice(2);
      waiting.set(id, (answer) => (answer.error ? reject(new Error(answer.error)) : resolve(answer)));
      model.send({ ...request, id });
    });
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

export default { initialize };
