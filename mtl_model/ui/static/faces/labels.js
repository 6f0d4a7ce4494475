// Labels beside the boxes of faces, where they cover least; drawing.py does the same on the saved picture.
// Rectangles are { left, top, width, height } in pixels of the layer that they lie on.
(() => {
  const OWN_SHARE = 0.15; // of its own face that a label may cover

  function shared(one, other) {
    const across = Math.min(one.left + one.width, other.left + other.width) - Math.max(one.left, other.left);
    const down = Math.min(one.top + one.height, other.top + other.height) - Math.max(one.top, other.top);
    return Math.max(0, across) * Math.max(0, down);
  }

  // Above the box, below, right and left of it, then inside; only what lies within the layer.
  function places(box, { width, height }, layer, gap) {
    const right = box.left + box.width, foot = box.top + box.height, last = right - width;
    const slid = (left) => Math.max(0, Math.min(left, layer.width - width)); // along the box it may be moved
    const above = box.top - height - gap, below = foot + gap, beside = right + gap, before = box.left - width - gap;
    const corners = [
      [slid(box.left), above], [slid(box.left), below], [slid(last), above], [slid(last), below],
      [beside, box.top], [before, box.top], [beside, foot - height], [before, foot - height],
      [box.left, box.top], [box.left, foot - height], [last, box.top], [last, foot - height],
    ];
    return corners.map(([left, top]) => ({ left, top, width, height })).filter(({ left, top }) =>
      left >= 0 && left + width <= layer.width && top >= 0 && top + height <= layer.height);
  }

  // Where a label covers least, and how much that is; what is another's counts twice.
  mtl.placeLabel = (box, label, others, layer, gap = 0) => {
    const allowed = OWN_SHARE * box.width * box.height;
    const covered = (place) => Math.max(0, shared(place, box) - allowed)
      + 2 * others.reduce((sum, other) => sum + shared(place, other), 0);
    let best = { left: 0, top: 0, ...label, covered: Infinity };
    for (const place of places(box, label, layer, gap)) {
      const cost = covered(place);
      if (cost < best.covered) best = { ...place, covered: cost };
    }
    return best;
  };

  const rectangle = (node) => ({ left: node.offsetLeft, top: node.offsetTop, width: node.offsetWidth, height: node.offsetHeight });

  // The numbers on a photo, each inside the button that is its box.
  mtl.placeBadges = (frame) => {
    const badges = [...frame.querySelectorAll(".box > .badge")], boxes = badges.map((badge) => rectangle(badge.parentElement));
    const sizes = badges.map(rectangle), layer = rectangle(frame), placed = []; // all is measured before anything moves
    badges.forEach((badge, index) => {
      const { width, height } = sizes[index], others = [...boxes.filter((_, other) => other !== index), ...placed];
      const place = mtl.placeLabel(boxes[index], { width, height }, others, layer, 2);
      placed.push(place);
      badge.style.left = `${place.left - boxes[index].left}px`;
      badge.style.top = `${place.top - boxes[index].top}px`;
    });
  };
})();
