// Which checkpoint answers in this window, and which one it is compared with: mtl.checkpoint, and mtl.compare ("" is none).
// A change of either, if only of its name, is the event "mtl:checkpoint" of the document. ui/checkpoints/pickers.py says which there are;
// whatever adds, renames or deletes one sends the event "mtl:models".
(() => {
  const KEYS = { checkpoint: "mtl.checkpoint", compare: "mtl.compare" };
  const recall = (key) => { try { return sessionStorage.getItem(KEYS[key]) || ""; } catch { return ""; } };
  mtl.checkpoint = recall("checkpoint") || __DEFAULT_CHECKPOINT__;
  mtl.compare = recall("compare");
  const touched = matchMedia("(pointer: coarse)").matches;
  let told = "", known = "", subjects = {}; // the sentence on what is gone, the stamp of what there is, and what each reads

  // What a checkpoint reads: "face", or "picture" for the whole of it.
  mtl.subject = (name = mtl.checkpoint) => subjects[name] || "face";

  function set(checkpoint, compare) {
    const changed = checkpoint !== mtl.checkpoint || compare !== mtl.compare;
    Object.assign(mtl, { checkpoint, compare });
    try { for (const key in KEYS) sessionStorage.setItem(KEYS[key], mtl[key]); } catch { /* a browser that keeps nothing */ }
    if (changed) mtl.trial = "";
    if (changed) document.dispatchEvent(new CustomEvent("mtl:checkpoint", { detail: checkpoint }));
  }

  // What Gradio's events ask, and what they bring.
  const asked = []; // choices that were sent and are not answered yet: an answer that comes late must not take a newer choice away
  const pair = (name, other) => JSON.stringify([name, other]);
  mtl.wanted = () => {
    asked.push(pair(mtl.checkpoint, mtl.compare));
    return [mtl.checkpoint, mtl.compare, told];
  };
  mtl.picked = (name, other) => { // the one it was compared with changes places with it; what is told twice changes nothing
    told = "";
    set(name, other !== name ? other : name === mtl.checkpoint ? mtl.compare : mtl.checkpoint);
    return mtl.wanted();
  };
  mtl.settled = (checkpoint, compare, text, stamp, read) => {
    const at = asked.indexOf(pair(checkpoint, compare));
    asked.splice(Math.max(at, 0), 1);
    if (at >= 0 && pair(checkpoint, compare) !== pair(mtl.checkpoint, mtl.compare)) {
      if (!asked.length) mtl.refreshModels(); // the pickers show what the late answer says
      return;
    }
    for (const input of document.querySelectorAll("#pickers input")) input.inputMode = touched ? "none" : "text"; // no keyboard over the list
    if (text && text !== told) mtl.announce(text);
    [told, known, subjects] = [text, stamp, read || {}];
    set(checkpoint, compare);
  };
  mtl.awake = (...seen) => { if (document.hidden) throw new Error("nobody looks"); return seen; };
  mtl.seen = (stamp) => { if (known && stamp !== known) mtl.refreshModels(); else sayChosen(); };

  // A picker that has the focus keeps the text that it had when its choice changes; what Gradio does when it loses the focus mends it.
  function sayChosen() {
    for (const [key, name] of [["checkpoint", mtl.checkpoint], ["compare", mtl.compare || "none"]]) {
      const input = document.querySelector(`#${key} input`);
      const closed = input?.getAttribute("aria-expanded") === "false";
      if (closed && input.value !== name) input.dispatchEvent(new FocusEvent("blur"));
    }
  }

  // What the parts that are JavaScript do.
  mtl.refreshModels = () => document.getElementById("refresh")?.click();
  mtl.choose = (name) => { if (name) { mtl.picked(name, mtl.compare); mtl.refreshModels(); } };
  mtl.use = (name) => { mtl.choose(name); mtl.announce(`${name} is in use`); };
  // On the Webcam tab a checkpoint answers that is not kept yet, until another one is chosen: the event "mtl:trial" of the document.
  mtl.trial = "";
  mtl.tryLive = (name) => {
    mtl.trial = name;
    mtl.openTab("webcam");
    document.dispatchEvent(new CustomEvent("mtl:trial"));
  };
  mtl.chooseComparison = (name) => { mtl.picked(mtl.checkpoint, name); mtl.refreshModels(); };
  mtl.renamed = (from, to) => {
    const now = (name) => (name === from ? to : name);
    document.dispatchEvent(new CustomEvent("mtl:renamed", { detail: { from, to } }));
    set(now(mtl.checkpoint), now(mtl.compare));
    mtl.changed(`${from} is called ${to} now`, `rename-${to}`);
  };
  document.addEventListener("mtl:models", () => mtl.refreshModels());
  mtl.logOut = async () => {
    await fetch(mtl.address("/logout"), { method: "POST" }).catch(() => {});
    location.reload();
  };
})();
