// Labelling on the Teach tab: the names of the classes, and the grid in which several pictures are chosen with clicks, Shift and
// arrows, and changed together by buttons or their keys.
mtl.teachLabel = (root, { name, change, refresh }) => {
  const boxes = () => [...root.querySelectorAll("[data-grid] [data-choose]")];
  const itemOf = (box) => box.closest("[data-file]");
  const naming = root.querySelector(".naming-classes");
  let anchor = null, shift = false; // from where Shift reaches, and whether it was held in the last click

  // The grid -----------------------------------------------------------------------------------------------------------
  function count() {
    const place = root.querySelector(".chosen-count"), some = boxes().filter((box) => box.checked).length;
    if (place) place.textContent = some ? `${some} chosen` : "None chosen";
  }
  function reach(box) { // all between the anchor and this one
    const all = boxes(), [first, last] = [all.indexOf(anchor), all.indexOf(box)].sort((one, other) => one - other);
    if (first >= 0) for (const between of all.slice(first, last + 1)) between.checked = true;
  }
  function choose(on) {
    for (const box of boxes()) box.checked = on;
    count();
  }
  function focus(box) {
    if (!box) return;
    for (const other of boxes()) other.tabIndex = other === box ? 0 : -1;
    box.focus();
  }
  // The chosen pictures; without any the one that has the focus.
  function items(focused) {
    const some = boxes().filter((box) => box.checked);
    return (some.length ? some : focused ? [focused] : []).map(itemOf);
  }
  async function label(some, body, focused) {
    const all = boxes(), from = focused ? all.indexOf(focused) : -1;
    choose(false);
    const going = some.filter((item) => item.matches(".pick")); // they have no place here any more: the next key is for the next one
    if (from >= 0) focus([...all.slice(from), ...all.slice(0, from).reverse()].find((box) => !going.includes(itemOf(box))));
    for (const item of going) item.remove();
    if (!(await change(body)) || !boxes().length) refresh();
  }
  function press(button, focused = null) {
    const { word, out } = button.dataset, some = items(focused), task = root.querySelector(".browse").dataset.task;
    const files = some.map((item) => item.dataset.file);
    if (button.dataset.do === "guesses") {
      const guessed = (some.length ? some : boxes().map(itemOf)).filter((item) => item.dataset.guess);
      return label(guessed, { task, labels: Object.fromEntries(guessed.map((item) => [item.dataset.file, item.dataset.guess])) }, focused);
    }
    const body = word === undefined ? { files, out: out === "true" } : { task, labels: Object.fromEntries(files.map((file) => [file, word])) };
    return label(some, body, focused);
  }

  root.addEventListener("click", (event) => { if (event.target.closest("[data-grid] label")) shift = event.shiftKey || (shift && event.detail === 0); }, true);
  root.addEventListener("change", ({ target }) => {
    if (!target.matches("[data-choose]")) return;
    if (shift && target.checked) reach(target);
    anchor = target;
    count();
  });
  root.addEventListener("focusin", ({ target }) => { if (target.matches("[data-choose]")) for (const box of boxes()) box.tabIndex = box === target ? 0 : -1; });
  root.addEventListener("keydown", (event) => {
    const box = event.target.closest("[data-grid] [data-choose]");
    if (!box || event.altKey) return;
    const all = boxes(), at = all.indexOf(box), key = event.key;
    if ((event.ctrlKey || event.metaKey) && key.toLowerCase() === "a") { event.preventDefault(); return choose(true); }
    if (event.ctrlKey || event.metaKey) return;
    const top = itemOf(all[0]).offsetTop, columns = Math.max(1, all.filter((one) => itemOf(one).offsetTop === top).length);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, ArrowDown: at + columns, ArrowUp: at - columns, Home: 0, End: all.length - 1 }[key];
    const button = root.querySelector(`.bulk [data-key="${CSS.escape(key.toLowerCase())}"]`);
    if (to !== undefined) {
      event.preventDefault();
      if (event.shiftKey) { anchor ||= box; if (all[to]) reach(all[to]); } else anchor = null;
      focus(all[to]);
      count();
    } else if (key === "Escape" && all.some((one) => one.checked)) {
      event.stopPropagation();
      choose(false);
    } else if (key === "Enter" && itemOf(box).dataset.guess) {
      event.preventDefault();
      press({ dataset: { do: "bulk", word: itemOf(box).dataset.guess } }, box);
    } else if (button) {
      event.preventDefault();
      press(button, box);
    }
  }, true);

  // The names of the classes, where the pictures have none -------------------------------------------------------------
  const fields = () => [...naming.querySelectorAll("[data-word]")];
  function add() {
    const row = naming.querySelector("[data-word]").closest("label").cloneNode(true), field = row.querySelector("input");
    row.firstChild.data = `Class ${fields().length + 1} `;
    Object.assign(field, { value: "", placeholder: "", id: `teach-word-${fields().length + 1}` });
    naming.querySelector(".words").append(row);
    field.focus();
    naming.querySelector("[data-do=add-word]").hidden = fields().length >= 20;
  }
  naming.addEventListener("submit", async (event) => {
    event.preventDefault();
    const classes = fields().map((field) => field.value.trim()).filter(Boolean);
    if (await name({ task: naming.querySelector("#teach-apart").value, classes })) naming.reset();
  });

  return { press, add, count };
};
