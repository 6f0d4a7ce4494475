// The Photo tab. Photos are read one after the other; a newer choice ends the work on the older one, and an answer that
// comes late is dropped: each choice has a run number, and only the newest may change what is shown.
mtl.faceSizes = [12, 16, 20, 24, 32, 40, 60, 80, 120, 160, 240, 320, 480]; // the stops of the slider, in pixels

mtl.photo = (host) => {
  const root = host.querySelector(".photo");
  const find = (selector) => root.querySelector(selector);
  const MOST = 200;
  const state = { run: 0, photos: [], open: 0, smallest: null, controller: null };
  const byHand = mtl.byHand(root, () => state.photos[state.open], ask);
  const { paint, say } = mtl.photoView(root, state, byHand);
  mtl.faces(root);
  mtl.sortable(root);
  mtl.corrections(root, () => state.photos[state.open]);
  const taking = mtl.snapshot(find(".camera"), (file) => choose([file]), say);

  // Choosing ---------------------------------------------------------------------------------------------------------
  function choose(files) {
    const focused = root.contains(document.activeElement);
    taking.stop();
    if (!files.length) return;
    for (const photo of state.photos) URL.revokeObjectURL(photo.preview);
    state.photos = files.slice(0, MOST).map((file) => ({
      file, name: file.name || "picture", preview: URL.createObjectURL(file), status: "waiting", answer: null, error: "",
    }));
    state.open = 0;
    say(files.length > MOST ? `These are ${files.length} photos; the first ${MOST} are read.` : "");
    read();
    // What was pressed may be hidden now: the focus goes on to what stands in its place.
    if (focused && !mtl.isOpen(document.activeElement)) find(".more .button").focus({ preventScroll: true });
  }

  async function chooseSample() {
    try {
      const reply = await fetch(mtl.address("/mtl/sample"));
      if (!reply.ok) throw new Error();
      choose([new File([await reply.blob()], "astronaut.jpg", { type: "image/jpeg" })]);
    } catch {
      say("The sample picture could not be fetched. Check that the server is still running, then try again.");
    }
  }

  // Single files are taken as they are, so that each is answered; of folders the pictures.
  async function filesOf(transfer) {
    const dropped = [...transfer.items].map((item) => [item.webkitGetAsEntry?.(), item.getAsFile()]); // before any await
    const files = [];
    for (const [entry, file] of dropped) {
      if (!entry?.isDirectory) files.push(...(file ? [file] : []));
      else for (const [path, inside] of await mtl.filesOf(entry)) if (mtl.isPicture(path) && !mtl.isHidden(path)) files.push(inside);
    }
    return files;
  }

  // Reading ----------------------------------------------------------------------------------------------------------
  function read() {
    state.controller?.abort();
    state.controller = new AbortController();
    // What another checkpoint said is no part of the table any more, nor are the corrections of its cards.
    for (const photo of state.photos) Object.assign(photo, { status: "waiting", plain: null, saved: {} });
    work(++state.run, state.controller.signal);
  }

  function ask(photo) { // one photo anew; the answers to the others stay
    state.controller?.abort();
    state.controller = new AbortController();
    for (const other of state.photos) if (other.status === "reading") other.status = "waiting";
    Object.assign(photo, { status: "waiting", plain: null, saved: {} });
    work(++state.run, state.controller.signal);
  }

  function query(photo) {
    const asked = { name: photo.name, checkpoint: mtl.checkpoint, ...mtl.handOf(photo) };
    if (mtl.compare) asked.compare = mtl.compare;
    if (state.smallest && mtl.subject() !== "picture") asked.smallest = state.smallest;
    return asked;
  }

  async function work(run, signal) {
    for (;;) {
      const open = state.photos[state.open];
      const photo = open?.status === "waiting" ? open : state.photos.find((one) => one.status === "waiting");
      if (!photo) return;
      photo.status = "reading";
      paint();
      const begun = performance.now();
      const answer = await send(photo, signal);
      if (run !== state.run) return; // a newer choice or setting has taken over
      photo.took = performance.now() - begun;
      photo.answer = answer.stage ? answer : null;
      photo.plain = answer.json ? answer : null;
      photo.error = answer.error || "";
      photo.status = "done";
      paint();
      if (photo === state.photos[state.open]) tell(photo);
    }
  }

  async function send(photo, signal) {
    const limit = Number(root.dataset.largestMb);
    if (photo.file.size > limit * 2 ** 20) {
      return { error: `The file is larger than ${limit} MB. Expected a photo as cameras make them; save it smaller.` };
    }
    const asked = query(photo), body = await photo.file.arrayBuffer().catch(() => null);
    if (!body) return { error: "The file can no longer be read. Choose it again." };
    const answer = await mtl.call("/mtl/photo", asked, { method: "POST", body, signal });
    if (!answer.json && !answer.silent) mtl.refreshModels(); // the checkpoint may be gone: the picker says so and falls back
    return { ...answer, asked };
  }

  function tell(photo) {
    const count = photo.answer?.faces;
    const whole = photo.answer?.subject === "picture", said = mtl.faceCount(count || 0, photo.answer?.subject);
    const found = whole ? said : said + " found";
    mtl.announce(photo.error || [found, photo.answer?.note].filter(Boolean).join(". "));
  }

  // Saving -----------------------------------------------------------------------------------------------------------
  const stem = (photo) => photo.name.replace(/\.[^.]*$/, "") || "photo";
  const answered = () => state.photos.filter((photo) => photo.plain);
  const saveName = (suffix) => (answered().length > 1 ? "photos" : stem(answered()[0])) + `-${mtl.subject()}s` + suffix;

  async function savePicture() {
    const photo = state.photos[state.open];
    try {
      const body = await photo.file.arrayBuffer();
      const reply = await fetch(mtl.address("/mtl/photo/picture", query(photo)), { method: "POST", body });
      if (!reply.ok) throw new Error((await reply.json()).error);
      mtl.download(await reply.blob(), `${stem(photo)}-${mtl.subject()}s.jpg`);
      say("");
    } catch (error) {
      say(error instanceof TypeError || !error.message
        ? "The picture could not be made. Check that the server is still running, then try again." : error.message);
    }
  }

  function saveText(kind) {
    const answers = answered().map((photo) => photo.plain);
    if (!answers.length) return say("The photos are just being read anew. Wait until the first one is, then save again.");
    const text = kind === "json"
      ? JSON.stringify(answers.map((answer) => answer.json), null, 1) + "\n"
      : answers.map((answer, index) => answer.csv.slice(index ? answer.csv.indexOf("\n") + 1 : 0)).join("");
    mtl.download(new Blob([text], { type: kind === "json" ? "application/json" : "text/csv" }), saveName("." + kind));
  }

  // What a person does -----------------------------------------------------------------------------------------------
  const actions = {
    "choose": () => find("input[type=file]").click(),
    "camera": () => taking.start(),
    "sample": chooseSample,
    "again": read,
    "automatic": () => { state.smallest = null; find("#smallest-face").focus(); read(); },
    "smaller": () => { state.smallest = state.photos[state.open].answer.smaller.px; find("#smallest-face").focus(); read(); },
    "save-picture": savePicture,
    "save-csv": () => saveText("csv"),
    "save-json": () => saveText("json"),
  };
  root.addEventListener("click", (event) => {
    const button = event.target.closest("[data-do]");
    const thumbnail = event.target.closest("[data-photo]");
    if (button) actions[button.dataset.do]?.();
    if (thumbnail) {
      state.open = Number(thumbnail.dataset.photo);
      paint();
      if (state.photos[state.open].status === "done") tell(state.photos[state.open]);
    }
  });
  find("input[type=file]").addEventListener("change", (event) => {
    choose([...event.target.files]);
    event.target.value = ""; // the same file can be chosen again
  });
  const slider = find("#smallest-face");
  slider.addEventListener("input", () => { state.smallest = mtl.faceSizes[slider.value]; paint(); });
  slider.addEventListener("change", () => { state.smallest = mtl.faceSizes[slider.value]; if (state.photos.length) read(); });
  document.addEventListener("mtl:checkpoint", () => { if (state.photos.length) read(); });

  document.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files || [])];
    const writing = event.target.closest?.("input, textarea, [contenteditable=true]");
    if (writing && event.clipboardData?.types.includes("text/plain")) return; // a spreadsheet adds a picture of its cells
    if (!files.length) {
      if (mtl.isOpen(root) && !writing) say("The clipboard holds no picture. Copy one, then paste it here.");
      return;
    }
    event.preventDefault();
    mtl.openTab("photo");
    choose(files);
  });
  // A file dropped beside the mark must not make the browser leave the page; a tab with a place of its own for files
  // keeps them by preventing the default.
  document.addEventListener("dragover", (event) => {
    if (event.defaultPrevented || !event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    root.classList.add("dropping");
  });
  document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) root.classList.remove("dropping"); });
  document.addEventListener("drop", async (event) => {
    root.classList.remove("dropping");
    if (event.defaultPrevented || !event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    mtl.openTab("photo");
    try {
      const files = await filesOf(event.dataTransfer);
      if (files.length) choose(files);
      else say("There are no pictures in what was dropped. Drop photos, or a folder of photos.");
    } catch {
      say("Some of these files cannot be read. Check that they are still there and may be read, then try again.");
    }
  });
  find(".sample img").src = mtl.address("/mtl/sample");
  mtl.choosePhotos = (files) => { // another tab hands a picture over
    mtl.openTab("photo");
    choose(files);
  };
  paint();
};
