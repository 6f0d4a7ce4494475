// "This is wrong" on a card: a small form for the right answers. What is saved can be taken back.
// `openPhoto` gives the photo whose cards are shown, with its file and its answer.
mtl.corrections = (root, openPhoto) => {
  const cardOf = (node) => node.closest("section.face");
  const opener = (card) => card.querySelector("[data-do=wrong]");
  const kept = (count) => count === 1 ? "1 correction is kept" : `${count || "No"} corrections are kept`;

  function open(card) {
    if (card.querySelector(".correct")) return leave(card);
    card.querySelector(".taken-back")?.remove();
    card.querySelector(".wrong").insertAdjacentHTML("beforeend", openPhoto().answer.form);
    opener(card).setAttribute("aria-expanded", "true");
    card.querySelector(".correct :is(input, select)").focus();
    mtl.scrollTo(card.querySelector(".correct"));
  }

  function leave(card) {
    card.querySelector(".correct")?.remove();
    opener(card).setAttribute("aria-expanded", "false");
    opener(card).focus();
  }

  // The answer of a route, or an Error with the sentence for the person.
  async function post(path, query, body) {
    const answer = await mtl.call(path, query, { method: "POST", body });
    if (answer.error) throw new Error(answer.error);
    return answer;
  }

  async function save(card, form) {
    const photo = openPhoto();
    const { asked, json } = photo.answer;
    const right = JSON.stringify(Object.fromEntries(new FormData(form)));
    const box = json.faces[card.dataset.face - 1].box.join(",");
    const button = form.querySelector("[type=submit]");
    button.disabled = true;
    try {
      const body = await photo.file.arrayBuffer();
      const { saved, count } = await post("/mtl/corrections/add", { ...asked, box, right, turned: json.turned }, body);
      form.remove();
      const said = `Saved. ${kept(count)} for teaching; see Teach.`;
      (photo.saved ||= {})[card.dataset.face] = { saved, said };
      tellSaved(card, saved, said);
      card.querySelector("[data-do=undo]").focus({ preventScroll: true });
      mtl.announce(said);
    } catch (error) {
      say(form, error.name === "NotReadableError" || error.name === "NotFoundError"
        ? "The file can no longer be read. Choose the photo again." : error.message);
      button.disabled = false;
    }
  }

  function say(form, text) {
    const alert = form.querySelector("[role=alert]");
    alert.textContent = text;
    alert.hidden = false;
    mtl.scrollTo(alert);
  }

  function tellSaved(card, saved, said) {
    opener(card).hidden = true;
    const button = (words, more) => mtl.make("button", { type: "button", class: "link", ...more }, words);
    const actions = [button("Undo", { "data-do": "undo", "data-saved": saved }), button("Open Teach", { "data-do": "teach" })];
    card.querySelector(".wrong").append(mtl.make("div", { class: "saved" },
      mtl.make("p", {}, said), mtl.make("div", { class: "actions" }, ...actions)));
  }

  async function undo(card, button) {
    const line = card.querySelector(".saved");
    try {
      const { count } = await post("/mtl/corrections/remove", { saved: button.dataset.saved });
      delete openPhoto().saved?.[card.dataset.face];
      opener(card).hidden = false;
      opener(card).setAttribute("aria-expanded", "false");
      const text = `Taken back. ${kept(count)}.`;
      line.replaceWith(mtl.make("p", { class: "taken-back" }, text));
      opener(card).focus({ preventScroll: true });
      mtl.announce(text);
    } catch (error) {
      line.querySelector("[role=alert]")?.remove();
      line.append(mtl.make("p", { class: "alert", role: "alert" }, error.message));
    }
  }

  const actions = { wrong: open, leave, undo, teach: () => mtl.openTab("teach") };
  root.addEventListener("click", (event) => {
    const button = event.target.closest("section.face [data-do]");
    if (button) actions[button.dataset.do]?.(cardOf(button), button);
  });
  root.addEventListener("mtl:cards", () => { // a photo that is shown again still knows what was saved of it
    for (const [face, { saved, said }] of Object.entries(openPhoto()?.saved || {})) {
      const card = root.querySelector(`section.face[data-face="${face}"]`);
      if (card) tellSaved(card, saved, said);
    }
  });
  root.addEventListener("submit", (event) => {
    event.preventDefault();
    save(cardOf(event.target), event.target);
  });
  root.addEventListener("keydown", (event) => {
    const form = event.key === "Escape" && event.target.closest(".correct");
    if (form) leave(cardOf(form));
  });
};
