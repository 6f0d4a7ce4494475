// The Teach tab. All that is shown comes from the server, which reads it from files: the page asks every second with the
// version that it has, and changes only what differs. What a person opens, browses or types stays as it is.
mtl.teach = (host) => {
  const root = host.querySelector(".teach"), find = (selector) => root.querySelector(selector);
  const SILENT = "The server did not answer. Check that it is still running; this page goes on by itself then.";
  const state = { run: mtl.opened("teach"), fresh: false, version: "", stamp: undefined, step: 0, said: null, browse: null, edits: "", place: null };
  let asking = false, silent = false, photo = "";

  async function call(path, query = {}, more = {}) {
    const answer = await mtl.call(path, query, more);
    return answer.silent ? { error: SILENT } : answer;
  }
  const post = (action, body) => call(`/mtl/teach/${action}`, {}, {
    method: "POST", body: JSON.stringify({ run: state.run, ...body }), headers: { "content-type": "application/json" },
  });

  // A sentence stands in the step where it happened.
  function say(text, place = root) {
    for (const one of root.querySelectorAll(".alert[role=alert]")) if (one.parentElement !== place || !text) one.hidden = true;
    if (!text) return;
    const body = place.querySelector(":scope > .body") || place;
    let alert = body.querySelector(":scope > .alert[role=alert]");
    if (!alert) body.prepend(alert = mtl.make("p", { class: "alert", role: "alert" }));
    alert.hidden = false;
    alert.textContent = text;
    mtl.scrollTo(alert);
  }

  // What the server knows --------------------------------------------------------------------------------------------
  async function poll() {
    if (asking) return;
    asking = true;
    const asked = state.run, fresh = state.fresh;
    const query = { version: state.version };
    if (asked) query.run = asked;
    if (fresh) query.new = "1";
    const answer = await call("/mtl/teach/state", query);
    asking = false;
    if (asked !== state.run || fresh !== state.fresh) return poll(); // another one was chosen meanwhile
    if (answer.error) { if (!silent) say(answer.error); silent = true; return; }
    if (silent) say("");
    silent = false;
    if (answer.parts) paint(answer);
  }

  function paint(answer) {
    const other = answer.run !== root.dataset.run, held = root.contains(document.activeElement) ? document.activeElement : null;
    if (state.run && !answer.run) {
      state.said = null;
      say(`${state.run} is no longer here: it was renamed, discarded or deleted in another window.`);
    }
    if (!answer.run) state.fresh = true; // what others begin is listed, and never slides under the pointer
    if (answer.stamp !== state.stamp) for (const image of root.querySelectorAll("img[data-src]")) image.removeAttribute("src");
    if (answer.faces !== state.faces) for (const image of root.querySelectorAll("img[data-face]")) image.removeAttribute("src");
    const { run, version, stamp, subject, faces } = answer;
    Object.assign(state, { run, version, stamp, subject, faces });
    root.dataset.run = answer.run;
    root.dataset.state = answer.state;
    mtl.opens("teach", state.run);
    if (other) { close(); photo = ""; find("[data-try]").replaceChildren(); find(".told-try").textContent = ""; }
    for (const place of root.querySelectorAll("[data-part]")) mtl.morph(place, answer.parts[place.dataset.part] || "");
    const moved = other || state.step !== answer.step;
    if (moved) {
      for (const step of root.querySelectorAll(".step")) step.open = Number(step.dataset.step) === answer.step;
      state.step = answer.step;
    }
    for (const step of root.querySelectorAll(".step")) {
      const number = Number(step.dataset.step);
      step.classList.toggle("locked", number > answer.reached);
      step.classList.toggle("now", number === answer.step);
      step.classList.toggle("passed", number < answer.step || answer.state === "accepted");
      if (number > answer.reached) step.open = false;
      step.querySelector("summary").setAttribute("aria-disabled", String(number > answer.reached));
    }
    for (const one of root.querySelectorAll("[data-when]")) {
      const open = Boolean(answer.run) && answer.state !== "accepted";
      one.hidden = one.dataset.when === "run" ? !open : answer.state !== "done";
    }
    const corrections = find("[data-do=use-corrections]");
    corrections.hidden = !answer.corrections || (Boolean(answer.run) && answer.state !== "empty");
    corrections.textContent = `Use ${answer.corrections} correction${answer.corrections === 1 ? "" : "s"} from the Photo tab`;
    find(".upload").hidden = answer.busy || ["done", "accepted", "damaged"].includes(answer.state);
    find(".named").hidden = Boolean(answer.run);
    find(".adding").hidden = !answer.run;
    find(".adding").textContent = `Add more pictures to ${answer.run}`;
    find(".naming-classes").hidden = !answer.naming;
    recorder.knows(answer);
    pictures();
    if (state.said !== null && answer.said !== state.said && answer.said) mtl.announce(answer.said);
    state.said = answer.said;
    // What was pressed may be gone or folded away: whoever works with keys goes on beside it, or in the step where things are.
    if (held && !held.checkVisibility() && !beside()) to(answer.step, moved);
    if (answer.edits !== state.edits) { state.edits = answer.edits; if (state.browse) browse(state.browse); }
    if (answer.label && answer.step === 2 && state.labelled !== answer.run && !state.browse) { // what is to be labelled lies open, once
      state.labelled = answer.run;
      browse({ task: answer.label, class: "not labelled", page: 1 });
    }
  }

  function to(number, scroll = true) {
    const summary = find(`[data-step="${number}"] > summary`);
    summary.focus({ preventScroll: true });
    if (scroll) mtl.scrollTo(summary);
  }
  // The picture that took the place of the one that was changed, if it went from its list. Returns whether there is one.
  function beside() {
    const { list, index, action } = state.place || {};
    const next = list?.isConnected ? list.children[Math.min(index, list.children.length - 1)] : null;
    const control = next?.querySelector(`[data-do=${action}]`) || next?.querySelector("button, input, select");
    control?.focus();
    return Boolean(control) && document.activeElement === control; // not in a step that is folded by now
  }

  // Thumbnails are asked for when they come near the window.
  const near = new IntersectionObserver((seen) => {
    for (const { target, isIntersecting } of seen) {
      if (!isIntersecting) continue;
      near.unobserve(target);
      const face = target.dataset.face && state.faces ? { face: state.faces } : {}; // once the check has found them
      target.src = mtl.address("/mtl/teach/picture", { run: state.run, file: target.dataset.src, stamp: state.stamp, ...face });
    }
  }, { rootMargin: "300px" });
  function pictures() {
    for (const image of root.querySelectorAll("img[data-src]:not([src])")) near.observe(image);
  }
  root.addEventListener("error", (event) => event.target.closest?.(".thumb")?.classList.add("broken"), true);
  root.addEventListener("load", (event) => event.target.closest?.(".thumb")?.classList.remove("broken"), true);

  // Browsing ---------------------------------------------------------------------------------------------------------
  async function browse(asked, focus = false) {
    state.browse = asked;
    const run = state.run, answer = await call("/mtl/teach/pictures", { run, ...asked });
    if (run !== state.run || state.browse !== asked) return;
    if (answer.error) return say(answer.error, find('[data-step="2"]'));
    const held = find("[data-browse]").contains(document.activeElement), bare = asked.class === "not labelled";
    mtl.morph(find("[data-browse]"), answer.html);
    labels.count();
    if (bare && !focus && !find("[data-grid] li")) { // the last one has its label
      close();
      mtl.announce("Every picture has a label.");
      if (held) to(2);
      return;
    }
    pictures();
    if (held && document.activeElement === document.body) beside();
    if (focus) {
      mtl.scrollTo(find(".browse"));
      mtl.announce(find(".browse .head").textContent);
    }
  }
  function close() {
    state.browse = null;
    find("[data-browse]").replaceChildren();
  }

  // What a person does -----------------------------------------------------------------------------------------------
  async function act(action, body, place) {
    say("");
    const answer = await post(action, body);
    if (answer.error) say(answer.error, place);
    else if (answer.said) mtl.announce(answer.said);
    await poll();
    return !answer.error;
  }
  function show(run) {
    Object.assign(state, { run, fresh: !run, version: "", said: null, edits: "", step: 0 });
    say("");
    poll();
  }
  const sending = mtl.teachUpload(root, {
    run: () => state.run,
    say: (text) => say(text, find('[data-step="1"]')),
    async open(name, base) {
      const answer = await post("create", { name, base, from: mtl.checkpoint });
      if (answer.error) { say(answer.error, find('[data-step="1"]')); find("#teach-name").focus(); return ""; }
      Object.assign(state, { run: answer.run, fresh: false, version: "" });
      find("#teach-name").value = "";
      return answer.run;
    },
    async failed(run) { // nothing came in: then there is nothing to keep. Returns whether it is gone
      const now = run ? await call("/mtl/teach/state", { run }) : {};
      if (now.run !== run || now.state !== "empty") return now.run !== run;
      await post("discard", { run });
      if (state.run === run) Object.assign(state, { run: "", fresh: true, version: "", said: null, step: 0 });
      await poll();
      return true;
    },
    done: looked,
  });
  async function looked(run, refused = "") { // another one may be shown by now
    const well = await act("look", { run }, find('[data-step="1"]'));
    if (refused) say(refused, find('[data-step="1"]'));
    if (well) await settle(run);
  }
  // What is understood is checked by itself.
  async function settle(run) {
    if (state.run !== run) await post("check", { run });
    else if (find("#teach-check")) await act("check", { run }, find('[data-step="1"]'));
  }
  async function nameClasses(body) {
    const run = state.run, well = await act("classes", { run, ...body }, find('[data-step="1"]'));
    if (well) await settle(run);
    return well;
  }
  const labels = mtl.teachLabel(root, {
    name: nameClasses,
    change: (body) => act("change", body, find('[data-step="2"]')),
    refresh: () => { if (state.browse) browse(state.browse); },
  });
  const recorder = mtl.teachRecord(root, {
    run: () => state.run,
    say: (text) => say(text, find('[data-step="1"]')),
    post,
    async open(base) {
      const answer = await post("create", { name: find("#teach-name").value.trim(), base, from: mtl.checkpoint });
      if (answer.error) { say(answer.error, find('[data-step="1"]')); return ""; }
      Object.assign(state, { run: answer.run, fresh: false, version: "" });
      return answer.run;
    },
    done: looked,
  });

  async function discard() {
    const text = "The pictures you uploaded, what was learned from them and its figures are deleted; for 10 minutes you can undo that. The checkpoint it started from stays.";
    const run = state.run; // while it asks, the page may come to show another one
    if (!(await mtl.ask({ title: `Discard ${run}?`, text, yes: "Discard", danger: true }))) return;
    sending.cancel(run);
    const answer = await post("discard", { run });
    if (answer.error) return say(answer.error);
    mtl.announce(`${run} is discarded`);
    if (state.run !== run) return;
    show("");
  }
  async function startAgain(button, step) {
    const text = "What it has learned so far and its figures are lost. The pictures stay, with what you changed of them.";
    const run = state.run;
    if (await mtl.ask({ title: "Start from the beginning?", text, yes: "Start from the beginning", danger: true })) await act("start", { run }, step);
  }
  async function set(field, step) {
    const text = "What it has learned and its figures are lost. The pictures stay, and are looked at anew.";
    const run = state.run, loses = root.dataset.state === "done" && ["kind", "task"].includes(field.dataset.set);
    if (loses && !(await mtl.ask({ title: "Read the pictures in another way?", text, yes: "Read them anew", danger: true }))) {
      field.closest("[data-part]").replaceChildren(); // made anew, as it was
      state.version = "";
      return poll();
    }
    return act("settings", { run, [field.dataset.set]: field.value }, step);
  }
  async function accept(button) {
    const name = state.run, title = `Keep ${name}?`, yes = "Keep";
    const text = `${button.dataset.warning || ""} It is offered beside the others from then on. The pictures you uploaded are deleted, unless you tick the box.`.trim();
    const box = `Keep the pictures, so that I can add to them later (${button.dataset.size}, until I delete them)`;
    const keep = await mtl.ask({ title, text, yes, box });
    if (keep === null || !(await act("accept", { run: name, keep }, find('[data-step="4"]')))) return;
    mtl.announce(`${name} is kept`);
    document.dispatchEvent(new CustomEvent("mtl:models"));
  }
  async function useCorrections() {
    if (!state.run) {
      const answer = await post("create", { name: find("#teach-name").value, base: "corrected", from: mtl.checkpoint });
      if (answer.error) return say(answer.error, find('[data-step="1"]'));
      Object.assign(state, { run: answer.run, fresh: false, version: "" });
    }
    await act("corrections", {}, find('[data-step="1"]'));
  }
  async function tryOut(file) {
    if (!file) return;
    const told = find(".told-try"), run = state.run;
    photo = file.name;
    say("");
    told.textContent = state.subject === "picture" ? "Reading the picture." : "Looking for faces in both.";
    const answer = await call("/mtl/teach/try", { run, name: file.name }, { method: "POST", body: file });
    if (run !== state.run || photo !== file.name) return;
    told.textContent = answer.error ? "" : answer.said;
    find("[data-try]").innerHTML = answer.html || "";
    if (answer.error) say(answer.error, find('[data-step="4"]'));
    else mtl.announce(answer.said);
  }

  const actions = {
    "pick-folder": () => find("[data-pick=folder]").click(),
    "pick-photos": () => find("[data-pick=photos]").click(),
    "record": () => recorder.open(),
    "record-row": () => recorder.add(),
    "record-done": () => recorder.done(),
    "record-close": () => recorder.close(),
    "add-word": () => labels.add(),
    "bulk": (button) => labels.press(button),
    "guesses": (button) => labels.press(button),
    "add-class": async () => {
      const word = await mtl.ask({ title: "Add a class", yes: "Add it", field: { label: "Name of the class", value: "" } });
      if (word) await nameClasses({ classes: [word] });
    },
    "rename-class": async ({ dataset: { task, class: word } }, step) => {
      const text = "The name of another class joins the two.", field = { label: "New name", value: word };
      const to = await mtl.ask({ title: `Rename ${word}`, text, yes: "Rename", field });
      if (to && to !== word) await act("change", { task, names: { [word]: to } }, step);
    },
    "pick-zip": () => find("[data-pick=zip]").click(),
    "pick-photo": () => find("[data-pick=photo]").click(),
    "use-corrections": useCorrections,
    "cancel": () => sending.cancel(),
    "another": () => { show(""); find("[data-do=pick-folder]").focus(); },
    "goon": async (button, step) => { if (await act("settings", { looked: true }, step)) to(3); },
    "as-pictures": (button, step) => act("settings", { subject: "picture" }, step),
    "as-faces": (button, step) => act("settings", { subject: "face" }, step),
    "browse": (button) => browse({ task: button.dataset.task, class: button.dataset.class, page: 1 }, true),
    "page": (button) => browse({ ...state.browse, page: button.dataset.page }, true),
    "close": close,
    "out": (button, step) => change({ files: [fileOf(button)], out: true }, step),
    "back": (button, step) => change({ files: [fileOf(button)], out: false }, step),
    "relabel": (button, step) => change({ task: button.dataset.task, labels: { [fileOf(button)]: button.dataset.word } }, step),
    "undo": (button, step) => change({ undo: true }, step),
    "keep": (button, step) => change({ files: [fileOf(button)], task: button.dataset.task, keep: true }, step),
    "out-all": (button, step) => act("change", { harm: button.dataset.key }, step),
    "merge": ({ dataset: { task, from, to } }, step) => act("change", { task, names: { [from]: to } }, step),
    "rename": (button, step) => {
      const naming = button.closest(".naming"), fields = [...naming.querySelectorAll("select")];
      return act("change", { task: naming.dataset.task, names: Object.fromEntries(fields.map((one) => [one.dataset.class, one.value])) }, step);
    },
    "use": (button) => {
      mtl.use(button.dataset.name);
      button.textContent = "In use";
    },
    "reopen": async (button, step) => {
      const text = "What it has learned is gone until it learns again, which takes seconds. The pictures stay, with what you changed of them.";
      const run = state.run;
      if (await mtl.ask({ title: "Add pictures?", text, yes: "Go back to the pictures" })) await act("reopen", { run }, step);
    },
    "extend": async (button, step) => {
      const answer = await post("extend", {});
      if (answer.error) return say(answer.error, step);
      mtl.announce(`${answer.run} begins with the pictures of ${state.run}`);
      show(answer.run);
    },
    "try-live": ({ dataset }) => mtl.tryLive(dataset.name),
    "again": startAgain,
    "bring-back": async (button) => {
      const answer = await mtl.call("/mtl/undo", { token: button.dataset.token }, { method: "POST" });
      if (answer.error) return say(answer.error);
      mtl.announce(`${answer.name} is back`);
      show(answer.name);
    },
    "download": () => mtl.make("a", { href: mtl.address("/mtl/models/download", { name: state.run }), download: true }).click(),
    discard, accept,
  };
  const fileOf = (element) => element.closest("[data-file]").dataset.file;
  function change(body, step) {
    const picture = document.activeElement?.closest?.("li[data-file]"), list = picture?.parentElement;
    state.place = { list, index: list ? [...list.children].indexOf(picture) : 0, action: document.activeElement?.dataset?.do || "out" };
    return act("change", body, step);
  }

  root.addEventListener("click", (event) => {
    const summary = event.target.closest(".step > summary");
    if (summary?.getAttribute("aria-disabled") === "true") event.preventDefault();
    const chosen = event.target.closest("[data-run].run"), button = event.target.closest("[data-do]");
    if (chosen) {
      mtl.opens("teach", chosen.dataset.run, true);
      show(chosen.dataset.run);
    }
    if (!button || button.disabled) return;
    const step = button.closest(".step") || root, name = button.dataset.do;
    if (actions[name]) actions[name](button, step);
    else act(name, {}, step); // look, check, start, stop, resume
  });
  root.addEventListener("change", (event) => {
    const field = event.target, step = field.closest(".step") || root;
    if (field.dataset.set) set(field, step);
    else if (field.dataset.advanced) {
      const asked = { advanced: { [field.dataset.advanced]: field.value } };
      act("settings", asked, step).then((well) => { if (!well) field.value = field.getAttribute("value") || ""; }); // as it holds
    }
    else if (field.dataset.relabel) change({ task: field.dataset.relabel, labels: { [fileOf(field)]: field.value } }, step);
    else if (field.dataset.pick === "photo") { tryOut(field.files[0]); field.value = ""; }
    else if (field.type === "checkbox" && field.dataset.task) {
      const tasks = [...root.querySelectorAll("input[type=checkbox][data-task]:checked")].map((one) => one.dataset.task);
      act("settings", { tasks }, step).then((well) => { if (!well) field.checked = true; });
    }
  });
  root.addEventListener("teach:photo", (event) => { // dropped where no pictures are taken
    if (root.dataset.state === "done") tryOut(event.detail);
    else say("Nothing is taken here now. Teach something else, or wait until this is done; photos go to the Photo tab.");
  });
  root.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && state.browse) close();
    const picture = event.target.closest(".review li[data-file]");
    if (!picture || event.ctrlKey || event.metaKey || event.altKey) return;
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key], all = [...picture.parentElement.children];
    const button = step ? null : picture.querySelector(`[data-key="${CSS.escape(event.key.toLowerCase())}"]`);
    if (step) all[(all.indexOf(picture) + step + all.length) % all.length].focus();
    if (step || button) event.preventDefault();
    if (button) { button.focus(); button.click(); }
  });
  document.addEventListener("mtl:models", poll);
  document.addEventListener("mtl:address", ({ detail: { tab, name } }) => { if (tab === "teach" && name !== state.run) show(name); });
  document.addEventListener("mtl:renamed", ({ detail: { from, to } }) => {
    if (state.run !== from) return;
    Object.assign(state, { run: to, version: "" });
    root.dataset.run = to;
    mtl.opens("teach", to);
  });
  mtl.faces(find("[data-try]"));
  find("[data-template]").href = mtl.address("/mtl/teach/template");
  setInterval(() => { if (!document.hidden && mtl.isOpen(root)) poll(); }, 1000);
  poll();
};
