// Gradio reloads the page once its server has not answered, and the photos on it would be lost. So it hears of no such silence: the
// tick, the one event that is asked past the queue, brings nothing new then, and the others bring our sentence.
(() => {
  const { fetch } = window;
  window.fetch = async (asked, ...more) => {
    const path = String(asked?.url || asked);
    const reply = path.includes("/gradio_api/") ? await fetch(asked, ...more).catch(() => null) : await fetch(asked, ...more);
    if (path.includes("/gradio_api/run/") && !reply?.ok) return Response.json({ data: [{ __type__: "update" }, ""] });
    return reply || Response.json({ error: mtl.SILENT }, { status: 500 });
  };
})();

// What all tabs share in the browser: addresses on this server, announcements, small tools.
window.mtl = {
  // The address of an own route. It begins with the page's root, which differs behind a proxy.
  address(path, query = {}) {
    const root = (window.gradio_config?.root || location.origin).replace(/\/$/, "");
    const text = new URLSearchParams(query).toString();
    return root + path + (text ? "?" + text : "");
  },

  SILENT: "The server did not answer. Check that it is still running, then try again.",

  // What a reply says, as an object; a refusal in plain words is its `error`.
  async answerOf(reply) {
    const type = reply.headers.get("content-type") || "";
    return type.includes("json") ? await reply.json() : { error: (await reply.text()).slice(0, 300) };
  },

  // What an own route says. It never throws: where no server was there to answer, `silent` stands beside the `error`.
  async call(path, query = {}, more = {}) {
    try {
      return await mtl.answerOf(await fetch(mtl.address(path, query), more));
    } catch {
      return { error: mtl.SILENT, silent: true };
    }
  },

  // An element. A text in its content stays text; an attribute that is false is left away.
  make(tag, attributes = {}, ...content) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value !== false) node.setAttribute(name, value === true ? "" : value);
    }
    node.append(...content);
    return node;
  },

  // What the server takes as a picture, by its name; and what systems and archives leave lying beside pictures.
  isPicture: (path) => /\.(jpe?g|png|webp|bmp|gif|tiff?|heic|heif|avif)$/i.test(path),
  isHidden: (path) => path.split("/").some((part) => part.startsWith(".") || part === "__MACOSX"),

  // The files of what was dropped, a file or a folder, as [path, File]; those of a folder by name.
  async filesOf(entry, path = "") {
    if (entry.isFile) return [[path + entry.name, await new Promise((found, failed) => entry.file(found, failed))]];
    const reader = entry.createReader(), inside = [], files = [];
    for (;;) { // at most a hundred come at once
      const some = await new Promise((found, failed) => reader.readEntries(found, failed));
      if (!some.length) break;
      inside.push(...some);
    }
    inside.sort((one, other) => one.name.localeCompare(other.name, undefined, { numeric: true }));
    for (const one of inside) files.push(...(await mtl.filesOf(one, `${path}${entry.name}/`)));
    return files;
  },

  // Said by a screen reader, without moving the focus.
  announce(text) {
    let region = document.getElementById("announcer");
    if (!region) {
      region = mtl.make("div", { id: "announcer", class: "unseen", role: "status", "aria-live": "polite" });
      document.body.append(region);
    }
    region.textContent = "";
    setTimeout(() => { region.textContent = text; }, 60); // an unchanged text would not be said again
  },

  // Whether the tab that holds this element is the open one.
  isOpen(element) {
    return element.isConnected && element.getClientRects().length > 0;
  },

  openTab(key) {
    const tabs = [...document.querySelectorAll(`#tabs [role=tab][data-tab-id=${key}]`)];
    tabs.find((tab) => tab.getClientRects().length)?.click();
  },

  calm: matchMedia("(prefers-reduced-motion: reduce)"),

  scrollTo(element) {
    element?.scrollIntoView({ block: "nearest", behavior: mtl.calm.matches ? "auto" : "smooth" });
  },

  download(blob, name) {
    const link = mtl.make("a", { href: URL.createObjectURL(blob), download: name });
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  },

  faceCount(count, subject = "face") {
    return subject === "picture" ? "The whole picture" : count === 0 ? "No face" : count === 1 ? "1 face" : count + " faces";
  },

  seconds(milliseconds) {
    const seconds = milliseconds / 1000;
    return (seconds < 10 ? Math.max(0.1, seconds).toFixed(1) : Math.round(seconds)) + " s";
  },
};
