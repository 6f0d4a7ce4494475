// The Models tab: what its cards cannot say in Python, and the zip that somebody brings in: looked at, then kept.
(() => {
  let held = ""; // the id of what a person was on: a card that is drawn anew gives it the focus again
  document.addEventListener("focusin", (event) => { held = event.target.id; });
  document.addEventListener("pointerdown", () => { held = ""; }, true);

  // A card was drawn: its buttons say whose they are, and which is pressed.
  mtl.card = (element, name, what = "Checkpoint") => setTimeout(() => {
    const card = element.closest(".model, .undo, .work, .system");
    if (!card) return; // drawn anew meanwhile
    Object.entries({ role: "article", "aria-label": `${what} ${name}`, "data-name": name }).forEach((pair) => card.setAttribute(...pair));
    for (const button of card.querySelectorAll(".button")) {
      button.setAttribute("aria-label", `${button.textContent.trim()}: ${name}`);
      if (/^(use|compare)-/.test(button.id)) button.setAttribute("aria-pressed", String(button.classList.contains("pressed")));
      if (button.href) button.download = ""; // else a download that fails would take the place of the page
    }
    if (held && document.activeElement === document.body) document.getElementById(held)?.focus();
  });
  document.addEventListener("click", (event) => { // the browser is silent until the file is made
    const link = event.target.closest("[id^=export-]");
    if (!link || link.dataset.words) return;
    link.dataset.words = link.textContent;
    link.textContent = "Exporting, some seconds";
    mtl.announce(link.textContent);
    setTimeout(() => { link.textContent = link.dataset.words; delete link.dataset.words; }, 9000);
  });
  mtl.askName = async (name) => {
    const to = await mtl.ask({ title: `Rename ${name}`, yes: "Rename", field: { label: "New name", value: name } });
    if (!to || to === name) throw new Error("cancelled");
    return [to];
  };
  // A task of another checkpoint ("NAME/TASK") is put onto this one, which stays: what comes of it needs a name.
  mtl.askJoin = async (name, offer) => {
    const [donor, task] = offer.split("/"), field = { label: "Name of the new checkpoint", value: `${name}-${task}`.slice(0, 64).replaceAll("_", "-") };
    const text = `A new checkpoint is made of ${name} and this task of ${donor}. All answers that ${name} gives stay the same.`;
    const to = await mtl.ask({ title: "Put them together?", text, yes: "Put together", field });
    if (!to) throw new Error("cancelled");
    return [offer, to];
  };
  mtl.changed = (text, focus = "") => { // the focus waits for the card that comes
    mtl.announce(text);
    document.getElementById(focus)?.focus();
    held = focus;
    document.dispatchEvent(new CustomEvent("mtl:models"));
  };
})();

mtl.bring = (host) => {
  const bring = host.querySelector(".bring"), found = bring.querySelector(".brought"), status = bring.querySelector("[role=status]");
  let file = null;

  function say(text) {
    const alert = bring.querySelector(":scope > .alert");
    alert.textContent = text;
    alert.hidden = !text;
  }
  const post = (path, name) => mtl.call(path, { name }, { method: "POST", body: file });
  const busy = (text) => {
    status.textContent = text;
    for (const button of bring.querySelectorAll("button")) button.disabled = Boolean(text);
  };

  async function look(chosen) {
    file = chosen;
    found.hidden = true;
    say("");
    busy("Looking at it");
    const answer = await post("/mtl/models/look", file.name);
    busy("");
    if (answer.error) return say(answer.error);
    found.querySelector(".inside").innerHTML = answer.html;
    found.elements.name.value = answer.name;
    found.hidden = false;
    found.elements.name.focus();
    mtl.scrollTo(found);
  }

  found.addEventListener("submit", async (event) => {
    event.preventDefault();
    say("");
    busy("Keeping it");
    const answer = await post("/mtl/models/keep", found.elements.name.value.trim());
    busy("");
    if (answer.error) return say(answer.error);
    leave();
    mtl.changed(`${answer.name} is kept`);
  });
  function leave() {
    found.hidden = true;
    file = null;
    bring.querySelector("[data-do=choose]").focus();
  }
  const input = bring.querySelector("input[type=file]");
  bring.querySelector("[data-do=choose]").addEventListener("click", () => input.click());
  bring.querySelector("[data-do=leave]").addEventListener("click", leave);
  input.addEventListener("change", () => {
    if (input.files.length) look(input.files[0]);
    input.value = "";
  });
  for (const kind of ["dragover", "drop", "dragleave"]) {
    bring.addEventListener(kind, (event) => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault(); // the Photo tab takes what nobody else has taken
      bring.classList.toggle("dropping", kind === "dragover");
      if (kind === "drop" && event.dataTransfer.files.length) look(event.dataTransfer.files[0]);
    });
  }
};
