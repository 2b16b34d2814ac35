// The live panel: puts what the kernel renders in place of what is there, changing only what
// differs, so that unfolded logs stay unfolded and scrolled where they are.

function mount(element, model) {
  let updated = Date.now(), shown = null;
  const show = () => {
    if (shown && !element.isConnected) return;
    shown = model.get("state");
    const wanted = element.cloneNode();
    wanted.innerHTML = shown.html;
    const logs = [...element.querySelectorAll("pre")];
    const followed = new Set(logs.filter((log) => log.scrollTop + log.clientHeight >= log.scrollHeight - 4));
    morph(element, wanted);
    for (const log of element.querySelectorAll("pre"))
      if (followed.has(log) || !logs.includes(log)) log.scrollTop = log.scrollHeight;
    for (const details of element.querySelectorAll("details"))
      if (opened(model).has(details.dataset.step)) details.open = true;
    updated = Date.now();
  };
  element.addEventListener("toggle", ({ target }) => {
    if (!target.dataset.step) return;
    if (target.open) opened(model).add(target.dataset.step);
    else opened(model).delete(target.dataset.step);
    const log = target.querySelector("pre");
    if (log) log.scrollTop = log.scrollHeight;
  }, true);
  const tick = () => {
    if (!element.isConnected) return;
    if (shown !== model.get("state")) show();
    for (const clock of element.querySelectorAll("[data-seconds]")) {
      const seconds = Number(clock.dataset.seconds) + (Date.now() - updated) / 1000;
      clock.textContent = `${seconds.toFixed(0)} s`;
    }
  };
  const timer = setInterval(tick, 500);
  model.on("change:state", show);
  model.on("destroy", () => clearInterval(timer));
  show();
}

// Which logs are unfolded; outlives the element, which a display update replaces.
const unfolded = new WeakMap();
function opened(model) {
  if (!unfolded.has(model)) unfolded.set(model, new Set());
  return unfolded.get(model);
}

function morph(now, wanted) {
  if (now.nodeType === Node.TEXT_NODE) {
    if (now.data !== wanted.data) now.data = wanted.data;
    return;
  }
  for (const { name } of [...now.attributes])
    if (!wanted.hasAttribute(name) && name !== "open" && name !== "data-live") now.removeAttribute(name);
  for (const { name, value } of wanted.attributes)
    if (now.getAttribute(name) !== value) now.setAttribute(name, value);
  const children = [...wanted.childNodes];
  children.forEach((child, index) => {
    const present = now.childNodes[index];
    if (!present) now.append(child);
    else if (present.nodeName === child.nodeName && present.nodeType === child.nodeType) morph(present, child);
    else present.replaceWith(child);
  });
  while (now.childNodes.length > children.length) now.lastChild.remove();
}
