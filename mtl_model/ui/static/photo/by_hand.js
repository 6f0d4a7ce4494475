// What a person says of a photo's faces: turns it, draws a box around one that was missed, dismisses a box that is none.
// It stays with the photo and goes with each question about it; `ask` puts the question anew.
mtl.byHand = (root, openPhoto, ask) => {
  const find = (selector) => root.querySelector(selector);
  const LEAST = 12, STEP = 0.02; // pixels of a drawn box; share of the picture that an arrow key moves it
  let box = null; // what is drawn: left, top, right, bottom as shares of the picture

  // As the address of a question says it.
  mtl.handOf = ({ hand }) => !hand ? {} : {
    turn: hand.turn, drawn: hand.drawn.join(";"), dismissed: hand.dismissed.join(";"),
  };
  const fresh = (turn) => ({ turn, drawn: [], dismissed: [] });
  function change(photo, changed, words) { // boxes are meant in the picture as it stands now
    photo.hand = { ...(photo.hand || fresh(photo.answer.json.turned)), ...changed };
    leave();
    ask(photo);
    mtl.announce(words);
  }

  const shared = ([a, b, c, d], [e, f, g, h]) => Math.max(0, Math.min(c, g) - Math.max(a, e)) * Math.max(0, Math.min(d, h) - Math.max(b, f));
  const area = ([a, b, c, d]) => (c - a) * (d - b);
  const same = (one, other) => shared(one, other) > 0.3 * (area(one) + area(other) - shared(one, other));

  const actions = {
    "turn": () => {
      const photo = openPhoto();
      photo.hand = null;
      change(photo, fresh((photo.answer.json.turned + 90) % 360), "Turned to the right");
    },
    "draw": () => (find(".drawn") ? leave() : start()),
    "dismiss": (button) => {
      const photo = openPhoto(), number = button.closest("[data-face]").dataset.face;
      const at = photo.answer.json.faces[number - 1].box;
      const { drawn = [], dismissed = [] } = photo.hand || {};
      const left = drawn.filter((other) => !same(at, other));
      change(photo, left.length < drawn.length ? { drawn: left } : { dismissed: [...dismissed, at] }, `Face ${number} is left out`);
    },
    "as-found": () => {
      const photo = openPhoto();
      photo.hand = null;
      ask(photo);
      find("[data-do=draw]").focus();
    },
  };
  root.addEventListener("click", (event) => {
    const button = event.target.closest("[data-do]");
    if (button) actions[button.dataset.do]?.(button);
  });
  root.addEventListener("mtl:cards", () => {
    for (const card of root.querySelectorAll(".cards section.face")) {
      if (openPhoto()?.answer?.subject === "picture") return;
      const button = mtl.make("button", { type: "button", class: "link", tabindex: "-1", "data-do": "dismiss" }, "Not a face");
      (card.querySelector(".wrong") || card).append(button);
    }
  });

  // Drawing: with the pointer from corner to corner, or by keys.
  function start() {
    const frame = find(".frame");
    box = [0.4, 0.4, 0.6, 0.6];
    const drawn = mtl.make("div", {
      class: "drawn", tabindex: "0", role: "application",
      "aria-label": "Box around a face. Arrow keys move it, with Shift they change its size. Enter reads it, Escape leaves it.",
    });
    frame.append(drawn, mtl.make("p", { class: "how" }, "Draw from one corner of the face to the other, or use arrow keys, Shift and Enter."));
    frame.classList.add("drawing");
    find("[data-do=draw]").setAttribute("aria-pressed", "true");
    place();
    drawn.focus({ preventScroll: true });
  }
  function leave() {
    const had = find(".drawn") === document.activeElement;
    for (const part of root.querySelectorAll(".drawn, .how")) part.remove();
    find(".frame")?.classList.remove("drawing");
    find("[data-do=draw]").setAttribute("aria-pressed", "false");
    if (had) find("[data-do=draw]").focus();
  }
  function place() {
    const [left, top, right, bottom] = box.map((share) => `${100 * share}%`);
    Object.assign(find(".drawn").style, { left, top, width: `calc(${right} - ${left})`, height: `calc(${bottom} - ${top})` });
  }
  function take() {
    const photo = openPhoto(), { width, height } = photo.answer.json;
    const drawn = box.map((share, edge) => Math.round(10 * share * (edge % 2 ? height : width)) / 10);
    if (drawn[2] - drawn[0] < LEAST || drawn[3] - drawn[1] < LEAST) return;
    change(photo, { drawn: [...(photo.hand?.drawn || []), drawn] }, "The box is read");
  }
  const inside = (share) => Math.min(1, Math.max(0, share));
  const at = (event) => {
    const place = find(".frame > img").getBoundingClientRect();
    return [inside((event.clientX - place.left) / place.width), inside((event.clientY - place.top) / place.height)];
  };
  let corner = null;
  const view = find(".view");
  view.addEventListener("pointerdown", (event) => {
    if (!find(".drawn") || event.button) return;
    event.preventDefault();
    view.setPointerCapture(event.pointerId);
    corner = at(event);
  });
  view.addEventListener("pointermove", (event) => {
    if (!corner || !find(".drawn")) return;
    const [x, y] = at(event);
    box = [Math.min(x, corner[0]), Math.min(y, corner[1]), Math.max(x, corner[0]), Math.max(y, corner[1])];
    place();
  });
  view.addEventListener("pointerup", (event) => {
    const drew = corner && find(".drawn") && at(event).some((share, axis) => Math.abs(share - corner[axis]) > 0.005);
    corner = null;
    if (drew) take();
  });
  root.addEventListener("keydown", (event) => {
    if (!event.target.matches(".drawn")) return;
    const [x, y] = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] }[event.key] || [];
    if (event.key === "Enter") take();
    else if (event.key === "Escape") leave();
    else if (x === undefined) return;
    else {
      const [left, top, right, bottom] = box;
      box = event.shiftKey ? [left, top, inside(Math.max(left + STEP, right + x)), inside(Math.max(top + STEP, bottom + y))]
        : left + x < 0 || right + x > 1 || top + y < 0 || bottom + y > 1 ? box : [left + x, top + y, right + x, bottom + y];
      place();
    }
    event.preventDefault();
    event.stopPropagation();
  });

  // What is said of it beside the cards.
  return function paint(photo, busy) {
    const { answer, hand } = photo;
    const boxes = [[hand?.drawn, "drawn"], [hand?.dismissed, "left out"]].filter(([some]) => some?.length);
    const words = [...(hand?.turn && hand.turn !== 0 ? [`turned by ${hand.turn}°`] : []), ...boxes.map(([some, what]) => `${some.length} ${what}`)];
    find(".hand").hidden = !words.length;
    find(".hand > span").textContent = `By hand: ${words.join(", ")}.`;
    find("[data-do=turn]").hidden = !answer;
    find("[data-do=draw]").hidden = !answer || answer.subject === "picture";
    for (const name of ["turn", "draw"]) find(`[data-do=${name}]`).disabled = busy;
    if (busy) leave();
  };
};
