// Bringing pictures to the Teach tab: a folder, a zip or loose photos, dropped or picked. Files go in batches, several at a time, with
// the names of their folders; what the server did not take is told in the end.
mtl.teachUpload = (root, { run, open, done, failed, say }) => {
  const BATCH = 50, AT_ONCE = 4, LISTS = /\.(csv|txt)$/i;
  const SILENT = "The server did not answer, and the upload stands still. Check that it is running, then choose the folder again.";
  const drop = root.querySelector(".drop"), sending = root.querySelector(".sending"), name = root.querySelector("#teach-name");
  const told = sending.querySelector(".told"), bar = sending.querySelector("progress");
  let controller = null, into = ""; // the run that the pictures go to

  const useful = ([path]) => !mtl.isHidden(path) && (mtl.isPicture(path) || LISTS.test(path));

  function show(text, value, most) {
    told.textContent = text;
    bar.max = most || 1;
    bar.value = value;
  }

  async function answered(reply) {
    const answer = await mtl.answerOf(reply);
    if (!reply.ok || answer.error) throw new Error(answer.error || "The server refused the upload. Try again.");
    return answer;
  }

  // What the answers did not take: reason -> { count, words }.
  function gather(refused, { skipped, words }) {
    for (const [reason, count] of Object.entries(skipped)) {
      refused.set(reason, { count: (refused.get(reason)?.count || 0) + count, words: words[reason] });
    }
    return refused;
  }

  async function sendFiles(list, into, signal) {
    const size = Math.min(BATCH, Math.max(5, Math.ceil(list.length / 40))); // so that a slow line is seen to move
    let next = 0, sent = 0;
    const refused = new Map();
    async function worker() {
      while (next < list.length) {
        const part = list.slice(next, next += size), form = new FormData();
        for (const [path, file] of part) form.append(encodeURIComponent(path), file, "f");
        const address = mtl.address("/mtl/teach/files", { run: into });
        gather(refused, await answered(await fetch(address, { method: "POST", body: form, signal })));
        sent += part.length;
        show(`${sent.toLocaleString()} of ${list.length.toLocaleString()} files are sent to ${into}.`, sent, list.length);
      }
    }
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
    return refused;
  }

  function sendZip(file, into, signal) { // fetch does not say how far a body is
    return new Promise((done, failed) => {
      const request = new XMLHttpRequest();
      request.open("POST", mtl.address("/mtl/teach/zip", { run: into }));
      request.upload.onprogress = ({ loaded, total }) => {
        const share = Math.round((100 * loaded) / total);
        show(loaded < total ? `${share} % of the zip is sent to ${into}.` : `The zip is sent to ${into} and is being unpacked.`, loaded, total);
      };
      request.onload = () => {
        let answer = null;
        try { answer = JSON.parse(request.responseText); } catch { /* no JSON: a refusal in plain words */ }
        if (request.status < 400 && answer && !answer.error) done(gather(new Map(), answer));
        else failed(new Error(answer?.error || request.responseText.slice(0, 300) || SILENT));
      };
      request.onerror = () => failed(new TypeError(SILENT));
      request.onabort = () => failed(new DOMException("", "AbortError"));
      signal.addEventListener("abort", () => request.abort());
      request.send(file);
    });
  }

  async function upload(list, zip, base) {
    if (controller) return say("These were not taken, since others are just being sent. Wait until that is done, then add them.");
    say("");
    controller = new AbortController();
    const { signal } = controller;
    into = "";
    try {
      into = run() || (await open(name.value.trim(), base));
      if (!into) return;
      drop.hidden = true;
      sending.hidden = false;
      show("The upload begins.", 0, 1);
      const refused = zip ? await sendZip(zip, into, signal) : await sendFiles(list, into, signal);
      const reasons = [...refused.values()].map(({ count, words }) => `${count} ${words}`);
      await done(into, reasons.length ? `Not taken: ${reasons.join("; ")}.` : "");
    } catch (error) {
      const gone = await failed(into);
      if (error.name !== "AbortError") say(error instanceof TypeError ? SILENT : error.message);
      else if (!gone) await done(into, "");
    } finally {
      controller.abort(); // the other workers
      controller = null;
      drop.hidden = false;
      sending.hidden = true;
    }
  }

  function choose(list) {
    const zips = list.filter(([path]) => /\.zip$/i.test(path) && !mtl.isHidden(path));
    const pictures = list.some(([path]) => mtl.isPicture(path) && !mtl.isHidden(path)); // then a zip beside them is just lying there
    if (zips.length === 1 && !pictures) return upload([], zips[0][1], zips[0][0].split("/").pop().replace(/\.zip$/i, ""));
    const wanted = list.filter(useful);
    if (!wanted.some(([path]) => mtl.isPicture(path))) {
      return say("There are no pictures in it. Choose a folder with pictures, such as JPEG or PNG, or one zip.");
    }
    const tops = new Set(wanted.map(([path]) => (path.includes("/") ? path.split("/")[0] : "")));
    return upload(wanted, null, tops.size === 1 ? [...tops][0] : "");
  }

  for (const input of root.querySelectorAll("[data-pick=folder], [data-pick=zip], [data-pick=photos]")) {
    input.addEventListener("change", () => {
      choose([...input.files].map((file) => [file.webkitRelativePath || file.name, file]));
      input.value = "";
    });
  }
  // This tab keeps its drops: the Photo tab takes those that nobody has taken.
  root.addEventListener("dragover", (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    drop.classList.add("over");
  });
  root.addEventListener("dragleave", (event) => { if (!root.contains(event.relatedTarget)) drop.classList.remove("over"); });
  root.addEventListener("drop", async (event) => {
    drop.classList.remove("over");
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    if (root.querySelector(".upload").hidden || event.target.closest(".try")) return root.dispatchEvent(new CustomEvent("teach:photo", { detail: event.dataTransfer.files[0] }));
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry()).filter(Boolean); // before any await
    const out = [];
    try {
      for (const entry of entries) out.push(...(await mtl.filesOf(entry)));
    } catch {
      return say("Some of these files cannot be read. Check that they are still there and may be read, then try again.");
    }
    choose(out);
  });
  return { cancel: (run = into) => { if (run === into) controller?.abort(); } };
};
