// Which checkpoint answers, and which one it is compared with: mtl.checkpoint, and mtl.compare ("" is none).
// A change of either, if only of its name, is the event "mtl:checkpoint" of the document. Whatever adds, renames or deletes a checkpoint sends
// the event "mtl:models"; the pickers then ask the server again, here and in the other windows of this browser.
(() => {
  const KEYS = { checkpoint: "mtl.checkpoint", compare: "mtl.compare" };
  const recall = (key) => { try { return sessionStorage.getItem(KEYS[key]) || ""; } catch { return ""; } };
  const remember = () => {
    try { for (const key in KEYS) sessionStorage.setItem(KEYS[key], mtl[key]); } catch { /* a browser that keeps nothing */ }
  };
  mtl.checkpoint = recall("checkpoint") || __DEFAULT_CHECKPOINT__;
  mtl.compare = recall("compare");
  let names = [mtl.checkpoint], subjects = {}, asked = 0, repaint = () => {}, tell = () => {};

  // What a checkpoint reads: "face", or "picture" for the whole of it. Two are compared only where they read the same.
  mtl.subject = (name = mtl.checkpoint) => subjects[name] || "face";
  const alike = (name, other) => mtl.subject(name) === mtl.subject(other);
  const reads = (name) => `${name} reads ${mtl.subject(name) === "picture" ? "whole pictures" : mtl.subject(name) + "s"}`;

  function set(checkpoint, compare) {
    const other = compare === checkpoint || !alike(checkpoint, compare || checkpoint) ? "" : compare;
    const changed = checkpoint !== mtl.checkpoint || other !== mtl.compare;
    mtl.checkpoint = checkpoint;
    mtl.compare = other;
    remember();
    repaint();
    if (changed) document.dispatchEvent(new CustomEvent("mtl:checkpoint", { detail: checkpoint }));
  }

  // The one it was compared with changes places with it.
  mtl.choose = (name) => { if (name) { tell(""); set(name, name === mtl.compare ? mtl.checkpoint : mtl.compare); } };
  mtl.chooseComparison = (name) => {
    tell(!name || alike(name, mtl.checkpoint) ? "" : `${reads(name)}, ${reads(mtl.checkpoint)}: they are not compared.`);
    set(mtl.checkpoint, name);
  };
  mtl.renamed = (from, to) => {
    const now = (name) => (name === from ? to : name);
    document.dispatchEvent(new CustomEvent("mtl:renamed", { detail: { from, to } }));
    set(now(mtl.checkpoint), now(mtl.compare));
  };

  mtl.refreshModels = async () => {
    const mine = ++asked;
    const answer = await mtl.call("/mtl/models/names");
    if (mine !== asked || answer.silent) return;
    if (!answer.names) return tell(answer.error || "");
    names = answer.names;
    subjects = answer.subjects;
    mtl.user = answer.user;
    const gone = [mtl.checkpoint, mtl.compare].filter((name) => name && !names.includes(name));
    const left = (name, other) => (names.includes(name) ? name : other);
    set(left(mtl.checkpoint, answer.default), left(mtl.compare, ""));
    if (gone.length) tell(`${gone.join(" and ")} ${gone.length > 1 ? "are" : "is"} no longer there; ${mtl.checkpoint} answers now.`);
  };

  mtl.pickers = (host) => {
    const find = (selector) => host.querySelector(selector);
    const checkpoint = find("#checkpoint"), compare = find("#compare"), out = find("[data-do=log-out]");
    const fill = (select, options, value) => {
      select.replaceChildren(...options.map(([key, text]) => new Option(text, key, false, key === value)));
    };
    repaint = () => {
      fill(checkpoint, names.map((name) => [name, name]), mtl.checkpoint);
      const others = names.filter((name) => name !== mtl.checkpoint && alike(name, mtl.checkpoint));
      fill(compare, [["", "none"], ...others.map((name) => [name, name])], mtl.compare);
      compare.closest("label").hidden = !others.length;
      out.hidden = !mtl.user;
      out.textContent = `Log out ${mtl.user || ""}`;
    };
    tell = (text) => { find(".told").textContent = text; };
    checkpoint.addEventListener("change", () => mtl.choose(checkpoint.value));
    compare.addEventListener("change", () => mtl.chooseComparison(compare.value));
    out.addEventListener("click", async () => {
      await fetch(mtl.address("/logout"), { method: "POST" }).catch(() => {});
      location.reload();
    });
    repaint();
    mtl.refreshModels();
  };

  const others = "BroadcastChannel" in window ? new BroadcastChannel("mtl:models") : null;
  const changed = (heard) => document.dispatchEvent(new CustomEvent("mtl:models", { detail: { heard } }));
  if (others) others.onmessage = () => changed(true);
  document.addEventListener("mtl:models", (event) => {
    if (!event.detail?.heard) others?.postMessage("");
    mtl.refreshModels();
  });
  document.addEventListener("click", (event) => { if (event.target.closest("button[role=tab]")) mtl.refreshModels(); });
  document.addEventListener("visibilitychange", () => { if (!document.hidden) mtl.refreshModels(); });
})();
