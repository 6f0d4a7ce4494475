// The camera: opening it with a sentence for everything that can go wrong, and taking one picture.
mtl.camera = {
  sentences: {
    NotAllowedError: "The camera was not allowed. Allow it in the browser's address bar, then try again.",
    NotFoundError: "No camera was found. Connect one, then try again.",
    NotReadableError: "The camera is used by another program. Close that program, then try again.",
    OverconstrainedError: "That camera is no longer there. Choose another one.",
  },

  // Returns a MediaStream; throws an Error whose message is a sentence.
  async open(camera = "", wanted = { width: { ideal: 1280 }, height: { ideal: 960 } }) {
    if (!navigator.mediaDevices?.getUserMedia) {
      throw new Error(window.isSecureContext
        ? "This browser has no access to cameras. Try another browser."
        : "Browsers give the camera only to pages on https or on this machine itself. Open the page as " +
          "http://127.0.0.1, or start it with --ssl-certfile and --ssl-keyfile.");
    }
    const video = camera ? { ...wanted, deviceId: { exact: camera } } : wanted;
    try {
      return await navigator.mediaDevices.getUserMedia({ video, audio: false });
    } catch (error) {
      throw new Error(mtl.camera.sentences[error.name] || "The camera could not be opened. Try again, or try another one.");
    }
  },

  async list() {
    const devices = await navigator.mediaDevices.enumerateDevices();
    return devices.filter((one) => one.kind === "videoinput");
  },

  close(stream) {
    stream?.getTracks().forEach((track) => track.stop());
  },

  // Fill a <select> with the cameras there are; hidden when there is nothing to choose.
  async fill(select, stream) {
    const cameras = await mtl.camera.list();
    const current = stream?.getVideoTracks()[0]?.getSettings().deviceId;
    select.replaceChildren(...cameras.map((one, index) => new Option(one.label || `Camera ${index + 1}`, one.deviceId)));
    if (current) select.value = current;
    select.closest("label").hidden = cameras.length < 2;
  },

  // The picture that a video shows now, as a JPEG file; not mirrored, whatever the preview does.
  async take(video) {
    const canvas = document.createElement("canvas");
    canvas.width = video.videoWidth;
    canvas.height = video.videoHeight;
    canvas.getContext("2d").drawImage(video, 0, 0);
    const blob = await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.95));
    return new File([blob], "camera.jpg", { type: "image/jpeg" });
  },
};

// The panel in which one picture is taken: start, take, cancel, choose another camera.
mtl.snapshot = (panel, onFile, say) => {
  const video = panel.querySelector("video");
  const select = panel.querySelector("select");
  let stream = null, opener = null;
  let asked = 0;

  async function start(camera = "") {
    if (!panel.contains(document.activeElement)) opener = document.activeElement;
    stop();
    const mine = ++asked;
    say("");
    try {
      const opened = await mtl.camera.open(camera);
      if (mine !== asked) return mtl.camera.close(opened); // stopped while the browser was asking
      stream = opened;
      const take = panel.querySelector("[data-do=take]");
      take.disabled = true; // until there is a picture to take
      panel.hidden = false;
      stream.getVideoTracks()[0].onended = () => { stop(); say("The camera was disconnected. Connect it, then try again."); };
      video.srcObject = stream;
      await video.play();
      if (!video.videoWidth) await new Promise((ready) => video.addEventListener("loadeddata", ready, { once: true }));
      take.disabled = false;
      await mtl.camera.fill(select, stream);
      panel.querySelector("[data-do=take]").focus();
    } catch (error) {
      if (mine !== asked) return;
      stop();
      say(error.message);
    }
  }

  function stop() {
    asked += 1;
    mtl.camera.close(stream);
    stream = null;
    video.srcObject = null;
    panel.hidden = true;
  }
  function leave() {
    stop();
    opener?.focus();
  }

  panel.addEventListener("click", async (event) => {
    const what = event.target.closest("[data-do]")?.dataset.do;
    if (what === "cancel") leave();
    if (what === "take" && stream && video.videoWidth) {
      const file = await mtl.camera.take(video);
      stop();
      onFile(file);
    }
  });
  panel.addEventListener("keydown", (event) => { if (event.key === "Escape") leave(); });
  select.addEventListener("change", () => start(select.value));
  // No camera runs that nobody sees: the page is hidden, or another tab was opened, whether the panel was in view or not.
  document.addEventListener("visibilitychange", () => { if (document.hidden) stop(); });
  document.addEventListener("click", () => setTimeout(() => { if (stream && !mtl.isOpen(panel)) stop(); }));
  new IntersectionObserver((seen) => { if (stream && !mtl.isOpen(panel)) stop(); }).observe(panel); // the tab was left
  return { start, stop };
};
