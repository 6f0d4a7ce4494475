// What is drawn over the live picture and below it, from the JSON of one answer. Text only ever enters the page
// through textContent.

const CARDS_EVERY_MS = 500; // a person cannot read cards that change thirty times a second
const CARDS_STAY_MS = 1000; // a face that is lost for a moment does not make its card flicker
const COUNT_SETTLES_MS = 1200; // how long a number of faces must stay before it is announced
const NOBODY = "No face is seen. Come closer, or turn towards the light.";

const GAP = 4; // between a box and its label, in pixels

const rectangle = (node) => ({ left: node.offsetLeft, top: node.offsetTop, width: node.offsetWidth, height: node.offsetHeight });
const make = (tag, className, ...content) => mtl.make(tag, { class: className || false }, ...content);

const wholeYears = (years) => String(Math.floor(years + 0.5));
const percent = (share) => `${Math.round(100 * share)}\u00a0%`;
const isCurve = (estimate) => estimate.shape === "curve";
const isNumber = (estimate) => estimate.shape === "number";
const isQuantity = (estimate) => isCurve(estimate) || isNumber(estimate);
const edgeText = (estimate, edge) => isCurve(estimate) ? wholeYears(edge) : String(edge);
// "28–41"; "" for a number of which no interval is known.
const rangeOf = (estimate, between) =>
  "low" in estimate ? edgeText(estimate, estimate.low) + between + edgeText(estimate, estimate.high) : "";
const placesOf = (face) => Object.values(face.estimates).flatMap((estimate) => Object.values(estimate.points || {}));
const groupText = (group) => group.endsWith("+") ? `${group.slice(0, -1)} and over` : group.replace("-", "–");

// A face's one line, such as "Age: 34 (28–41) · Gender: female"; what is unsure is muted and ends in a question mark.
function lineOf(face, titleOf) {
  return make("span", "answers", ...Object.entries(face.estimates).map(([name, estimate]) => {
    const value = isCurve(estimate) ? wholeYears(estimate.value) : estimate.text;
    const range = isQuantity(estimate) && rangeOf(estimate, "–");
    const more = `${estimate.sure ? "" : "?"}${range ? ` (${range})` : ""}`;
    return make("span", estimate.sure ? "" : "muted", make("bdi", "", titleOf(name)), ": ", make("bdi", "", value), more);
  }));
}

// Boxes and labels as elements over the picture: sharp at any size, and never mirrored with it.
function makeOverlay(layer, titleOf, colourOf) {
  const FORMS = ["whole", "stacked", "number-only"]; // of a label, the longest first
  const FORM_STAYS_MS = 1000; // however much the boxes tremble, unless it comes to cover something
  let settledAt = -Infinity;

  const dots = layer.appendChild(make("div", "dots")); // the points of all faces
  const pairs = new Map(); // number of a face -> its box and label, used again from frame to frame

  function makePair(number) {
    const pair = { box: make("div", "outline"), label: make("div", "line-of-face"), said: "" };
    for (const node of [pair.box, pair.label]) {
      node.dataset.face = String(number);
      node.style.setProperty("--face", colourOf(number - 1));
    }
    layer.append(pair.box, pair.label);
    pairs.set(number, pair);
    return pair;
  }

  function draw(answer, mirrored) {
    const { faces, width, height } = answer, now = performance.now();
    if (pairs.size !== faces.length || now - settledAt > FORM_STAYS_MS) {
      settledAt = now;
      for (const { label } of pairs.values()) delete label.dataset.form;
    }
    for (const [number, { box, label }] of pairs) {
      if (faces.some((face) => face.number === number)) continue;
      box.remove();
      label.remove();
      pairs.delete(number);
    }
    dots.replaceChildren(...faces.flatMap((face) => placesOf(face).map(([x, y]) => {
      const dot = make("span", "dot");
      dot.style.left = `${100 * (mirrored ? width - x : x) / width}%`;
      dot.style.top = `${100 * y / height}%`;
      dot.style.setProperty("--face", colourOf(face.number - 1));
      return dot;
    })));
    for (const face of faces) {
      const pair = pairs.get(face.number) ?? makePair(face.number), { box, label } = pair;
      const [left, top, right, bottom] = face.box;
      box.style.left = `${100 * (mirrored ? width - right : left) / width}%`;
      box.style.top = `${100 * top / height}%`;
      box.style.width = `${100 * (right - left) / width}%`;
      box.style.height = `${100 * (bottom - top) / height}%`;
      const line = lineOf(face, titleOf);
      if (line.innerHTML !== pair.said) {
        pair.said = line.innerHTML;
        label.replaceChildren(make("b", "", String(face.number)), line);
      }
    }
    const drawn = [...pairs.values()], boxes = drawn.map(({ box }) => rectangle(box)), layerBox = rectangle(layer), placed = [];
    drawn.forEach(({ label }, index) => {
      const others = [...boxes.filter((_, other) => other !== index), ...placed];
      placed.push(placeLabel(label, boxes[index], others, layerBox));
    });
  }

  // The longest form of a label that covers nothing; where none finds a place, the number where it covers least, and the
  // card says the rest.
  function placeLabel(label, box, others, layerBox) {
    let place;
    for (const form of [label.dataset.form, ...FORMS].filter(Boolean)) {
      label.dataset.form = form;
      const { width, height } = rectangle(label);
      place = mtl.placeLabel(box, { width, height }, others, layerBox, GAP);
      if (!place.covered) break;
    }
    label.style.left = `${place.left}px`;
    label.style.top = `${place.top}px`;
    return place;
  }

  return { draw, clear: () => draw({ faces: [], width: 1, height: 1 }, false) };
}

