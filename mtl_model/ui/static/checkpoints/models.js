// The Models tab: a card a checkpoint, fetched as HTML, and the zip that somebody brings in: looked at, then kept.
mtl.models = (host) => {
  const root = host.querySelector(".models"), list = root.querySelector(".shelf"), bring = root.querySelector(".bring");
  const found = bring.querySelector(".brought"), status = bring.querySelector("[role=status]");
  let run = 0, file = null, renamed = "";

  function say(text, place = root) {
    let alert = place.querySelector(":scope > .alert[role=alert]");
    if (!alert) place.append(alert = mtl.make("p", { class: "alert", role: "alert" }));
    alert.textContent = text;
    alert.hidden = !text;
  }

  async function show() {
    const mine = ++run, answer = await mtl.call("/mtl/models");
    if (mine !== run) return;
    say(answer.error || "");
    if (answer.html !== undefined && answer.html !== list.shown) list.innerHTML = list.shown = answer.html;
    mark();
    list.querySelector(`[data-name="${renamed}"] [data-do=rename]`)?.focus();
    renamed = "";
  }

  // Which of them answers here is known to this window alone.
  function mark() {
    const cards = [...list.querySelectorAll(".model")];
    const press = (card, key, on, words) => {
      const button = card.querySelector(`[data-do=${key}]`);
      if (!button) return;
      button.setAttribute("aria-pressed", String(on));
      button.textContent = words;
      button.setAttribute("aria-label", `${words}: ${card.dataset.name}`);
    };
    for (const card of cards) {
      const name = card.dataset.name, used = name === mtl.checkpoint;
      card.classList.toggle("used", used);
      press(card, "use", used, used ? "In use" : "Use");
      press(card, "compare", name === mtl.compare, name === mtl.compare ? "Compared" : "Compare");
      const compare = card.querySelector("[data-do=compare]");
      if (compare) compare.hidden = used || cards.length < 2;
    }
  }

  const changed = (text, focus = "") => {
    mtl.announce(text);
    renamed = focus;
    document.dispatchEvent(new CustomEvent("mtl:models"));
  };

  const actions = {
    use: ({ name }) => { mtl.choose(name); mtl.announce(`${name} is in use`); },
    compare: ({ name }) => { mtl.chooseComparison(name); mtl.openTab("photo"); },
    parent: ({ parent }) => { mtl.choose(parent); mtl.announce(`${parent} is in use`); },
    download: ({ name }) => mtl.make("a", { href: mtl.address("/mtl/models/download", { name }), download: true }).click(),
    rename: async ({ name }, card) => {
      const to = await mtl.ask({ title: `Rename ${name}`, yes: "Rename", field: { label: "New name", value: name } });
      if (!to || to === name) return;
      const answer = await mtl.call("/mtl/models/rename", { name, to }, { method: "POST" });
      if (answer.error) return say(answer.error, card);
      mtl.renamed(name, to);
      changed(`${name} is called ${to} now`, to);
    },
    delete: async ({ name, children }, card) => {
      const made = children ? ` ${children.split(" ").join(" and ")} came from it and will stay, but cannot go back to it.` : "";
      const text = `For 10 minutes you can undo that; then it is gone, unless you have downloaded it.${made}`;
      if (!(await mtl.ask({ title: `Delete ${name}?`, text, yes: "Delete", danger: true }))) return;
      const answer = await mtl.call("/mtl/models/delete", { name }, { method: "POST" });
      if (answer.error) return say(answer.error, card);
      root.querySelector("h2").focus();
      changed(`${name} is deleted`);
    },
    "bring-back": async ({ token }) => {
      const answer = await mtl.call("/mtl/undo", { token }, { method: "POST" });
      if (answer.error) return say(answer.error);
      changed(`${answer.name} is back`, answer.name);
    },
  };
  list.addEventListener("click", (event) => {
    const button = event.target.closest("[data-do]"), card = event.target.closest(".model");
    if (button) actions[button.dataset.do]((card || button).dataset, card);
  });

  // Bringing one in ---------------------------------------------------------------------------------------------------
  const post = (path, name) => mtl.call(path, { name }, { method: "POST", body: file });
  const busy = (text) => {
    status.textContent = text;
    for (const button of bring.querySelectorAll("button")) button.disabled = Boolean(text);
  };

  async function look(chosen) {
    file = chosen;
    found.hidden = true;
    say("", bring);
    busy("Looking at it");
    const answer = await post("/mtl/models/look", file.name);
    busy("");
    if (answer.error) return say(answer.error, bring);
    found.querySelector(".inside").innerHTML = answer.html;
    found.elements.name.value = answer.name;
    found.hidden = false;
    found.elements.name.focus();
    mtl.scrollTo(found);
  }

  found.addEventListener("submit", async (event) => {
    event.preventDefault();
    say("", bring);
    busy("Keeping it");
    const answer = await post("/mtl/models/keep", found.elements.name.value.trim());
    busy("");
    if (answer.error) return say(answer.error, bring);
    leave();
    changed(`${answer.name} is kept`);
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

  document.addEventListener("mtl:models", show);
  document.addEventListener("mtl:checkpoint", mark);
  document.addEventListener("click", (event) => {
    if (event.target.closest("[role=tab]")?.dataset.tabId === "models") show();
  });
  document.addEventListener("visibilitychange", () => { if (!document.hidden && mtl.isOpen(root)) show(); });
  show();
};
