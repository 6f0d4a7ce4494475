// Recording pictures on the Teach tab: while a class's button is held, frames of the camera go up as pictures of that class, as any
// upload does. The server keeps those that are sharp and show a face, and says why it did not keep the others.
mtl.teachRecord = (root, { run, say, post, open: begin, done: finished }) => {
  const EVERY_MS = 200, LONGEST_PX = 960, IN_FLIGHT = 2, LEAST = 10, SHOWN = 12, BURST_MS = 2000;
  const panel = root.querySelector(".recorder"), video = panel.querySelector("video"), rows = panel.querySelector(".rows");
  const told = panel.querySelector("[data-recorded]"), cameras = panel.querySelector("select");
  const left = new Map(); // why frames were not kept -> how many
  let stream = null, asked = 0, holding = null, timer = 0, flying = 0, sent = 0, known = { classes: [], declared: false };

  // The camera ---------------------------------------------------------------------------------------------------------
  async function open(camera = "") {
    stop();
    const mine = ++asked;
    say("");
    try {
      const opened = await mtl.camera.open(camera);
      if (mine !== asked) return mtl.camera.close(opened);
      stream = opened;
      panel.hidden = false;
      root.querySelector(".drop").hidden = true;
      stream.getVideoTracks()[0].onended = () => { close(); say("The camera was disconnected. Connect it, then open it again."); };
      video.srcObject = stream;
      await video.play();
      await mtl.camera.fill(cameras, stream);
      if (!rows.children.length) fill();
      rows.querySelector("input:not([readonly]), button").focus();
    } catch (error) {
      if (mine !== asked) return;
      close();
      say(error.message);
    }
  }
  function stop() {
    asked += 1;
    release();
    mtl.camera.close(stream);
    stream = null;
    video.srcObject = null;
  }
  // Turn the camera off; what came in is looked at, since nobody may come back.
  async function close() {
    if (panel.hidden) return;
    stop();
    panel.hidden = true;
    root.querySelector(".drop").hidden = false;
    rows.replaceChildren();
    left.clear();
    told.textContent = "";
    while (flying) await new Promise((later) => setTimeout(later, 50));
    if (sent && run()) await finished(run());
    sent = 0;
  }

  // A row per class ----------------------------------------------------------------------------------------------------
  function fill() {
    for (const [folder, word, count] of known.classes) add(word, folder, count);
    while (rows.children.length < 2) add();
  }
  function add(word = "", folder = "", count = 0) {
    const number = rows.children.length + 1, { make } = mtl;
    const name = make("input", { value: word, readonly: Boolean(folder), maxlength: "64", autocomplete: "off", placeholder: `class ${number}`, "aria-label": `Name of class ${number}` });
    const hold = make("button", { type: "button", class: "button hold" }, "Hold to record");
    const row = make("div", { class: "record-row", role: "group", "aria-label": `Class ${number}` }, name, hold, make("span", { class: "small kept" }), make("div", { class: "thumbs", "aria-hidden": "true" }));
    Object.assign(row, { folder, kept: count });
    rows.append(row);
    tell(row);
    return name;
  }
  function tell(row) {
    row.querySelector(".kept").textContent = row.kept >= LEAST ? `${row.kept} pictures` : `${row.kept} of at least ${LEAST}`;
    row.classList.toggle("enough", row.kept >= LEAST);
  }

  // Holding ------------------------------------------------------------------------------------------------------------
  async function hold(row) {
    if (holding || !stream) return;
    holding = row;
    row.classList.add("held");
    if (!(await ready(row)) || holding !== row) return release();
    take(row);
    timer = setInterval(() => take(row), EVERY_MS);
  }
  function release() {
    clearInterval(timer);
    holding?.classList.remove("held");
    holding = null;
  }
  // The run and the class are there, whoever asks first.
  async function ready(row) {
    if (row.folder) return true;
    const all = [...rows.children], words = all.map((one) => one.querySelector("input").value.trim() || one.querySelector("input").placeholder);
    const into = run() || (await begin(words.slice(0, 2).join(" or ")));
    if (!into) return false;
    const answer = await post("classes", { run: into, classes: words.filter((word, at) => !all[at].folder) });
    if (answer.error) { say(answer.error); return false; }
    all.forEach((one, at) => {
      const name = one.querySelector("input");
      Object.assign(one, { folder: one.folder || words[at] });
      Object.assign(name, { value: words[at], readOnly: true });
    });
    return true;
  }
  async function take(row) {
    if (flying >= IN_FLIGHT || !video.videoWidth) return;
    flying += 1;
    try {
      const scale = Math.min(1, LONGEST_PX / Math.max(video.videoWidth, video.videoHeight)), canvas = document.createElement("canvas");
      Object.assign(canvas, { width: Math.round(video.videoWidth * scale), height: Math.round(video.videoHeight * scale) });
      canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
      const blob = await new Promise((made) => canvas.toBlob(made, "image/jpeg", 0.92)), form = new FormData();
      form.append(encodeURIComponent(`${row.folder}/webcam ${Date.now()}-${Math.floor(performance.now() * 10) % 1000}.jpg`), blob, "f");
      const answer = await mtl.call("/mtl/teach/files", { run: run(), frames: "1" }, { method: "POST", body: form });
      if (answer.error) { release(); return say(answer.error); }
      const [why] = Object.keys(answer.skipped);
      if (why) left.set(answer.words[why], (left.get(answer.words[why]) || 0) + answer.skipped[why]);
      else keep(row, canvas);
      told.textContent = left.size ? `Not kept: ${[...left].map(([words, count]) => `${count} ${words}`).join("; ")}.` : "";
    } finally {
      flying -= 1;
    }
  }
  function keep(row, canvas) {
    const small = document.createElement("canvas"), thumbs = row.querySelector(".thumbs"), side = Math.min(canvas.width, canvas.height);
    Object.assign(small, { width: 88, height: 88 });
    small.getContext("2d").drawImage(canvas, (canvas.width - side) / 2, (canvas.height - side) / 2, side, side, 0, 0, 88, 88);
    thumbs.prepend(small);
    if (thumbs.children.length > SHOWN) thumbs.lastChild.remove();
    row.kept += 1;
    sent += 1;
    tell(row);
  }

  const rowOf = (event) => event.target.closest(".hold")?.closest(".record-row");
  rows.addEventListener("pointerdown", (event) => {
    const row = rowOf(event);
    if (!row || event.button) return;
    event.target.setPointerCapture?.(event.pointerId);
    hold(row);
  });
  for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) rows.addEventListener(name, release);
  rows.addEventListener("focusout", (event) => { if (rowOf(event) === holding) release(); });
  rows.addEventListener("contextmenu", (event) => { if (rowOf(event)) event.preventDefault(); }); // a long press of a finger
  rows.addEventListener("keydown", (event) => {
    const row = rowOf(event);
    if (row && [" ", "Enter"].includes(event.key)) { event.preventDefault(); if (!event.repeat) hold(row); }
  });
  rows.addEventListener("keyup", (event) => { if (rowOf(event)) { event.preventDefault(); release(); } });
  rows.addEventListener("click", (event) => { // a screen reader presses without holding
    const row = rowOf(event);
    if (row && event.detail === 0 && !holding) { hold(row); setTimeout(release, BURST_MS); }
  });
  cameras.addEventListener("change", () => open(cameras.value));
  panel.addEventListener("keydown", (event) => { if (event.key === "Escape") close(); });
  // No camera runs that nobody sees: the page is hidden, or another tab was opened.
  document.addEventListener("visibilitychange", () => { if (document.hidden) close(); });
  window.addEventListener("pagehide", stop);
  document.addEventListener("click", () => setTimeout(() => { if (stream && !mtl.isOpen(panel)) close(); }));
  new IntersectionObserver(() => { if (stream && !mtl.isOpen(panel)) close(); }).observe(panel);

  return { open: () => open(), close, done: close, add: () => add().focus(), knows: ({ classes = [], declared = false }) => { known = { classes, declared }; } };
};