// The cards of the faces now seen, as in the Photo tab but smaller. A card stays the same element while its values
// change, so that nothing jumps.
function makeCards(list, titleOf, colourOf) {
  let drawnAt = -Infinity, seenAt = -Infinity;

  function makeCard(number) {
    const canvas = make("canvas");
    canvas.width = canvas.height = 144;
    const crop = make("div", "crop", canvas, make("span", "badge", String(number)));
    crop.setAttribute("aria-hidden", "true");
    const card = make("div", "face", make("div", "top", crop));
    card.dataset.number = String(number);
    card.setAttribute("role", "group");
    card.setAttribute("aria-label", mtl.subject() === "picture" ? "Picture" : `Face ${number}`);
    card.style.setProperty("--face", colourOf(number - 1));
    return card;
  }

  function makeEstimate(name, estimate) {
    const unsure = estimate.sure ? "" : make("span", "small", "unsure");
    const block = make("div", `estimate ${isQuantity(estimate) ? "quantity" : "classes"}${estimate.sure ? "" : " muted"}`);
    block.dataset.task = name;
    if (isQuantity(estimate)) {
      const group = estimate.group ? make("span", "group", ` · ${groupText(estimate.group)}`) : "";
      block.append(make("p", "value", make("bdi", "name", titleOf(name)), make("b", "", make("bdi", "", estimate.text)), " ", unsure));
      block.append(make("p", "interval", rangeOf(estimate, " to "), group));
      return block;
    }
    const hasShare = estimate.shape !== "points";
    const share = hasShare ? make("span", "number", percent(estimate.confidence)) : "";
    block.append(make("p", "line", make("bdi", "name", titleOf(name)), make("b", "", make("bdi", "", estimate.text)), unsure, share));
    if (!hasShare) return block;
    const bar = make("span");
    bar.style.width = `${100 * estimate.confidence}%`;
    block.append(make("div", "track", bar));
    return block;
  }

  function fill(card, face) {
    card.querySelectorAll(".estimate").forEach((old) => old.remove());
    const blocks = Object.entries(face.estimates).map(([name, estimate]) => makeEstimate(name, estimate));
    const first = blocks.find((block) => block.classList.contains("quantity"));
    if (first) card.querySelector(".top").append(first);
    card.append(...blocks.filter((block) => block !== first));
  }

  // scale: pixels of the picture for one of the frame that was sent.
  function drawCrop(canvas, face, picture, scale) {
    const [left, top, right, bottom] = face.box.map((edge) => edge * scale);
    const side = Math.max(right - left, bottom - top);
    const pen = canvas.getContext("2d");
    pen.clearRect(0, 0, canvas.width, canvas.height);
    pen.drawImage(picture, (left + right - side) / 2, (top + bottom - side) / 2, side, side,
      0, 0, canvas.width, canvas.height);
  }

  // picture: the canvas that the answer is about. now: milliseconds, always growing.
  function draw(answer, picture, mirrored, now) {
    if (answer.faces.length) seenAt = now;
    if (now - drawnAt < CARDS_EVERY_MS || (!answer.faces.length && now - seenAt < CARDS_STAY_MS)) return;
    drawnAt = now;
    if (!answer.faces.length) return list.replaceChildren(make("p", "", NOBODY));
    list.querySelector("p:not(.face *)")?.remove();
    const faces = [...answer.faces].sort((one, other) => one.number - other.number);
    const cards = new Map([...list.children].map((card) => [Number(card.dataset.number), card]));
    for (const [number, card] of cards) if (!faces.some((face) => face.number === number)) card.remove();
    faces.forEach((face, index) => {
      const card = cards.get(face.number) ?? makeCard(face.number);
      if (list.children[index] !== card) list.insertBefore(card, list.children[index] ?? null);
      fill(card, face);
      const canvas = card.querySelector("canvas");
      canvas.classList.toggle("mirrored", mirrored);
      drawCrop(canvas, face, picture, picture.width / answer.width);
    });
  }

  const due = () => { drawnAt = seenAt = -Infinity; };
  return { draw, due, clear: () => { due(); list.replaceChildren(); } };
}

// Says how many faces are seen once the number has settled, for people who hear the page.
function makeAnnouncer(announce) {
  let said = -1, seen = -1, since = 0;
  return {
    tell(count, now) {
      if (count !== seen) { seen = count; since = now; }
      if (seen === said || now - since < COUNT_SETTLES_MS) return;
      said = seen;
      announce(`${mtl.faceCount(count, mtl.subject())} seen`);
    },
    clear() { said = seen = -1; },
  };
}
