// The About tab: the chosen checkpoint's card, fetched as HTML from the server.
mtl.about = async (host) => {
  let run = 0;
  async function show() {
    const mine = ++run;
    const answer = await mtl.call("/mtl/about", { checkpoint: mtl.checkpoint });
    if (mine !== run) return; // another checkpoint was chosen meanwhile
    const part = host.querySelector(".about");
    if (answer.error) {
      part.textContent = answer.error;
      mtl.refreshModels();
    } else part.innerHTML = answer.html;
  }
  host.addEventListener("click", async (event) => {
    if (!event.target.closest("[data-do=delete-everything]")) return;
    const text = "Pictures given to Teach, corrections, what is being learned, and every checkpoint made here. It cannot be "
      + "brought back. Checkpoints that came with the program stay.";
    if (!(await mtl.ask({ title: "Delete everything?", text, yes: "Delete everything", danger: true }))) return;
    const answer = await mtl.call("/mtl/everything/delete", {}, { method: "POST" });
    const said = host.querySelector("[role=alert]");
    said.hidden = !answer.error;
    said.textContent = answer.error || "";
    if (answer.error) return;
    mtl.announce("Everything is deleted");
    document.dispatchEvent(new CustomEvent("mtl:models"));
  });
  document.addEventListener("mtl:checkpoint", show);
  document.addEventListener("click", (event) => { // after a silence, or what another window did
    if (event.target.closest("button[role=tab]")?.textContent.trim() === "About") show();
  });
  await show();
};
