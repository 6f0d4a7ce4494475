// Turns what an element shows into other HTML by changing only what differs, so that focus, scroll, typed text, open
// folds, pictures that are already there and what a person has chosen of a list (data-choose) survive.
mtl.morph = (element, html) => {
  const same = (a, b) => a.nodeType === b.nodeType && a.nodeName === b.nodeName && (a.id || "") === (b.id || "")
    && a.dataset?.file === b.dataset?.file;
  const wanted = document.createElement("template");
  wanted.innerHTML = html;
  children(element, wanted.content);

  function children(old, fresh) {
    let here = old.firstChild;
    for (const next of [...fresh.childNodes]) {
      let match = here;
      while (match && !same(match, next)) match = match.nextSibling;
      if (match && next.nodeType === 1 && next.dataset.file === undefined && !next.id && match !== here) match = null;
      if (!match) { old.insertBefore(next, here); continue; }
      while (here !== match) { const gone = here; here = here.nextSibling; gone.remove(); }
      node(here, next);
      here = here.nextSibling;
    }
    while (here) { const gone = here; here = here.nextSibling; gone.remove(); }
  }

  function node(old, fresh) {
    if (old.nodeType !== 1) { if (old.data !== fresh.data) old.data = fresh.data; return; }
    if (old.isEqualNode(fresh)) return;
    const chosen = old.matches("[data-choose]") && old.checked;
    for (const { name } of [...old.attributes]) {
      if (!fresh.hasAttribute(name) && !["open", "src", "class"].includes(name)) old.removeAttribute(name);
    }
    for (const { name, value } of [...fresh.attributes]) {
      if (old.getAttribute(name) === value || name === "open") continue;
      if (name === "data-src") old.removeAttribute("src");
      old.setAttribute(name, value);
    }
    if (!fresh.hasAttribute("class")) old.removeAttribute("class");
    const busy = old === document.activeElement;
    if (old.nodeName === "INPUT" && ["checkbox", "radio"].includes(old.type)) old.checked = chosen || fresh.hasAttribute("checked");
    else if (old.nodeName === "INPUT" && !busy) old.value = fresh.getAttribute("value") || "";
    children(old, fresh);
    if (old.nodeName === "SELECT" && !busy) {
      const chosen = [...old.options].findIndex((one) => one.hasAttribute("selected"));
      if (chosen >= 0) old.selectedIndex = chosen;
    }
  }
};

// A component whose value is HTML: shown without taking away focus, scroll and open folds.
mtl.live = (element, props, watch) => {
  const show = () => mtl.morph(element.firstElementChild, props.value || "");
  watch("value", show);
  show();
};
