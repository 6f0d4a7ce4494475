// What the Photo tab shows of its state: the photo or the sentence why not, the cards, the strip of thumbnails.
mtl.photoView = (root, state, byHand) => {
  const find = (selector) => root.querySelector(selector);
  const SIZES = mtl.faceSizes;

  function paint() {
    const photo = state.photos[state.open];
    root.dataset.state = photo ? "chosen" : "empty";
    if (!photo) return;
    const busy = photo.status !== "done", whole = mtl.subject() === "picture";
    const working = whole ? "Reading the picture" : "Looking for faces";
    find(".working > :last-child").textContent = working;
    find(".smallest").hidden = whole;
    find(".stage").setAttribute("aria-busy", String(busy));
    find(".working").hidden = !busy;
    paintView(photo);
    const answer = photo.answer;
    find(".note").textContent = answer?.note || "";
    find(".note").hidden = !answer?.note;
    const cards = find(".cards");
    if (cards.photo !== photo) Object.assign(cards, { photo, shown: null }); // two photos may have the very same cards
    if (set(".cards", answer?.cards || "")) root.dispatchEvent(new CustomEvent("mtl:cards"));
    set(".table", answer?.table || "");
    const many = (answer?.faces || 0) > 12;
    find(".cards").classList.toggle("many", many);
    root.classList.toggle("old", busy && Boolean(answer));
    root.classList.toggle("failed", !busy && !answer);
    root.classList.toggle("faceless", !answer?.faces);
    find(".status").textContent = answer && !busy
      ? `${mtl.faceCount(answer.faces, answer.subject)}, ${mtl.seconds(photo.took)}` : busy ? working : "";
    paintSmallest(answer);
    paintOffer(answer?.smaller, busy);
    byHand(photo, busy);
    paintStrip();
    const done = state.photos.filter((one) => one.plain).length;
    find("[data-note]").textContent = done > 1 ? `CSV and JSON hold all ${done} photos.` : "";
  }

  // The inner HTML of a part, only when it changes: a repaint must not take the focus or the mark away.
  function set(selector, text) {
    const part = find(selector);
    if (part.shown === text) return false;
    part.shown = text;
    part.innerHTML = text;
    return true;
  }

  function badges() {
    root.classList.toggle("crowd", state.photos[state.open]?.answer?.faces > 12);
    const frame = find(".frame");
    if (frame) mtl.placeBadges(frame);
  }
  new ResizeObserver(badges).observe(find(".view"));

  function paintView(photo) {
    const view = find(".view");
    if (photo.answer) {
      if (set(".view", photo.answer.stage)) badges();
      return;
    }
    const key = photo.preview + photo.error;
    if (view.shown === key) return;
    view.shown = key;
    if (photo.error && photo.status === "done") {
      const again = mtl.make("button", { type: "button", class: "button", "data-do": "again" }, "Try again");
      const content = [mtl.make("b", { dir: "auto" }, photo.name), mtl.make("p", {}, photo.error), ...(photo.plain ? [] : [again])];
      return view.replaceChildren(mtl.make("div", { class: "problem", role: "alert" }, ...content));
    }
    const image = new Image();
    image.alt = photo.name;
    image.onerror = () => image.replaceWith(mtl.make("div", { class: "blank" }));
    image.src = photo.preview;
    const frame = mtl.make("div", { class: "frame" }, image);
    image.onload = () => {
      frame.style.setProperty("--wide", image.naturalWidth);
      frame.style.setProperty("--high", image.naturalHeight);
    };
    view.replaceChildren(frame);
  }

  function paintSmallest(answer) {
    const slider = find("#smallest-face");
    const size = state.smallest || answer?.smallest;
    if (size && !state.smallest) slider.value = size > SIZES.at(-1) ? SIZES.length - 1 : SIZES.findIndex((one) => one >= size);
    const text = size ? `${size} px${state.smallest ? "" : ", automatic"}` : "automatic";
    find(".smallest output").textContent = text;
    slider.setAttribute("aria-valuetext", text.replace("px", "pixels"));
    find("[data-do=automatic]").hidden = !state.smallest;
  }

  // What was not looked for in a large photo, and what it costs to do so.
  function paintOffer(smaller, busy) {
    find(".offer").hidden = busy || !smaller;
    if (!smaller) return;
    find(".offer > span").textContent = `Faces under ${smaller.below} px were not looked for.`;
    find("[data-do=smaller]").textContent = `Look for them, about ${smaller.seconds} s`;
  }

  function paintStrip() {
    const strip = find(".strip");
    strip.hidden = state.photos.length < 2;
    if (strip.hidden) return strip.replaceChildren();
    if (strip.children.length !== state.photos.length || strip.run !== state.photos) {
      strip.run = state.photos;
      strip.replaceChildren(...state.photos.map((photo, index) => {
        const image = mtl.make("img", { alt: "", loading: "lazy", src: photo.preview });
        image.onerror = () => image.remove();
        return mtl.make("button", { type: "button", "data-photo": index }, image, mtl.make("span"));
      }));
    }
    state.photos.forEach((photo, index) => {
      const button = strip.children[index];
      const said = photo.status !== "done" ? "not read yet"
        : photo.error ? "could not be read" : mtl.faceCount(photo.answer?.faces || 0, photo.answer?.subject).toLowerCase();
      button.setAttribute("aria-label", `Photo ${index + 1} of ${state.photos.length}, ${photo.name}, ${said}`);
      button.setAttribute("aria-pressed", String(index === state.open));
      button.title = photo.name;
      button.dataset.status = photo.status === "done" && photo.error ? "failed" : photo.status;
      if (photo.answer && button.children.length < 2) { // a format that the browser itself cannot show, such as HEIC
        button.prepend(mtl.make("img", { alt: "", src: photo.answer.stage.match(/src="(data:[^"]+)"/)[1] }));
      }
      button.lastChild.textContent = photo.status !== "done" ? "" : photo.error ? "!" : photo.answer?.subject === "picture" ? "" : photo.answer?.faces ?? 0;
    });
  }

  function say(text) {
    const alert = find(".alert");
    alert.textContent = text;
    alert.hidden = !text;
  }

  return { paint, say };
};
