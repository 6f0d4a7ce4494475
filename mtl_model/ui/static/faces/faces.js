// Faces on a picture and their cards know each other: hover, focus or click on one marks the other.
// `element` holds both; whatever carries data-face="1" stands for face 1. A card is one stop of the Tab key: Left and Right
// go to the card beside it, Down and Up through what can be pressed inside. On the picture all arrows walk the boxes.
mtl.faces = (element) => {
  const all = (number) => element.querySelectorAll(`[data-face="${number}"]`);

  function mark(number) {
    for (const one of element.querySelectorAll("[data-face]")) {
      const chosen = Number(one.dataset.face) === number;
      if (one.tagName === "BUTTON") one.setAttribute("aria-pressed", String(chosen));
      else if (chosen) one.setAttribute("aria-current", "true");
      else one.removeAttribute("aria-current");
      one.classList.toggle("marked", chosen);
    }
  }

  function show(number, from) {
    mark(number);
    for (const one of all(number)) {
      if (one.matches("section.face, .box") && !one.contains(from)) mtl.scrollTo(one);
    }
  }

  const after = (button, row, step) => row[(row.indexOf(button) + step + row.length) % row.length];
  const inside = (card) => [...card.querySelectorAll("button")].filter((one) => !one.closest(".correct") && one.checkVisibility());

  function hint(number) {
    for (const one of element.querySelectorAll("[data-face]")) {
      one.classList.toggle("hinted", number > 0 && Number(one.dataset.face) === number);
    }
  }

  element.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-face]");
    const other = event.target.closest("[data-face]");
    if (button) show(Number(button.dataset.face), button);
    else if (other && !event.target.closest("button")) mark(Number(other.dataset.face));
  });
  element.addEventListener("focusin", (event) => {
    const button = event.target.closest("button[data-face]");
    if (button && button.matches(":focus-visible")) mark(Number(button.dataset.face));
  });
  element.addEventListener("pointerover", (event) => {
    hint(Number(event.target.closest("[data-face]")?.dataset.face || 0));
  });
  element.addEventListener("pointerleave", () => hint(0));
  element.addEventListener("keydown", (event) => {
    if (event.key === "Escape") mark(0);
    const button = event.target.closest("button"), card = button?.closest("section.face");
    const across = { ArrowRight: 1, ArrowLeft: -1 }[event.key], down = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!(across || down) || !button?.closest("[data-face]") || button.closest(".correct")) return;
    event.preventDefault();
    if (card && down) return after(button, inside(card), down).focus();
    const row = [...element.querySelectorAll(card ? "button.crop" : "button.box")];
    const next = after(card?.querySelector("button.crop") || button, row, across || down);
    next.focus();
    show(Number(next.dataset.face), next);
  });
};

// A table whose heads are buttons: a click sorts by that column, a second one turns the order round.
mtl.sortable = (element) => {
  element.addEventListener("click", (event) => {
    const button = event.target.closest("th button");
    if (!button) return;
    const head = button.closest("th");
    const column = Number(button.dataset.column);
    const falling = head.getAttribute("aria-sort") === "ascending";
    for (const one of head.parentElement.children) one.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", falling ? "descending" : "ascending");
    const body = head.closest("table").tBodies[0];
    const key = (row) => row.cells[column].dataset.sort;
    const order = (a, b) => (isNaN(key(a)) || isNaN(key(b)) ? key(a).localeCompare(key(b)) : key(a) - key(b));
    body.append(...[...body.rows].sort((a, b) => (falling ? -order(a, b) : order(a, b))));
  });
};
